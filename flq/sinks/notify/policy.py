"""Decides which notifications are due: takes the run's messages and the time, returns notifications.

Events within a moment make one notification. Later events wait until the settings allow the next one, so that an
eventful run does not flood a phone; only the end of the run is reported at once. Events before ``Began`` are not
reported.

Example
-------
>>> from flq.core.settings import Settings
>>> policy = Policy(NotifySettings(), Began("run1", Settings(), "", []), 0.0)
>>> policy.take(Happened("lost", "worker 3 is lost", 3, 7, 0.0), 0.0)
>>> policy.due(0.0), policy.next_at()
(None, 1.0)
>>> policy.due(1.0).title
'FLQ: worker 3 is lost'
"""

from typing import Dict, List, Optional, Sequence, Set, Tuple

from ...core.settings import NotifySettings
from ...report.amounts import amount
from ...report.outlook import seconds_left
from ...report.rows import RoundRow
from ..messages import Began, Ended, Happened, Message, Round
from .lost_and_back import LostAndBack
from .notice import (
    BEST,
    END,
    FAILURE,
    INFO,
    RUN,
    SUCCESS,
    WARNING,
    WORKERS,
    Item,
    Notice,
    Score,
    about_round,
    about_run,
    is_better,
    names_of,
    plain,
    score_of,
)
from .pace import Pace

BEST_STEP = 0.01  # a new best is reported if accuracy has risen by this since the last report
BEST_FACTOR = 0.9  # or if the loss has fallen below this multiple of the last report
SEVERITY = (FAILURE, WARNING, SUCCESS, INFO)  # a notice has the most severe level of its items


class Policy:
    """The notifications of one run.

    Parameters
    ----------
    settings : NotifySettings
        The section ``notify``.
    began : Began
    now : float
        Monotonic seconds, like all times here.

    Attributes
    ----------
    about : str
        The name of the run, and what it trains.
    has_ended : bool
        After the notification of the end, there are no more.
    """

    def __init__(self, settings: NotifySettings, began: Began, now: float) -> None:
        self._settings = settings
        self.about = about_run(began.run_id, began.settings)
        self._run_id = began.run_id
        self._max_rounds = began.settings.system.max_rounds
        self._rounds: Dict[int, RoundRow] = {}
        self._best: Optional[Tuple[int, Score]] = None
        self._reported: Optional[Score] = None  # the best score when it was last reported, or at the start
        self._items: List[Item] = []
        self._lost: Set[int] = set()  # workers
        self._blocked: Set[int] = set()  # workers with a blocked update
        self._has_diverged = False  # said once
        self._workers = LostAndBack()  # changes not yet reported
        self._pace = Pace(settings.min_interval_s, settings.max_per_hour)
        self._minutes_at = now
        self.has_ended = False
        for message in began.rounds:
            self._note(message.row)
        self._reported = self._best and self._best[1]

    @property
    def rounds(self) -> Sequence[RoundRow]:
        """All known rounds, in order."""
        return [row for _, row in sorted(self._rounds.items())]

    def take(self, message: Message, now: float) -> None:
        """Process a message of the run."""
        if isinstance(message, Round):
            self._take_round(message.row, now)
        elif isinstance(message, Happened):
            self._take_news(message, now)
        elif isinstance(message, Ended):
            self._take_end(message, now)

    def due(self, now: float) -> Optional[Notice]:
        """Return the notification to send now, if any, and count it as sent."""
        every_s = 60 * self._settings.every_minutes
        if every_s and now >= self._minutes_at + every_s and not self.has_ended:
            self._minutes_at = now
            if self._rounds:
                self._pace.happens(now)
        at = self._pace.at(self.has_ended)
        if at is None or now < at:
            return None
        self._pace.sent(now)
        notice = self._compose()
        self._workers.clear()
        self._items.clear()
        return notice

    def next_at(self) -> Optional[float]:
        """Return when to call :meth:`due` again if nothing happens; None = only after the next message."""
        every_s = 60 * self._settings.every_minutes
        times = [self._pace.at(self.has_ended), self._minutes_at + every_s if every_s and not self.has_ended else None]
        return min((at for at in times if at is not None), default=None)

    def vanish(self, now: float) -> None:
        """Process an unexpected end of the master."""
        n_done = max(self._rounds, default=0)
        self._end(
            Item(
                END,
                "the master has ended unexpectedly",
                (
                    "The master has ended unexpectedly after round %d: it was killed, or its machine is going down. "
                    "To resume: ./start_master.sh --resume %s"
                )
                % (n_done, self._run_id),
                FAILURE,
            ),
            now,
        )

    # -- messages of the run -------------------------------------------------------------

    def _take_round(self, row: RoundRow, now: float) -> None:
        is_new = row.round_index not in self._rounds
        self._note(row)
        if self.has_ended:
            return
        every = self._settings.every_rounds
        if every and is_new and row.round_index % every == 0:
            self._pace.happens(now)
        if self._settings.best and self._best and is_better(self._best[1], self._reported, BEST_STEP, BEST_FACTOR):
            if self._reported is not None:  # the first evaluated model is not reported
                self._items = [item for item in self._items if item.rank != BEST]
                self._add(
                    Item(
                        BEST,
                        "new best %s" % self._best[1].text,
                        "New best %s in round %d (previously %s)."
                        % (self._best[1].text, self._best[0], self._reported.text),
                        INFO,
                    ),
                    now,
                )
            self._reported = self._best[1]

    def _take_news(self, news: Happened, now: float) -> None:
        if news.kind == "began":
            self._add(Item(RUN, "a run has started", "The run has started: %d rounds." % self._max_rounds, INFO), now)
        elif news.kind == "went_on":
            self._add(Item(RUN, "the run resumes", "The run resumes after round %d." % news.round_index, INFO), now)
        elif news.kind == "diverged":
            if not self._has_diverged:
                self._add(Item(RUN, "the run diverges", _sentence(news.text), WARNING), now)
            self._has_diverged = True
        elif news.kind == "blocked":
            if self._settings.workers and news.worker_id not in self._blocked:
                self._add(
                    Item(
                        WORKERS,
                        "an update of worker %d was blocked" % news.worker_id,
                        "An update of worker %d did not arrive in round %d: something between it and the master "
                        "rejects it; see the master's log." % (news.worker_id, news.round_index),
                        WARNING,
                    ),
                    now,
                )
            self._blocked.add(news.worker_id)
        elif news.kind in ("lost", "back", "joined") and news.worker_id is not None:
            is_lost, was_lost = news.kind == "lost", news.worker_id in self._lost
            (self._lost.add if is_lost else self._lost.discard)(news.worker_id)
            if self._settings.workers and is_lost != was_lost:  # a worker that restarted in time was never lost
                self._workers.take(news.worker_id, is_lost, news.round_index)
                self._pace.happens(now)

    def _take_end(self, ended: Ended, now: float) -> None:
        n_done = max(self._rounds, default=0)
        if ended.has_failed:
            title, level, word = "the run has failed", FAILURE, "has failed"
        elif ended.is_interrupted:
            title, level, word = "the run is interrupted", WARNING, "is interrupted"
        else:
            title, level, word = "the run has finished", SUCCESS, "has finished"
        score = self._rounds and score_of(self._rounds[n_done])
        if score:
            title += ", %s" % score.text
        lines = ["The run %s after round %d of %d: %s." % (word, n_done, self._max_rounds, plain(ended.reason))]
        if ended.has_failed or ended.is_interrupted:
            lines.append("To resume: ./start_master.sh --resume %s" % self._run_id)
        lost = [row.worker_id for row in ended.workers if row.state == "lost"]
        if lost:
            lines.append("Lost at the end: %s." % names_of(lost))
        self._end(Item(END, title, "\n".join(lines), level), now)

    def _end(self, item: Item, now: float) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._items = [
                other for other in self._items if other.rank != BEST
            ]  # the last notice names the best anyway
            self._add(item, now)

    def _note(self, row: RoundRow) -> None:
        self._rounds[row.round_index] = row
        score = score_of(row)
        if score is not None and is_better(score, self._best and self._best[1]):
            self._best = row.round_index, score

    def _add(self, item: Item, now: float) -> None:
        self._items.append(item)
        self._pace.happens(now)

    # -- the notice ----------------------------------------------------------------------

    def _compose(self) -> Notice:
        items = sorted(self._items + self._workers.items(), key=lambda item: item.rank)
        rows = self.rounds
        last = rows[-1] if rows else None
        lines = [item.body for item in items]
        if last is not None:
            left_s = None if self.has_ended else seconds_left(rows, self._max_rounds)
            lines.append(about_round(last, self._max_rounds, left_s))
        if self.has_ended and self._best is not None:
            lines.append("Best %s in round %d." % (self._best[1].text, self._best[0]))
        if self.has_ended and rows:
            lines.append(
                "Total %s up, %s down."
                % (amount(sum(row.wire_bytes_up for row in rows)), amount(sum(row.wire_bytes_down for row in rows)))
            )
        lines.append(self.about + ".")
        if items:
            title, level = items[0].title, min((item.level for item in items), key=SEVERITY.index)
        else:
            title, level = "round %d of %d" % (last.round_index if last else 0, self._max_rounds), INFO
            score = last and score_of(last)
            title += ", %s" % score.text if score else ""
        return Notice("FLQ: " + title, "\n".join(lines), items[0].level if self.has_ended else level)


def _sentence(text: str) -> str:
    """Return a text of the master as a sentence."""
    line = plain(text)
    return "%s%s." % (line[:1].upper(), line[1:])
