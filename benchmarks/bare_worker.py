"""A client of the baseline: in each round, gets the model and sends a ready float32 vector.

    python -m benchmarks.bare_worker PORT WORKER_ID DIM ROUNDS STYLE      (plain or tuned)

In the style plain, it uses requests and ``.content``, as usual; in the style tuned, it reads into an existing buffer.
Prints its resource usage (benchmarks.peak.report).
"""

import http.client
import socket
import sys
import time

import numpy as np
import requests

from benchmarks.peak import report
from benchmarks.ready import ready_vector


class Plain:
    """Requests to the baseline with the package requests."""

    def __init__(self, port: int, dim: int) -> None:
        self._url = "http://127.0.0.1:%d" % port
        self._session = requests.Session()

    def get(self, path: str) -> np.ndarray:
        """Return the model."""
        return np.frombuffer(self._session.get(self._url + path).content, np.float32)

    def post(self, path: str, body: bytes) -> None:
        """Send an update."""
        self._session.post(self._url + path, data=body).raise_for_status()


class Tuned:
    """Requests to the baseline without unnecessary copies."""

    def __init__(self, port: int, dim: int) -> None:
        self._model = np.empty(dim, np.float32)
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> np.ndarray:
        """Return the model."""
        self._connection.request("GET", path)
        response, view = self._connection.getresponse(), memoryview(self._model).cast("B")
        while view:
            view = view[response.readinto(view) :]
        response.read()
        return self._model

    def post(self, path: str, body: bytes) -> None:
        """Send an update."""
        self._connection.request("POST", path, body)
        self._connection.getresponse().read()


def main() -> None:
    """Take part in all rounds."""
    port, worker_id, dim, n_rounds = map(int, sys.argv[1:5])
    update = ready_vector(dim, worker_id).tobytes()
    client = Plain(port, dim) if sys.argv[5] == "plain" else Tuned(port, dim)
    cpu_marks = []
    for n_done in range(n_rounds):
        client.get("/model?after=%d" % n_done)
        cpu_marks.append(time.process_time())
        client.post("/update?worker=%d" % worker_id, update)
    client.post("/end", b"")
    print(report(cpu_marks), flush=True)


if __name__ == "__main__":
    main()
