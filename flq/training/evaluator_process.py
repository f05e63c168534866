"""The master's child process that runs TensorFlow: ``python -m flq.training.evaluator_process``.

It reads requests from stdin and writes a reply to each to stdout, as ``evaluator_protocol``
defines. If a request fails, the reply has the error, and the process continues. It ends with
status 0 at the end of stdin, and with 1 when it reads an invalid message. It ignores SIGINT:
Ctrl-C reaches the whole process group, but the master decides when its evaluator ends.
"""

import math
import os
import signal
import sys
from typing import Any, BinaryIO, Dict, Optional, Tuple

from ..core.layout import Vector
from ..core.settings import settings_from_json
from ..errors import BadValues, WireError
from ..reasons import reason_of
from .evaluator_protocol import read_message, vectors_from, write_message
from .frameworks import make_task
from .models import is_custom
from .task import Metrics, Task

Reply = Tuple[Dict[str, Any], Tuple[Vector, ...]]  # header, vectors


class EvaluatorService:
    """Answers requests; holds the task between them."""

    def __init__(self) -> None:
        self._task: Optional[Task] = None

    def answer(self, header: Dict[str, Any], payload: bytearray) -> Reply:
        """Return the reply to one request; a failure becomes ``{"error": sentence}``."""
        try:
            if header.get("do") not in REQUESTS:
                raise BadValues("do must be one of %s, got %r" % (", ".join(sorted(REQUESTS)), header.get("do")))
            return REQUESTS[header["do"]](self, header, payload)
        except KeyError as error:
            return {"error": "the request lacks %s" % error}, ()
        except Exception as error:  # TensorFlow may raise anything; the master decides what to do
            return {"error": reason_of(error)}, ()

    def _settings(self, header: Dict[str, Any], payload: bytearray) -> Reply:
        settings = settings_from_json(header["settings"])
        task = make_task(settings)
        task.open(None)
        self._task = task
        reply: Dict[str, Any] = {"ready": True, "n_params": task.layout.n_params}
        if not is_custom(settings.model.name):
            return reply, ()
        return dict(reply, layout=task.layout.to_json()), (task.start(),)

    def _evaluate(self, header: Dict[str, Any], payload: bytearray) -> Reply:
        task = self._ready()
        vectors = vectors_from(payload, header["n_vectors"], task.layout.n_params)
        return {"round": header["round"], "results": [_to_json(task.evaluate(vector)) for vector in vectors]}, ()

    def _export(self, header: Dict[str, Any], payload: bytearray) -> Reply:
        task = self._ready()
        (vector,) = vectors_from(payload, 1, task.layout.n_params)
        task.export(vector, header["path"])
        return {"saved": header["path"]}, ()

    def _ready(self) -> Task:
        if self._task is None:
            raise BadValues("the first request must be settings")
        return self._task


REQUESTS = {
    "settings": EvaluatorService._settings,
    "evaluate": EvaluatorService._evaluate,
    "export": EvaluatorService._export,
}


def serve(requests: BinaryIO, replies: BinaryIO) -> int:
    """Answer requests until their stream ends; return the exit status."""
    service = EvaluatorService()
    while True:
        try:
            message = read_message(requests)
        except WireError as error:
            write_message(replies, {"error": str(error)})
            return 1
        if message is None:
            return 0
        header, vectors = service.answer(*message)
        write_message(replies, header, *vectors)


def _to_json(metrics: Metrics) -> Dict[str, Any]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def main() -> int:
    """Serve stdin and stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Only replies go to stdout; everything else that is printed goes to stderr.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    sys.exit(main())
