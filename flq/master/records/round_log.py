"""What a run has left so far: its rounds and their evaluations.

The machine decides what a round was; this keeps it. Safe to use from any thread.
"""

import sys
import threading
from bisect import bisect_left, bisect_right
from typing import Any, Dict, List, NamedTuple, Optional

from ...protocol.events import RoundReport
from ...report import recorded
from ...report.rows import RoundRow
from .wire_meter import Wire


class Evaluated(NamedTuple):
    """Test results after a round, of the model x, the shared copy w and the average of x; None = not known."""

    loss: Optional[float] = None
    accuracy: Optional[float] = None
    shared_accuracy: Optional[float] = None
    average_accuracy: Optional[float] = None


class Closed(NamedTuple):
    """A closed round: the machine's report, the wire bytes since the one before, the joules of all boards so far."""

    report: RoundReport
    wire: Wire
    energy_j: Optional[float] = None


class Record:
    """The rows of one run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed: Dict[int, Closed] = {}  # by round
        self._indices: List[int] = []  # of the rounds, in their order
        self._evaluated: Dict[int, Optional[Evaluated]] = {}  # None: it was missed
        self._n_late = 0
        self._last = (0, Evaluated())  # the newest round that has been evaluated

    def add_round(self, closed: Closed) -> None:
        """Keep a closed round."""
        report = closed.report
        with self._lock:
            self._indices.append(report.round_index)
            self._closed[report.round_index] = closed
            if report.own_accuracy is not None:  # with partition local nobody else has data
                self._last = report.round_index, Evaluated(report.own_loss, report.own_accuracy)

    def add_evaluation(self, round_index: int, evaluated: Optional[Evaluated]) -> RoundRow:
        """Keep the test results of a round's model, None if they were missed; return the round's row as it is now."""
        with self._lock:
            self._n_late += round_index in self._evaluated
            self._evaluated[round_index] = evaluated
            if round_index >= self._last[0] and evaluated not in (None, Evaluated()):
                self._last = round_index, evaluated
            closed = self._closed[round_index]
        return row_of(closed, evaluated or Evaluated())

    def is_untested(self, round_index: int) -> bool:
        """Return whether a round is kept whose results are not known, nor that they were missed."""
        with self._lock:
            return round_index in self._closed and round_index not in self._evaluated

    @property
    def n_late(self) -> int:
        """How many results have come after the round's evaluation was settled."""
        with self._lock:
            return self._n_late

    def missed(self) -> List[int]:
        """Return the rounds whose evaluation was missed."""
        with self._lock:
            return [index for index in self._indices if self._evaluated.get(index, ()) is None]

    def without_results(self) -> List[int]:
        """Return the rounds that have no test results: those that were missed, and those that are still waited for."""
        with self._lock:
            return [index for index in self._indices if self._evaluated.get(index) is None]

    def give_up_before(self, round_index: int) -> None:
        """Count the evaluations of earlier rounds that are not known now as missed."""
        with self._lock:
            for index in self._indices[: bisect_left(self._indices, round_index)]:
                self._evaluated.setdefault(index, None)

    def rounds(self, since: int = 0, limit: Optional[int] = None) -> List[RoundRow]:
        """Return one row per closed round after round ``since``, at most ``limit``; None = all."""
        with self._lock:  # which the machine's thread may wait for: no longer than it takes to find them
            first = bisect_right(self._indices, since)
            indices = self._indices[first : None if limit is None else first + limit]
            found = [(self._closed[index], self._evaluated.get(index) or Evaluated()) for index in indices]
        return [row_of(*parts) for parts in found]

    def roll_calls(self, since: int = 0) -> List[Dict[int, str]]:
        """Return what each member did (worker id -> one of ``STATUSES``) in the closed rounds after ``since``."""
        with self._lock:
            indices = self._indices[bisect_right(self._indices, since) :]
            return [self._closed[index].report.roll_call for index in indices]

    def roll_call(self, round_index: int) -> Dict[int, str]:
        """Return what each member of a closed round did."""
        with self._lock:
            return self._closed[round_index].report.roll_call

    def last_evaluated(self) -> Evaluated:
        """Return the newest test results, or those of the workers' own data where these are all there is."""
        with self._lock:
            return self._last[1]


def to_stored(closed: Closed) -> Dict[str, Any]:
    """Return what the journal keeps of a closed round, JSON values."""
    return {"report": closed.report._asdict(), "wire": closed.wire, "energy_j": closed.energy_j}


def from_stored(value: Dict[str, Any]) -> Closed:
    """Read it back; the journal of an older version knows of no energy."""
    roll_call = {int(worker_id): sys.intern(status) for worker_id, status in value["report"]["roll_call"].items()}
    return Closed(
        RoundReport(**dict(value["report"], roll_call=roll_call)), Wire(*value["wire"]), value.get("energy_j")
    )


def row_of(closed: Closed, evaluated: Evaluated) -> RoundRow:
    """Put together what is known of a round."""
    return recorded.row_of(closed.report._asdict(), closed.wire, evaluated, closed.energy_j)
