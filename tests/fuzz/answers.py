"""Sends requests, reads the responses, and checks them against the promises of the project."""

import http.client
import json
import socket
from contextlib import suppress
from io import BytesIO

import requests
import schemathesis
from odd_values import PATHS

from flq.master.routes.openapi import DESCRIPTION

WAIT_S = 60.0  # beyond what any answer takes
FORBIDDEN = (b"Traceback", b'File "', b"/site-packages/", b"0x7f")


class Answer:
    """One complete response."""

    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()


class Peer:
    """Sends requests in sequence, on one connection while the master keeps it open."""

    def __init__(self, port):
        self._port, self._sock = port, None

    def exchange(self, request):
        """Send a request; return its responses. A truncated request may have none."""
        if request.is_whole:
            return [self._ask(request)]
        with socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S) as sock:
            data = b""
            with suppress(OSError):  # it need not read a rejected request to the end
                sock.sendall(request.data)
                sock.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                piece = sock.recv(65536)
                while piece:
                    data += piece
                    piece = sock.recv(65536)
        return list(answers_in(data, request.method))

    def close(self):
        """Close the connection."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _ask(self, request):
        """Return the response; reconnect if the master has closed the connection meanwhile."""
        if self._sock is not None:
            with suppress(ConnectionError, http.client.BadStatusLine):
                return self._answer(request)
            self.close()
        self._sock = socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S)
        return self._answer(request)

    def _answer(self, request):
        with suppress(ConnectionError):  # what the master has said by then can still be read
            self._sock.sendall(request.data)
        response = http.client.HTTPResponse(self._sock, method=request.method)
        response.begin()
        answer = Answer(response)
        if response.will_close:
            self.close()
        return answer


class _Received(BytesIO):
    """Received bytes, in the form that http.client reads a response from."""

    def makefile(self, mode):
        return self

    def close(self):
        """Stay open: another response may follow."""


def answers_in(data, method):
    """Yield the responses of which some bytes consist; one to a HEAD that was not understood may have a body."""
    while data.startswith(b"HTTP/") or data and method != "HEAD":
        stream = _Received(data)
        response = http.client.HTTPResponse(stream, method=method)
        response.begin()
        yield Answer(response)
        data = data[stream.tell() :]


class Judge:
    """Checks responses against the promises, and counts them."""

    def __init__(self, base_url):
        schema = schemathesis.openapi.from_dict(DESCRIPTION)
        self._operations = {
            (path, method): schema[path][method]
            for path, kind in PATHS.items()
            for method in (("GET", "HEAD") if kind == "GET" else ("POST",))
        }
        self._request = requests.Request("GET", base_url).prepare()

    def check(self, request, answer):
        """Check one response.

        Raises
        ------
        AssertionError
            With the request in its message.
        """
        said = "%s: %r -> %d %r" % (request.kind, request.data[:2000], answer.status, answer.body[:500])
        assert answer.status < 500 or answer.status == 503 and answer.headers["Retry-After"], said
        assert not any(words in answer.body for words in FORBIDDEN), said
        is_read = request.method != "HEAD" and answer.status not in (204, 304)
        if answer.status >= 400 and is_read:
            content = json.loads(answer.body)
            assert answer.headers["Content-Type"] == "application/json", said
            assert set(content) == {"error", "detail", "hint"} and content["detail"], said
            assert "\n" not in content["detail"] and len(content["detail"]) < 500, said
        if request.path is not None and is_read:
            self._hold_against_the_description(request, answer, said)

    def _hold_against_the_description(self, request, answer, said):
        headers = {}
        for name, value in answer.headers.items():
            headers.setdefault(name, []).append(value)
        response = schemathesis.Response(
            status_code=answer.status,
            headers=headers,
            content=answer.body,
            request=self._request,
            elapsed=0.0,
            verify=False,
        )
        operation = self._operations[request.path, request.method]
        assert str(answer.status) in operation.definition.raw["responses"], said
        try:
            operation.validate_response(response)
        except Exception as error:
            raise AssertionError("%s\n%s" % (said, error)) from error
