"""Keeps the closed rounds of a run and their test results. Safe to use from any thread."""

import sys
import threading
from bisect import bisect_left, bisect_right
from typing import Any, Dict, List, NamedTuple, Optional

from ...protocol.events import RoundReport
from ...report import recorded
from ...report.rows import RoundRow
from .wire_meter import Wire


class Evaluated(NamedTuple):
    """Test results after a round, of the model x, the shared copy w and the average of x; None = unknown."""

    loss: Optional[float] = None
    accuracy: Optional[float] = None
    shared_accuracy: Optional[float] = None
    average_accuracy: Optional[float] = None


class Closed(NamedTuple):
    """A closed round: the machine's report, wire bytes since the previous round, joules of all boards so far."""

    report: RoundReport
    wire: Wire
    energy_j: Optional[float] = None


class Record:
    """The rows of one run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: Dict[int, Closed] = {}  # by round: not yet in the journal
        self._closed: Dict[int, Closed] = {}  # by round
        self._indices: List[int] = []  # of the rounds, in their order
        self._evaluated: Dict[int, Optional[Evaluated]] = {}  # None = missed
        self._n_late = 0
        self._last = (0, Evaluated())  # the newest evaluated round

    def note_round(self, closed: Closed) -> None:
        """Keep a closed round that nobody may see before it is journalled."""
        self._noted[closed.report.round_index] = closed

    def add_noted(self, round_index: int) -> None:
        """Add a noted round, which is in the journal now."""
        self.add_round(self._noted.pop(round_index))

    def add_round(self, closed: Closed) -> None:
        """Add a closed round."""
        report = closed.report
        with self._lock:
            self._indices.append(report.round_index)
            self._closed[report.round_index] = closed
            if report.own_accuracy is not None:  # with partition local only the workers have data
                self._last = report.round_index, Evaluated(report.own_loss, report.own_accuracy)

    def add_evaluation(self, round_index: int, evaluated: Optional[Evaluated]) -> RoundRow:
        """Keep the test results of a round's model, None = missed; return the round's updated row."""
        with self._lock:
            self._n_late += round_index in self._evaluated
            self._evaluated[round_index] = evaluated
            if round_index >= self._last[0] and evaluated not in (None, Evaluated()):
                self._last = round_index, evaluated
            closed = self._closed[round_index]
        return row_of(closed, evaluated or Evaluated())

    def is_untested(self, round_index: int) -> bool:
        """Return whether a kept round has no results and has not been missed."""
        with self._lock:
            return round_index in self._closed and round_index not in self._evaluated

    @property
    def n_late(self) -> int:
        """Number of results that arrived after the round had results or was missed."""
        with self._lock:
            return self._n_late

    def missed(self) -> List[int]:
        """Return the rounds whose evaluation was missed."""
        with self._lock:
            return [index for index in self._indices if self._evaluated.get(index, ()) is None]

    def without_results(self) -> List[int]:
        """Return the rounds without test results, whether missed or still expected."""
        with self._lock:
            return [index for index in self._indices if self._evaluated.get(index) is None]

    def give_up_before(self, round_index: int) -> None:
        """Mark earlier rounds without results as missed."""
        with self._lock:
            for index in self._indices[: bisect_left(self._indices, round_index)]:
                self._evaluated.setdefault(index, None)

    def rounds(self, since: int = 0, limit: Optional[int] = None) -> List[RoundRow]:
        """Return the rows of the closed rounds after round ``since``, at most ``limit``; None = all."""
        with self._lock:  # the machine's thread may wait for it, so rows are made outside
            first = bisect_right(self._indices, since)
            indices = self._indices[first : None if limit is None else first + limit]
            found = [(self._closed[index], self._evaluated.get(index) or Evaluated()) for index in indices]
        return [row_of(*parts) for parts in found]

    def roll_calls(self, since: int = 0) -> List[Dict[int, str]]:
        """Return the roll-calls (worker id -> one of ``STATUSES``) of the closed rounds after ``since``."""
        with self._lock:
            indices = self._indices[bisect_right(self._indices, since) :]
            return [self._closed[index].report.roll_call for index in indices]

    def roll_call(self, round_index: int) -> Dict[int, str]:
        """Return the roll-call of a closed round."""
        with self._lock:
            return self._closed[round_index].report.roll_call

    def last_evaluated(self) -> Evaluated:
        """Return the newest test results; with partition local those on the workers' own data."""
        with self._lock:
            return self._last[1]


def to_stored(closed: Closed) -> Dict[str, Any]:
    """Return a closed round as JSON values, for the journal."""
    return {"report": closed.report._asdict(), "wire": closed.wire, "energy_j": closed.energy_j}


def from_stored(value: Dict[str, Any]) -> Closed:
    """Return the closed round of a journal's value; journals of older versions have no energy."""
    roll_call = {int(worker_id): sys.intern(status) for worker_id, status in value["report"]["roll_call"].items()}
    return Closed(
        RoundReport(**dict(value["report"], roll_call=roll_call)), Wire(*value["wire"]), value.get("energy_j")
    )


def row_of(closed: Closed, evaluated: Evaluated) -> RoundRow:
    """Return the row of a round."""
    return recorded.row_of(closed.report._asdict(), closed.wire, evaluated, closed.energy_j)
