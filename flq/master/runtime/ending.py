"""The stages of the end of a run, and waiting for them. Safe to use from any thread.

::

    RUNNING -----> ENDED ----> SAVED ----> TOLD ----> OVER
       |  |                      |                     ^
       |  +---> FAILED           +---------------------+
       +------> INTERRUPTED

``flq.run_end`` describes the stages. The machine ends the run, or a signal interrupts it, whichever comes first.
"""

import threading
import time
from typing import Dict, FrozenSet, Optional

from ...run_end import RunEnd, Stage

RUNNING, INTERRUPTED, FAILED, ENDED, SAVED, TOLD, OVER = Stage
TRANSITIONS: Dict[Stage, FrozenSet[Stage]] = {
    RUNNING: frozenset({INTERRUPTED, FAILED, ENDED}),
    INTERRUPTED: frozenset(),
    FAILED: frozenset(),
    ENDED: frozenset({SAVED}),
    SAVED: frozenset({TOLD, OVER}),
    TOLD: frozenset({OVER}),
    OVER: frozenset(),
}
WAY = (RUNNING, ENDED, SAVED, TOLD, OVER)  # stages of a run that ends
LOOK_S = 1.0  # longest wait at a time: a signal that arrives just before a wait is handled only after it


class Ending:
    """The stage of the end of a run.

    Attributes
    ----------
    reason : str
        Why the run, or its master, has ended; before that, the reason if the master fails.
    """

    def __init__(self) -> None:
        self.reason = "the master failed"
        self._stage = RUNNING
        self._is_halted = self._is_released = False
        self._changed = threading.Condition()

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self._stage

    @property
    def has_ended(self) -> bool:
        """Whether the machine has ended the run."""
        return self.has_reached(ENDED)

    def has_reached(self, stage: Stage) -> bool:
        """Return whether the run has ended and reached a stage."""
        return self._stage in WAY and WAY.index(self._stage) >= WAY.index(stage)

    def move(self, stage: Stage, reason: Optional[str] = None) -> bool:
        """Move to a stage if there is a transition; return whether there is."""
        with self._changed:
            if stage not in TRANSITIONS[self._stage]:
                return False
            self._stage, self.reason = stage, reason or self.reason
            self._changed.notify_all()
            return True

    def interrupt(self, reason: str) -> None:
        """Interrupt the run, unless it has ended, and let the program end, also one that keeps serving."""
        self.move(INTERRUPTED, reason)
        self.release()

    def halt(self) -> None:
        """End all waits, because the event loop has ended and reaches no further stage."""
        self.move(FAILED)
        with self._changed:
            self._is_halted = self._is_released = True
            self._changed.notify_all()

    def release(self) -> None:
        """Let a master that keeps serving end."""
        with self._changed:
            self._is_released = True
            self._changed.notify_all()

    def wait(self, stage: Stage, timeout_s: float = threading.TIMEOUT_MAX) -> bool:
        """Wait until the run has reached a stage, or never will; return False after the time limit."""
        return self._wait_for(
            lambda: self.has_reached(stage) or self._is_halted or not TRANSITIONS[self._stage], timeout_s
        )

    def wait_released(self) -> None:
        """Wait until a master that keeps serving may end."""
        self._wait_for(lambda: self._is_released, threading.TIMEOUT_MAX)

    def recorded(self, heard: list) -> RunEnd:
        """Return the value for the journal when the program ends."""
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
