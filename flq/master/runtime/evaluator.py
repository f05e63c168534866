"""The evaluator: a child process with TensorFlow, and the thread that talks to it.

Evaluation never blocks a request or a round. If it cannot keep up, the oldest waiting
rounds are left without test results; the newest is always evaluated. A child that ends is
replaced, and the next one does the job over. Rounds that were missed are evaluated at the
end, from the journal (run.py). Nothing that affects the model reads the results.
"""

import logging
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core.layout import Layout, Vector, layout_from_json
from ...errors import DataError, Unavailable
from ...launch import argv_of
from ...training.evaluator_protocol import Message, read_message, vectors_from, write_message
from ..records.round_log import Evaluated
from .child_process import begin

logger = logging.getLogger(__name__)

MODULE = "flq.training.evaluator_process"
PAUSE_S = 1.0  # between the end of a child and the next that takes its place
STUCK_S = 900.0  # for a reply; a child that takes longer is ended
FAREWELL_S = 5.0  # for a child to end by itself, and for its last words to arrive
TRIES = 2  # children that are tried for one job
MOST_LOST = 4  # children that may end in a row without a job done; then the evaluator rests
REST_S = 300.0  # of rest, in which nothing is evaluated


class _Job(NamedTuple):
    """A request to the child and what to do with its reply; ``unavailable`` in a reply: the child did not see it."""

    header: Dict[str, Any]
    vectors: tuple
    done: Callable[[Dict[str, Any]], None]


class Evaluator:
    """Evaluates models in a child process, in the order in which they come.

    Parameters
    ----------
    settings : dict
        As the workers get them.
    max_backlog_bytes : int
        Size of the models that may wait; beyond it the oldest rounds are dropped.
    """

    def __init__(self, settings: Dict[str, Dict[str, Any]], max_backlog_bytes: int) -> None:
        self._settings, self._max_backlog_bytes = settings, max_backlog_bytes
        self._jobs: Deque[_Job] = deque()
        self._changed = threading.Condition()
        self._busy = self._closed = False
        self._begun: Optional[Message] = None  # the first reply to the settings
        self._failure: Optional[str] = None  # the error in it
        self._n_lost, self._rests_until = 0, 0.0
        self._is_ready = False
        self._begin_child()
        self._thread = threading.Thread(target=self._run, name="evaluator", daemon=True)
        self._thread.start()

    def evaluate(
        self, round_index: int, vectors: Sequence[Vector], done: Callable[[int, Optional[Evaluated]], None]
    ) -> None:
        """Evaluate x, w and, if there is one, the average of x.

        ``done(round, results)`` is called by another thread, with None if they were not evaluated.
        """

        def finish(reply: Dict[str, Any]) -> None:
            if "results" not in reply:
                logger.warning("round %d is not evaluated: %s", round_index, reply["error"])
                return done(round_index, None)
            model, *others = reply["results"]
            done(round_index, Evaluated(model["loss"], model["accuracy"], *(other["accuracy"] for other in others)))

        job = _Job({"do": "evaluate", "round": round_index, "n_vectors": len(vectors)}, tuple(vectors), finish)
        with self._changed:
            self._jobs.append(job)
            n_kept = max(1, self._max_backlog_bytes // sum(vector.nbytes for vector in vectors))
            dropped = [self._jobs.popleft() for _ in range(len(self._jobs) - n_kept)]
            self._changed.notify_all()
        for job in dropped:
            job.done({"error": "the evaluator cannot keep up", "unavailable": True})

    def save_keras(self, path: str, model: Vector) -> None:
        """Write the model as a Keras file, after what is waiting; logs the outcome."""

        def finish(reply: Dict[str, Any]) -> None:
            if "saved" in reply:
                logger.info("model saved: %s", reply["saved"])
            else:
                logger.warning("the Keras file is not written: %s", reply["error"])

        with self._changed:
            self._jobs.append(_Job({"do": "save_keras", "path": path}, (model,), finish))
            self._changed.notify_all()

    def export(self, path: str, model: Vector, timeout_s: float) -> None:
        """Write the model as a Keras file, after what is waiting, and wait for that.

        Raises
        ------
        DataError
            With the child's sentence, if this model cannot be written so.
        Unavailable
            If it is not done in time, or cannot be done now; nothing waits for the child any more then.
        """
        replies: List[Dict[str, Any]] = []

        def finish(reply: Dict[str, Any]) -> None:
            with self._changed:
                replies.append(reply)
                self._changed.notify_all()

        job = _Job({"do": "save_keras", "path": path}, (model,), finish)
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
            self._changed.wait_for(lambda: replies or self._closed, timeout_s)
            if not replies:
                self._jobs = deque(other for other in self._jobs if other is not job)
                self._changed.notify_all()
                raise Unavailable("the evaluator has not written the model after %.0f s" % timeout_s, "try again")
        if "unavailable" in replies[0]:
            raise Unavailable(replies[0]["error"])
        if "saved" not in replies[0]:
            raise DataError(replies[0]["error"])

    def described(self, timeout_s: float) -> Tuple[Layout, Vector]:
        """Wait for what the child says of a user's own model.

        Returns
        -------
        layout : Layout
        start : ndarray of shape (n_params,), float32
            The values with which it was built.

        Raises
        ------
        DataError
            With the child's sentence, if the model cannot be built, or its start values are not finite.
        Unavailable
            If the child has ended, or takes longer.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._begun or self._closed, timeout_s)
            if self._begun is None:
                raise Unavailable("the model is not built after %.0f s" % timeout_s, "see the master's log")
            reply, payload = self._begun
        if "unavailable" in reply:
            raise Unavailable(reply["error"])
        if "error" in reply:
            raise DataError(reply["error"])
        layout = layout_from_json(reply["layout"])
        (start,) = vectors_from(payload, 1, layout.n_params)
        if not np.isfinite(start).all():
            raise DataError("the model's start values must be finite, got NaN or infinity")
        return layout, np.ascontiguousarray(start, np.float32)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is left to do; return whether that was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout_s)

    def close(self) -> None:
        """End the child."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
        while self._thread.is_alive():  # it may be about to begin another child
            self._child.kill()
            self._thread.join(PAUSE_S)
        self._end_child()

    # -- the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        """Hand jobs to the child, one at a time."""
        try:
            self._begun = self._tell_settings()
            self._failure = self._begun[0].get("error")
        except Exception as error:
            self._begun = self._lost(error), bytearray()
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                job, self._busy = self._jobs.popleft(), True
            reply = self._do(job)
            try:
                job.done(reply)
            except Exception:  # a bug of ours: this result is lost, the next ones come
                logger.exception("a result of the evaluator is not kept")

    def _do(self, job: _Job) -> Dict[str, Any]:
        """Have a job done, by a second child if the first one ends; return the reply."""
        reply = {"error": self._failure or "the evaluator process has ended too often, it rests", "unavailable": True}
        n_tries = 0
        while n_tries < TRIES and not (self._failure or self._closed or time.monotonic() < self._rests_until):
            try:
                if self._is_ready and self._child.poll() is not None:  # it had nothing to do with this job
                    self._lost(Unavailable("it had nothing to do"))
                n_tries += 1
                if not self._is_ready:
                    self._begin_child()
                    self._tell_settings()
                answer, _ = self._ask(job.header, job.vectors)
                self._n_lost = 0
                return answer
            except Exception as error:
                reply = self._lost(error)
        return reply

    def _begin_child(self) -> None:
        """Begin a child, and a thread that logs its stderr, so that TensorFlow's lines do not mix with the progress."""
        self._child = child = begin(argv_of(MODULE))

        def log() -> None:
            with child.stderr as stream:
                for line in stream:
                    logger.debug("evaluator: %s", line.decode("utf-8", "replace").rstrip())

        self._logger = threading.Thread(target=log, name="evaluator-stderr", daemon=True)
        self._logger.start()

    def _tell_settings(self) -> Message:
        """Tell a new child the settings; return its reply. Only the first child may answer with an error."""
        began = time.monotonic()
        message = self._ask({"do": "settings", "settings": self._settings}, ())
        if "error" in message[0] and self._begun is not None:
            raise Unavailable(message[0]["error"])
        self._is_ready = True
        if "error" not in message[0]:
            logger.info("evaluator=ready seconds=%.2f", time.monotonic() - began)
        return message

    def _ask(self, header: Dict[str, Any], vectors: tuple) -> Message:
        child, is_stuck = self._child, threading.Event()

        def end() -> None:
            is_stuck.set()
            child.kill()

        timer = threading.Timer(STUCK_S, end)
        timer.daemon = True
        timer.start()
        message, reason = None, "it closed its output"
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
        self._is_ready = False
        with suppress(subprocess.TimeoutExpired):  # if it ends by itself, its exit code says more
            self._child.wait(FAREWELL_S)
        code = self._end_child()
        sentence = "the evaluator process has ended (exit code %s): %s" % (code, error)
        if not self._closed:
            self._n_lost += 1
            logger.warning("%s; another one takes its place", sentence)
            if self._n_lost >= MOST_LOST:
                self._n_lost, self._rests_until = 0, time.monotonic() + REST_S
                logger.warning(
                    "the evaluator rests for %.0f s: its process has ended %d times without a result", REST_S, MOST_LOST
                )
        with self._changed:
            self._changed.wait_for(lambda: self._closed, PAUSE_S)
        return {"error": sentence, "unavailable": True}

    def _end_child(self) -> int:
        """End the child and close its pipes; return its exit code."""
        self._child.kill()
        code = self._child.wait()
        self._logger.join(FAREWELL_S)  # a process that it has started may keep stderr open for ever
        for pipe in self._child.stdin, self._child.stdout:
            with suppress(OSError):  # bytes on their way to the child are lost
                pipe.close()
        return code
