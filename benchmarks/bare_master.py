"""The baseline: federated averaging in float32 by a Flask application that checks nothing.

    python -m benchmarks.bare_master DIM ROUNDS WORKERS SERVER STYLE  (werkzeug or cheroot; plain or tuned)

It knows no header, CRC, run id, lost messages, late workers, NaN or byte limits: all clients are well-behaved. The
model is sent as one shared bytes object, and the mean is computed in cache blocks. In the style plain, an upload is
read by ``request.get_data()``, as usual; in the style tuned, piece by piece into an existing buffer. Prints the marks
of all rounds as JSON.
"""

import json
import sys
import threading
from typing import Callable

import numpy as np
from cheroot import wsgi
from flask import Flask, Response, request
from werkzeug.serving import WSGIRequestHandler, make_server

from benchmarks.peak import mark

PIECE = 1 << 20
BLOCK = 65536


class Loop:
    """The model, and the updates of the current round."""

    def __init__(self, dim: int, n_rounds: int, n_workers: int) -> None:
        self.n_rounds = n_rounds
        self.marks = []
        self.ended = threading.Event()
        self.updates = [np.empty(dim, np.float32) for _ in range(n_workers)]
        self._model = np.zeros(dim, np.float32)
        self._body = self._model.tobytes()
        self._n_rounds_done = self._n_updates = self._n_last = 0
        self._changed = threading.Condition()

    def model_after(self, n_rounds: int) -> bytes:
        """Wait until ``n_rounds`` are done; return the model."""
        with self._changed:
            self._changed.wait_for(lambda: self._n_rounds_done >= n_rounds)
            return self._body

    def update_came(self, worker_id: int, update: np.ndarray) -> None:
        """Store an update; the last one of a round closes it."""
        with self._changed:
            self.updates[worker_id] = update
            self._n_updates += 1
            if self._n_updates % len(self.updates) == 0:
                self._average()
                self._n_rounds_done += 1
                n_bytes = self._n_rounds_done * self._model.nbytes * len(self.updates)  # bodies only
                self.marks.append(mark(n_bytes, n_bytes))
                self._changed.notify_all()

    def client_ended(self) -> None:
        """Count a client that has finished."""
        with self._changed:
            self._n_last += 1
            if self._n_last == len(self.updates):
                self.ended.set()

    def _average(self) -> None:
        self._body = b""
        weight, scratch = np.float32(1 / len(self.updates)), np.empty(BLOCK, np.float32)
        for start in range(0, self._model.size, BLOCK):
            part = self._model[start : start + BLOCK]
            for update in self.updates:
                part -= np.multiply(update[start : start + BLOCK], weight, out=scratch[: part.size])
        self._body = self._model.tobytes()


def plain_update(buffer: np.ndarray) -> np.ndarray:
    """Read the body with Flask's own method."""
    return np.frombuffer(request.get_data(), np.float32)


def tuned_update(buffer: np.ndarray) -> np.ndarray:
    """Read the body into an existing buffer."""
    view, n_read = memoryview(buffer).cast("B"), 0
    while n_read < len(view):
        n_read += request.stream.readinto(view[n_read : n_read + PIECE])
    return buffer


def application(loop: Loop, read_update: Callable[[np.ndarray], np.ndarray]) -> Flask:
    """Return an application with the three routes."""
    app = Flask("bare")

    @app.get("/model")
    def model() -> Response:
        return Response(loop.model_after(int(request.args["after"])), content_type="application/octet-stream")

    @app.post("/update")
    def update() -> str:
        worker_id = int(request.args["worker"])
        loop.update_came(worker_id, read_update(loop.updates[worker_id]))
        return ""

    @app.post("/end")
    def end() -> str:
        loop.client_ended()
        return ""

    return app


class KeepAlive(WSGIRequestHandler):
    """Werkzeug's handler with persistent connections, and without a log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Serve until all clients have ended."""
    dim, n_rounds, n_workers = map(int, sys.argv[1:4])
    loop = Loop(dim, n_rounds, n_workers)
    app = application(loop, plain_update if sys.argv[5] == "plain" else tuned_update)
    if sys.argv[4] == "werkzeug":
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=KeepAlive)
        port, serve, stop = server.server_port, server.serve_forever, server.shutdown
    else:
        server = wsgi.Server(("127.0.0.1", 0), app, numthreads=2 * n_workers + 8)
        server.prepare()
        port, serve, stop = server.bind_addr[1], server.serve, server.stop
    threading.Thread(target=serve, daemon=True).start()
    print("ready on http://127.0.0.1:%d" % port, flush=True)
    loop.ended.wait()
    print(json.dumps(loop.marks), flush=True)
    stop()


if __name__ == "__main__":
    main()
