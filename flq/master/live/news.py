"""The news of a run, as lines for people: workers join, are lost, return; the run begins, diverges and ends.

The newest lines are kept in memory for the live page; nothing that affects the model reads them. A text may quote a
worker: a viewer must treat it as hostile.
"""

import math
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from ...protocol.events import NOTE_KINDS

MOST_KEPT = 500
PROBLEM_S = 60.0  # between two problems of a worker, so that it cannot flood the news
BEGAN, WENT_ON, PROBLEM, DIVERGED, ENDED, INTERRUPTED = (
    "began",
    "went_on",
    "problem",
    "diverged",
    "ended",
    "interrupted",
)
KINDS = NOTE_KINDS + (BEGAN, WENT_ON, PROBLEM, DIVERGED, ENDED, INTERRUPTED)


class Item(NamedTuple):
    """One line.

    Attributes
    ----------
    number : int
        Counts from 1 in each process of the master.
    at : float
        Seconds since 1970, UTC.
    kind : str
        One of ``KINDS``.
    text : str
        A sentence in English.
    worker_id : int or None
    round_index : int
        The current round; 0 = before the first.
    """

    number: int
    at: float
    kind: str
    text: str
    worker_id: Optional[int]
    round_index: int


class News:
    """The newest lines of a run. Safe to use from any thread.

    Parameters
    ----------
    clock : callable()
        Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._items: Deque[Item] = deque(maxlen=MOST_KEPT)
        self._last = 0
        self._problems: Dict[int, Tuple[str, float]] = {}  # by worker: the last problem, "" = solved; and when

    def add(self, kind: str, text: str, worker_id: Optional[int] = None, round_index: int = 0) -> Item:
        """Add a line; return it."""
        with self._lock:
            self._last += 1
            item = Item(self._last, self._clock(), kind, text, worker_id, round_index)
            self._items.append(item)
            return item

    def add_problem(self, worker_id: int, report: Dict[str, Any], round_index: int) -> Optional[Item]:
        """Add a line if a worker's report names a new problem; return it.

        A problem too soon after the previous one is added when a later report still names it.
        """
        problem, now = report.get("problem", ""), self._clock()
        with self._lock:
            told, at = self._problems.get(worker_id, ("", -math.inf))
            is_new = bool(problem) and problem != told and abs(now - at) >= PROBLEM_S
            if is_new or not problem:
                self._problems[worker_id] = problem, now if is_new else at
        return self.add(PROBLEM, "worker %d: %s" % (worker_id, problem), worker_id, round_index) if is_new else None

    def newest(self) -> List[Item]:
        """Return the kept lines, oldest first."""
        with self._lock:
            return list(self._items)
