"""A server on a loopback port that replaces the master, with given bytes."""

import json
import socket
import threading

WAIT_S = 20.0


class StandIn:
    """Sends the responses of a list, one per request, and keeps the requests.

    A response is bytes, after which the connection is closed unless they are a complete response
    with Content-Length and ``keeps`` is true. After the last response the port is closed.
    """

    def __init__(self, answers, keeps=False):
        self.requests = []
        self.n_connections = 0
        self._answers = list(answers)
        self._keeps = keeps
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(8)
        self._listener.settimeout(WAIT_S)
        self.url = "http://127.0.0.1:%d" % self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has answered all it had
        self._thread.join(WAIT_S)
        self._listener.close()

    def wait(self):
        """Wait until all responses are sent."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def _serve(self):
        try:
            while self._answers:
                connection, _ = self._listener.accept()
                self.n_connections += 1
                with connection:
                    connection.settimeout(WAIT_S)
                    while self._answers and self._answer_one(connection) and self._keeps:
                        pass
        except OSError:
            pass  # the test is over
        self._listener.close()

    def _answer_one(self, connection):
        request = read_request(connection)
        if not request:
            return False
        self.requests.append(request)
        connection.sendall(self._answers.pop(0))
        return True


def read_request(connection):
    """Read a head and as many bytes as it declares."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    size = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    while len(body) < size:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def response(status, body=b"", headers=(), declared=None):
    """Build a response; ``declared`` is its Content-Length if that differs."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode("utf-8")
    lines = ["HTTP/1.1 %s" % status, "Content-Length: %d" % (len(body) if declared is None else declared)]
    return "\r\n".join(lines + list(headers) + ["", ""]).encode("latin-1") + body


def error(status, detail, hint="", headers=()):
    """Build an error in the master's form."""
    return response(
        status, {"error": "X", "detail": detail, "hint": hint}, ("Content-Type: application/json",) + tuple(headers)
    )


def unused_url():
    """Return a URL without a server."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return "http://127.0.0.1:%d" % sock.getsockname()[1]
