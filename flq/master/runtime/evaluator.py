"""The evaluator: a queue of models to evaluate or save, and a thread that passes them to a child process.

Evaluation never blocks a request or a round. If it cannot keep up, the oldest waiting rounds are dropped; the newest
is always evaluated. Dropped rounds are evaluated at the end, from the journal (evaluations.py). Nothing that affects
the model reads the results.
"""

import logging
import os
import threading
from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core.layout import Layout, Vector, layout_from_json
from ...core.settings import Settings
from ...errors import DataError, Unavailable
from ...training.evaluator_protocol import Message, vectors_from
from ..records.round_log import Evaluated
from .evaluator_child import EvaluatorChild

logger = logging.getLogger(__name__)

LOOK_S = 1.0  # close() kills the child repeatedly, since the thread may start another


class _Job(NamedTuple):
    """A request to the child, and a function that takes the reply; its key ``unavailable`` = no child has answered."""

    header: Dict[str, Any]
    vectors: tuple
    done: Callable[[Dict[str, Any]], None]


class Evaluator:
    """Evaluates models in a child process, in their order of arrival.

    Parameters
    ----------
    settings : Settings
        Those that the workers get.
    max_backlog_bytes : int
        Maximum size of the waiting models; beyond it the oldest rounds are dropped.
    """

    def __init__(self, settings: Settings, max_backlog_bytes: int) -> None:
        self._max_backlog_bytes = max_backlog_bytes
        self._jobs: Deque[_Job] = deque()
        self._changed = threading.Condition()
        self._busy, self._closing = False, threading.Event()
        self._begun: Optional[Message] = None  # the first reply to the settings
        self._child = EvaluatorChild(settings, self._closing)
        self._thread = threading.Thread(target=self._run, name="evaluator", daemon=True)
        self._thread.start()

    def evaluate(
        self, round_index: int, vectors: Sequence[Vector], done: Callable[[int, Optional[Evaluated]], None]
    ) -> None:
        """Evaluate x, w and, if there is one, the average of x.

        Another thread calls ``done(round, results)``; results = None if they were not evaluated.
        """

        def finish(reply: Dict[str, Any]) -> None:
            if "results" not in reply:
                logger.warning("round %d is not evaluated: %s", round_index, reply["error"])
                return done(round_index, None)
            model, *others = reply["results"]
            done(
                round_index,
                Evaluated(model.get("loss"), model.get("accuracy"), *(other.get("accuracy") for other in others)),
            )

        job = _Job({"do": "evaluate", "round": round_index, "n_vectors": len(vectors)}, tuple(vectors), finish)
        with self._changed:
            self._jobs.append(job)
            n_kept = max(1, self._max_backlog_bytes // sum(vector.nbytes for vector in vectors))
            dropped = [self._jobs.popleft() for _ in range(len(self._jobs) - n_kept)]
            self._changed.notify_all()
        for job in dropped:
            job.done({"error": "the evaluator cannot keep up", "unavailable": True})

    def begin_export(self, path: str, model: Vector) -> None:
        """Export the model after the waiting jobs; log the outcome."""

        def finish(reply: Dict[str, Any]) -> None:
            if "saved" in reply:
                logger.info("model saved: %s", reply["saved"])
            else:
                logger.warning("%s is not written: %s", os.path.basename(path), reply["error"])

        with self._changed:
            self._jobs.append(_Job({"do": "export", "path": path}, (model,), finish))
            self._changed.notify_all()

    def export(self, path: str, model: Vector, timeout_s: float) -> None:
        """Write the model as a file of its framework, after the waiting jobs, and wait until it is written.

        Raises
        ------
        DataError
            With the child's message, if this model cannot be exported to this path.
        Unavailable
            If it is not written in time, or the child is unavailable; the job is then removed.
        """
        replies: List[Dict[str, Any]] = []

        def finish(reply: Dict[str, Any]) -> None:
            with self._changed:
                replies.append(reply)
                self._changed.notify_all()

        job = _Job({"do": "export", "path": path}, (model,), finish)
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
            self._changed.wait_for(lambda: replies or self._closing.is_set(), timeout_s)
            if not replies:
                self._jobs = deque(other for other in self._jobs if other is not job)
                self._changed.notify_all()
                raise Unavailable("the evaluator has not written the model after %.0f s" % timeout_s, "try again")
        if "unavailable" in replies[0]:
            raise Unavailable(replies[0]["error"])
        if "saved" not in replies[0]:
            raise DataError(replies[0]["error"])

    def described(self, timeout_s: float) -> Tuple[Layout, Vector]:
        """Wait until the child has built a user's own model; return its layout and start values.

        Returns
        -------
        layout : Layout
        start : ndarray of shape (n_params,), float32
            The model's initial values.

        Raises
        ------
        DataError
            With the child's message, if the model cannot be built, or its start values are non-finite.
        Unavailable
            If the child has ended, or the time limit is over.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._begun or self._closing.is_set(), timeout_s)
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
        """Wait until there is no job left; return False after the time limit."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout_s)

    def close(self) -> None:
        """Drop all jobs and end the child."""
        with self._changed:
            self._closing.set()
            self._jobs.clear()
            self._changed.notify_all()
        while self._thread.is_alive():  # it may start another child
            self._child.process.kill()
            self._thread.join(LOOK_S)
        self._child.end()

    def _run(self) -> None:
        """Pass jobs to the child, one at a time."""
        self._begun = self._child.start_up()
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._jobs or self._closing.is_set())
                if self._closing.is_set():
                    return
                job, self._busy = self._jobs.popleft(), True
            reply = self._child.do(job.header, job.vectors)
            try:
                job.done(reply)
            except Exception:  # a bug: this result is lost, the next jobs continue
                logger.exception("a result of the evaluator is not kept")
