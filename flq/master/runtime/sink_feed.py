"""Passes the news of a run to the live page and to the sinks (figures, messages, trackers)."""

from typing import Any, Callable, Dict, Optional, Sequence

from ...report.rows import RoundRow, WorkerRow
from ...run_end import Stage
from ...sinks.messages import Began, Ended, Happened, Round
from ..live.news import BEGAN, ENDED, INTERRUPTED, WENT_ON, Item, News
from .sinks import Sinks


class SinkFeed:
    """Keeps the news for the page, and passes messages to the sinks, without waiting. Safe to use from any thread.

    Parameters
    ----------
    sinks : Sinks
    began : callable() -> Began
        Makes the first message to each sink.

    Attributes
    ----------
    news : News
    """

    def __init__(self, sinks: Sinks, began: Callable[[], Began]) -> None:
        self.news = News()
        self._sinks, self._began = sinks, began

    def start(self, n_done: int) -> None:
        """Start the sinks, and tell whether the run begins or resumes."""
        self._sinks.start(self._began)
        if n_done:
            self.say(WENT_ON, "the run resumes after round %d" % n_done, round_index=n_done)
        else:
            self.say(BEGAN, "the run has begun")

    def say(self, kind: str, text: str, worker_id: Optional[int] = None, round_index: int = 0) -> None:
        """Tell a line of news; ``kind`` is one of ``news.KINDS``."""
        self._tell(self.news.add(kind, text, worker_id, round_index))

    def report(self, worker_id: int, report: Dict[str, Any], round_index: int) -> None:
        """Tell the problem in a worker's report if it is new."""
        item = self.news.add_problem(worker_id, report, round_index)
        if item is not None:
            self._tell(item)

    def round(self, row: RoundRow, roll_call: Dict[int, str]) -> None:
        """Tell a round and its test results, if known."""
        self._sinks.tell(Round(row, roll_call))

    def end(self, stage: Stage, reason: str, has_failed: bool, workers: Sequence[WorkerRow], round_index: int) -> None:
        """Tell once that the run has ended, or that it was interrupted."""
        if not self._sinks.has_ended:
            is_interrupted = stage is Stage.INTERRUPTED
            self.say(INTERRUPTED if is_interrupted else ENDED, reason, round_index=round_index)
            self._sinks.tell(Ended(reason, is_interrupted, has_failed, list(workers)))

    def close(self, timeout_s: float) -> None:
        """Let the sinks finish within a time limit."""
        self._sinks.close(timeout_s)

    def _tell(self, item: Item) -> None:
        self._sinks.tell(Happened(item.kind, item.text, item.worker_id, item.round_index, item.at))
