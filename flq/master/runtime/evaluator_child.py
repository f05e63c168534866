"""The evaluator's child process, with TensorFlow in it: one that ends is replaced, and its job is done over.

======== ====================================== ==================================================
state    is                                     next
======== ====================================== ==================================================
STARTING it has not answered to the settings    READY; REFUSED with an error of the first child
READY    it waits for a job, or does one        ENDED
ENDED    the next job starts another child      STARTING
RESTING  too many have ended: no jobs for a     STARTING with the first job after it
         while
REFUSED  no child can use the settings          -
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
PAUSE_S = 1.0  # between the end of a child and the next that takes its place
STUCK_S = 900.0  # for a reply; a child that takes longer is ended
FAREWELL_S = 5.0  # for a child to end by itself, and for its last words to arrive
TRIES = 2  # children that are tried for one job
MOST_LOST = 4  # children that may end in a row without a job done; then the evaluator rests
REST_S = 300.0  # of rest, in which nothing is evaluated


class State(Enum):
    """Where a child stands."""

    STARTING = "STARTING"
    READY = "READY"
    ENDED = "ENDED"
    RESTING = "RESTING"
    REFUSED = "REFUSED"


class EvaluatorChild:
    """Does one job at a time; one thread uses it, and any may kill its process.

    Parameters
    ----------
    settings : Settings
        As the workers get them.
    closing : Event
        Set: no other child is started, and no pause is made.

    Attributes
    ----------
    state : State
    process : Popen
        The newest child.
    """

    def __init__(self, settings: Settings, closing: threading.Event) -> None:
        self._settings, self._closing = settings, closing
        self._why_not = "the master ends"  # why no job is done; said in the states RESTING and REFUSED too
        self._n_lost, self._rests_until = 0, 0.0
        self._start()

    def start_up(self) -> Message:
        """Tell the first child the settings; return its reply: {"unavailable": ..} if it has ended."""
        try:
            reply, payload = self._tell_settings()
        except Exception as error:
            return self._lost(error), bytearray()
        if "error" in reply:
            self.state, self._why_not = State.REFUSED, reply["error"]
        return reply, payload

    def do(self, header: Dict[str, Any], vectors: Sequence[Vector]) -> Dict[str, Any]:
        """Have a job done, by a second child if the first one ends; return the reply.

        Its key ``unavailable`` says that no child has answered.
        """
        reply, n_tries = {"error": self._why_not, "unavailable": True}, 0
        while n_tries < TRIES and not self._closing.is_set() and self._may_try():
            try:
                if self.state is State.READY and self.process.poll() is not None:
                    self._lost(Unavailable("it had nothing to do"))  # and nothing to do with this job
                n_tries += 1
                if self.state is not State.READY:
                    self._start()
                    answer, _ = self._tell_settings()
                    if "error" in answer:  # the first child took them
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
        self._logger.join(FAREWELL_S)  # a process that it has started may keep stderr open for ever
        for pipe in self.process.stdin, self.process.stdout:
            with suppress(OSError):  # bytes on their way to the child are lost
                pipe.close()
        return code

    def _may_try(self) -> bool:
        if self.state is State.RESTING:
            return time.monotonic() >= self._rests_until
        return self.state is not State.REFUSED

    def _start(self) -> None:
        """Start a child, and a thread that logs its stderr, so that TensorFlow's lines do not mix with the progress."""
        self.process = child = begin(argv_of(MODULE))
        self.state = State.STARTING

        def log() -> None:
            with child.stderr as stream:
                for line in stream:
                    logger.debug("evaluator: %s", line.decode("utf-8", "replace").rstrip())

        self._logger = threading.Thread(target=log, name="evaluator-stderr", daemon=True)
        self._logger.start()

    def _tell_settings(self) -> Message:
        """Tell a new child the settings; return its reply."""
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
        """End a child that has failed, and pause; return the reply to its job."""
        self.state = State.ENDED
        with suppress(subprocess.TimeoutExpired):  # if it ends by itself, its exit code says more
            self.process.wait(FAREWELL_S)
        sentence = "the evaluator process has ended (exit code %s): %s" % (self.end(), error)
        if not self._closing.is_set():
            self._n_lost += 1
            logger.warning("%s; another one takes its place", sentence)
            if self._n_lost >= MOST_LOST:
                self._rest()
        self._closing.wait(PAUSE_S)
        return {"error": sentence, "unavailable": True}

    def _rest(self) -> None:
        self.state, self._why_not = State.RESTING, "the evaluator process has ended too often, it rests"
        self._n_lost, self._rests_until = 0, time.monotonic() + REST_S
        logger.warning(
            "the evaluator rests for %.0f s: its process has ended %d times without a result", REST_S, MOST_LOST
        )
