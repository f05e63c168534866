"""One request on its way through a relay, for faults to change."""

import socket
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional

from http_message import Broken, Frame, body_of, frames_of, half_of, read_message, target_of

if TYPE_CHECKING:
    from relay import Relay

ARRIVED, PASSED, ANSWERED = "arrived at the proxy", "passed to the master", "answered"


class Exchange(NamedTuple):
    """One request and its response, as far as they were sent.

    Attributes
    ----------
    request_bytes : int
        Bytes to the master: head and body.
    request_head_bytes : int
    response_bytes : int
        Bytes from the master.
    status : int
        0 = the master has not responded.
    fault : Fault or None
    sent, received : list of Frame
        The frames in the request's and in the response's body.
    body : bytes
        The request's body, as far as it was passed.
    """

    path: str
    query: str
    request_head_bytes: int
    request_bytes: int
    response_bytes: int
    status: int
    fault: Optional["Fault"]
    sent: List[Frame]
    received: List[Frame]
    body: bytes


class Passage:
    """One request on its way, with the operations for faults.

    Attributes
    ----------
    relay : Relay
    request : bytes
        Head and body, as received.
    client : socket or None
    """

    def __init__(
        self, relay: "Relay", master: socket.socket, request: bytes, client: Optional[socket.socket] = None
    ) -> None:
        self.relay, self.request, self.client = relay, request, client
        self._master = master
        self._passed, self._response = b"", b""

    def pass_on(self, data: bytes) -> None:
        """Send bytes to the master."""
        self._master.sendall(data)
        self._passed += data
        self.relay.count(up=len(data))

    def response(self) -> bytes:
        """Read the master's response."""
        self._response = read_message(self._master, has_body=not self.request.startswith(b"HEAD "))
        self.relay.count(down=len(self._response))
        return self._response

    def ask(self, data: bytes) -> bytes:
        """Send a whole request to the master and return its response."""
        self.pass_on(data)
        self.relay.note(PASSED, self.path)
        return self.response()

    def hang_up(self) -> None:
        """Break the client's connection."""
        shut(self.client)

    @property
    def path(self) -> str:
        """The request's path, as the client sent it."""
        return target_of(self.request)[0]

    def exchange(self, fault: Optional["Fault"]) -> Exchange:
        """Return the exchange so far."""
        body, received = body_of(self._passed), body_of(self._response)
        return Exchange(
            *target_of(self.request),
            len(self._passed) - len(body),
            len(self._passed),
            len(self._response),
            int(self._response.split(b" ", 2)[1]) if self._response else 0,
            fault,
            frames_of(body),
            frames_of(received),
            body,
        )


Fault = Callable[[Passage], bytes]  # returns what the client gets


def drop(passage: Passage) -> bytes:
    """Pass the request, drop the response, and break the connection."""
    passage.ask(passage.request)
    raise Broken()


def truncate(passage: Passage) -> bytes:
    """Pass the head and half of the body, or half of a head without one; then break the connection."""
    passage.pass_on(passage.request[: half_of(passage.request)])
    raise Broken()


def pass_whole(passage: Passage) -> bytes:
    """Pass everything unchanged."""
    return passage.ask(passage.request)


def shut(sock: socket.socket) -> None:
    """End a connection in both directions."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other end was first
