"""Connections of the server: their sockets count bytes, and no peer holds a thread for long.

A thread that reads waits neither for the head of a request nor for its body longer than a
deadline, however the bytes trickle. A peer that is late gets 408 or 400, and the connection ends.
"""

import socket
import time

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.wsgi import Gateway_10

from .meter import Meter, Peer, Wire

HEAD_S = 10.0                    # from the first byte of a request to the last of its head
BODY_S = 60.0                    # for a body, and more by its size:
BODY_BYTES_PER_S = 10000         # a link of 1 Mbit/s has ten times that
LARGEST_BODY = 10 ** 12          # only so that the arithmetic stays finite


class MeteredSocket(socket.socket):
    """A socket that counts what passes it, and receives until ``deadline`` (monotonic)."""

    peer: Peer
    deadline = 0.0
    patience_s = 0.0  # for one send or receive

    def recv_into(self, *args, **kwargs):
        """Receive, and count.

        Raises
        ------
        socket.timeout
            If nothing came in time.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self.settimeout(min(left, self.patience_s))
        try:
            n_bytes = super().recv_into(*args, **kwargs)
        finally:
            self.settimeout(self.patience_s)
        self.peer.count(Wire(up=n_bytes))
        return n_bytes

    def send(self, *args, **kwargs):
        """Send, and count."""
        n_bytes = super().send(*args, **kwargs)
        self.peer.count(Wire(down=n_bytes))
        return n_bytes


class BoundedRequest(HTTPRequest):
    """A request whose head and body have a deadline each."""

    def parse_request(self) -> None:
        """Read the head."""
        self.conn.socket.deadline = time.monotonic() + HEAD_S
        super().parse_request()

    def respond(self) -> None:
        """Call the application, which reads the body."""
        size = min(int(self.inheaders.get(b"Content-Length", 0)), LARGEST_BODY)
        self.conn.socket.deadline = time.monotonic() + BODY_S + size / BODY_BYTES_PER_S
        super().respond()

    def send_headers(self) -> None:
        """Send the head of the response."""
        if getattr(self.rfile, "remaining", 0) > 0:
            self.close_connection = True  # cheroot would wait for the rest of a body that was refused
        super().send_headers()


def metered_connection(meter: Meter):
    """Return a connection class for cheroot whose sockets count into ``meter``."""

    class MeteredConnection(HTTPConnection):
        RequestHandlerClass = BoundedRequest

        def __init__(self, server, sock, *args, **kwargs):
            metered = MeteredSocket(fileno=sock.detach())
            metered.settimeout(server.timeout)
            metered.patience_s = server.timeout
            metered.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peer = metered.peer = Peer(meter)
            super().__init__(server, metered, *args, **kwargs)

    return MeteredConnection


class PeerGateway(Gateway_10):
    """Hands the connection's :class:`Peer` to the application as ``flq.peer``."""

    def get_environ(self):
        """Return the WSGI environment."""
        if self.req.chunked_read:
            self.req.close_connection = True  # it is refused unread: what follows is no request
        environ = super().get_environ()
        environ["flq.peer"] = self.req.conn.peer
        return environ
