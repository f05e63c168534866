"""The evaluator's child process, which runs TensorFlow; if it dies, it is restarted and its job repeated.

======== ====================================== ==================================================
state    meaning                                next
======== ====================================== ==================================================
STARTING it has not replied to the settings     READY; REFUSED if the first child replies an error
READY    it waits for a job, or does one        ENDED
ENDED    the next job starts another child      STARTING
RESTING  too many children have died: no jobs   STARTING with the first job afterwards
         for a while
REFUSED  the settings cannot be evaluated       -
======== ====================================== ==================================================
"""

import logging
import subprocess
import threading
import time
from contextlib import suppress
from enum import Enum
from typing import Any, Dict, Optional, Sequence

from ...core.layout import Vector
from ...core.settings import Settings, to_json
from ...errors import Unavailable
from ...launch import argv_of
from ...training.evaluator_protocol import Message, read_message, write_message
from .child_process import begin

logger = logging.getLogger(__name__)

MODULE = "flq.training.evaluator_process"
PAUSE_S = 1.0  # between the death of a child and the next one
STUCK_S = 900.0  # time limit of a reply; then the child is killed
FAREWELL_S = 5.0  # time limit for a child to exit by itself, and for its last output
TRIES = 2  # children per job
MOST_LOST = 4  # children that may die in a row without finishing a job; then the evaluator rests
REST_S = 300.0  # without evaluations


class State(Enum):
    """State of the child; see the table of this module."""

    STARTING = "STARTING"
    READY = "READY"
    ENDED = "ENDED"
    RESTING = "RESTING"
    REFUSED = "REFUSED"


class EvaluatorChild:
    """Does one job at a time; one thread uses it, and any thread may kill its process.

    Parameters
    ----------
    settings : Settings
        Those that the workers get.
    closing : Event
        When set, no child is started any more, and there are no pauses.

    Attributes
    ----------
    state : State
    process : Popen
        The newest child.
    """

    def __init__(self, settings: Settings, closing: threading.Event) -> None:
        self._settings, self._closing = settings, closing
        self._why_not = "the master ends"  # why no job is done; RESTING and REFUSED have their own reasons
        self._n_lost, self._rests_until = 0, 0.0
        self._start()

    def start_up(self) -> Message:
        """Send the first child the settings; return its reply, {"unavailable": ..} if it has died."""
        try:
            reply, payload = self._tell_settings()
        except Exception as error:
            return self._lost(error), bytearray()
        if "error" in reply:
            self.state, self._why_not = State.REFUSED, reply["error"]
        return reply, payload

    def do(self, header: Dict[str, Any], vectors: Sequence[Vector]) -> Dict[str, Any]:
        """Have a job done, by a second child if the first one dies; return the reply.

        A reply with the key ``unavailable`` means that no child has answered.
        """
        reply, n_tries = {"error": self._why_not, "unavailable": True}, 0
        while n_tries < TRIES and not self._closing.is_set() and self._may_try():
            try:
                if self.state is State.READY and self.process.poll() is not None:
                    self._lost(Unavailable("it was idle"))  # so this job is not the cause
                n_tries += 1
                if self.state is not State.READY:
                    self._start()
                    answer, _ = self._tell_settings()
                    if "error" in answer:  # the first child accepted them
                        raise Unavailable(answer["error"])
                answer, _ = self._ask(header, vectors)
                self._n_lost = 0
                return answer
            except Exception as error:
                reply = self._lost(error)
        return reply

    def end(self) -> int:
        """End the process and close its pipes; return its exit code."""
        self.process.kill()
        code = self.process.wait()
        self._logger.join(FAREWELL_S)  # a process that it has started may keep stderr open forever
        for pipe in self.process.stdin, self.process.stdout:
            with suppress(OSError):  # unsent bytes are lost
                pipe.close()
        return code

    def _may_try(self) -> bool:
        if self.state is State.RESTING:
            return time.monotonic() >= self._rests_until
        return self.state is not State.REFUSED

    def _start(self) -> None:
        """Start a child, and a thread that logs its stderr, so that TensorFlow's output does not reach the terminal."""
        self.process = child = begin(argv_of(MODULE))
        self.state = State.STARTING

        def log() -> None:
            with child.stderr as stream:
                for line in stream:
                    logger.debug("evaluator: %s", line.decode("utf-8", "replace").rstrip())

        self._logger = threading.Thread(target=log, name="evaluator-stderr", daemon=True)
        self._logger.start()

    def _tell_settings(self) -> Message:
        """Send a new child the settings; return its reply."""
        began = time.monotonic()
        message = self._ask({"do": "settings", "settings": to_json(self._settings)}, ())
        if "error" not in message[0]:
            self.state = State.READY
            logger.info("evaluator=ready seconds=%.2f", time.monotonic() - began)
        return message

    def _ask(self, header: Dict[str, Any], vectors: Sequence[Vector]) -> Message:
        child, is_stuck = self.process, threading.Event()

        def end() -> None:
            is_stuck.set()
            child.kill()

        timer = threading.Timer(STUCK_S, end)
        timer.daemon = True
        timer.start()
        message: Optional[Message] = None
        reason = "it closed its output"
        try:
            write_message(child.stdin, header, *vectors)
            message = read_message(child.stdout)
        except OSError as error:
            reason = str(error)
        finally:
            timer.cancel()
        if message is None:
            raise Unavailable("it gave no reply for %.0f s" % STUCK_S if is_stuck.is_set() else reason)
        return message

    def _lost(self, error: Exception) -> Dict[str, Any]:
        """End a failed child, and pause; return the reply to its job."""
        self.state = State.ENDED
        with suppress(subprocess.TimeoutExpired):  # its own exit code is more informative
            self.process.wait(FAREWELL_S)
        sentence = "the evaluator process has ended (exit code %s): %s" % (self.end(), error)
        if not self._closing.is_set():
            self._n_lost += 1
            logger.warning("%s; it is restarted", sentence)
            if self._n_lost >= MOST_LOST:
                self._rest()
        self._closing.wait(PAUSE_S)
        return {"error": sentence, "unavailable": True}

    def _rest(self) -> None:
        self.state, self._why_not = State.RESTING, "the evaluator process has ended too often and is paused"
        self._n_lost, self._rests_until = 0, time.monotonic() + REST_S
        logger.warning(
            "no evaluations for %.0f s: the evaluator process has ended %d times without a result", REST_S, MOST_LOST
        )
