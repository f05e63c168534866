"""The end of a run, step by step: who moves it on, and who waits for it. Safe to use from any thread.

::

    GOING_ON ----> ENDED ----> SAVED ----> TOLD ----> OVER
       |  |                      |                     ^
       |  +---> FAILED           +---------------------+
       +------> INTERRUPTED

``flq.run_end`` says what the stages are. The machine ends the run, a signal interrupts it; the first to come decides.
"""

import threading
import time
from typing import Dict, FrozenSet, Optional

from ...run_end import RunEnd, Stage

GOING_ON, INTERRUPTED, FAILED, ENDED, SAVED, TOLD, OVER = Stage
TRANSITIONS: Dict[Stage, FrozenSet[Stage]] = {
    GOING_ON: frozenset({INTERRUPTED, FAILED, ENDED}),
    INTERRUPTED: frozenset(),
    FAILED: frozenset(),
    ENDED: frozenset({SAVED}),
    SAVED: frozenset({TOLD, OVER}),
    TOLD: frozenset({OVER}),
    OVER: frozenset(),
}
WAY = (GOING_ON, ENDED, SAVED, TOLD, OVER)  # of a run that ends
LOOK_S = 1.0  # a signal that comes just before a wait is handled only after it


class Ending:
    """How far the end of a run has come.

    Attributes
    ----------
    reason : str
        Why the run, or its master, has ended, or would now.
    """

    def __init__(self) -> None:
        self.reason = "the master failed"
        self._stage = GOING_ON
        self._is_halted = self._is_released = False
        self._changed = threading.Condition()

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        return self._stage

    @property
    def has_ended(self) -> bool:
        """Whether the machine has ended the run."""
        return self.has_reached(ENDED)

    def has_reached(self, stage: Stage) -> bool:
        """Return whether a run that ends has come as far as a stage."""
        return self._stage in WAY and WAY.index(self._stage) >= WAY.index(stage)

    def move(self, stage: Stage, reason: Optional[str] = None) -> bool:
        """Move on to a stage if a transition leads there; return whether it did."""
        with self._changed:
            if stage not in TRANSITIONS[self._stage]:
                return False
            self._stage, self.reason = stage, reason or self.reason
            self._changed.notify_all()
            return True

    def interrupt(self, reason: str) -> None:
        """Let the program end before the run does; a run that has ended only ends. Nobody keeps serving."""
        self.move(INTERRUPTED, reason)
        self.release()

    def halt(self) -> None:
        """Let nobody wait any more: no thread is left that would move it on."""
        self.move(FAILED)
        with self._changed:
            self._is_halted = self._is_released = True
            self._changed.notify_all()

    def release(self) -> None:
        """Let a master end that keeps serving."""
        with self._changed:
            self._is_released = True
            self._changed.notify_all()

    def wait(self, stage: Stage, timeout_s: float = threading.TIMEOUT_MAX) -> bool:
        """Wait until the run has come as far as a stage, or will not; return whether that was in time."""
        return self._wait_for(
            lambda: self.has_reached(stage) or self._is_halted or not TRANSITIONS[self._stage], timeout_s
        )

    def wait_released(self) -> None:
        """Wait until a master that keeps serving may end."""
        self._wait_for(lambda: self._is_released, threading.TIMEOUT_MAX)

    def recorded(self, heard: list) -> RunEnd:
        """Return what the journal keeps when the program ends."""
        return RunEnd(self._stage, self.reason, heard)

    def _wait_for(self, is_true, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        with self._changed:
            while not is_true():
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, LOOK_S))
            return True
