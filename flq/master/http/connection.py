"""Connections of the server: their sockets count bytes, and no peer occupies a thread for long.

A connection gets a thread only when the whole head of a request has arrived; until then its bytes
are buffered, and the connection waits among the silent ones. Reading a body and sending a response
have a deadline each. A peer that misses it gets 408 or 400, and the connection is closed.
"""

import json
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest, KnownLengthRFile
from cheroot.wsgi import Gateway_10

from ..records.wire_meter import Meter, Peer, Wire
from .streams import Body, Outgoing, TerseHeaders

HEAD_S = 10.0  # from the first byte of a request to the last of its head
BODY_S = 60.0  # for a body, plus its size divided by
BODY_BYTES_PER_S = 10000  # a tenth of a link of 1 Mbit/s
LARGEST_BODY = 10**12  # keeps the arithmetic finite
MAX_HEAD_BYTES = 32768
ONLY_ONCE = (b"Content-Length", b"Host", b"Authorization")
PIECE = 8192
TLS_HANDSHAKE = b"\x16"  # first byte of a TLS connection, and of no HTTP request
HINTS = {"408": "send the whole request sooner", "400": "send HTTP/1.1, as curl does"}


if TYPE_CHECKING:
    Mixin = socket.socket
else:
    Mixin = object


class Metered(Mixin):
    """Mixin of sockets that count bytes, and receive and send until ``deadline`` (monotonic seconds)."""

    peer: Peer
    deadline = 0.0
    patience_s = 0.0  # for one send or receive
    has_ended = False  # the peer sends no more

    def begin(self, peer: Peer, patience_s: float) -> None:
        """Prepare a new socket."""
        self.peer, self.patience_s = peer, patience_s
        self.early = bytearray()  # received, but not read yet
        self.head_since = 0.0  # when the first of these bytes arrived; 0 = there are none
        self.settimeout(patience_s)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def has_head(self) -> bool:
        """Buffer received bytes without waiting; return whether they are a whole head, or cannot become one."""
        self.settimeout(0.0)
        try:
            while not (self._is_whole() or self.has_ended):
                piece = self.recv(PIECE)
                self.has_ended = not piece
                self.peer.count(Wire(up=len(piece)))
                self.early += piece
        except OSError as error:
            self.has_ended = not self.is_not_yet(error)
        finally:
            self.settimeout(self.patience_s)
        if self.early:
            self.note_begin()
        return self._is_whole() or bool(self.has_ended and self.early)

    def note_begin(self) -> None:
        """Remember when a head, or a handshake, has begun."""
        self.head_since = self.head_since or time.monotonic()

    def is_not_yet(self, error: OSError) -> bool:
        """Return whether an error only means that nothing has arrived."""
        return isinstance(error, BlockingIOError)

    def recv_into(self, buffer, nbytes=0, *flags):
        """Receive and count bytes.

        Raises
        ------
        socket.timeout
            If nothing arrives in time.
        """
        if self.early:
            size = min(nbytes or len(buffer), len(self.early))
            memoryview(buffer).cast("B")[:size] = self.early[:size]
            del self.early[:size]
            return size
        self._wait_until_deadline()
        try:
            n_bytes = super().recv_into(buffer, nbytes or len(buffer), *flags)
        finally:
            self.settimeout(self.patience_s)
        self.peer.count(Wire(up=n_bytes))
        return n_bytes

    def send(self, *args, **kwargs):
        """Send and count bytes."""
        self._wait_until_deadline()
        n_bytes = super().send(*args, **kwargs)
        self.peer.count(Wire(down=n_bytes))
        return n_bytes

    def send_now(self, data: bytes) -> None:
        """Send as many bytes as possible without waiting; count them."""
        self.settimeout(0.0)
        self.peer.count(Wire(down=super().send(data)))

    def _is_whole(self) -> bool:
        # A line that does not end in \r\n is rejected when it is read.
        return b"\n\r\n" in self.early or b"\n\n" in self.early or len(self.early) > MAX_HEAD_BYTES

    def _wait_until_deadline(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self.settimeout(min(left, self.patience_s))


class MeteredSocket(Metered, socket.socket):
    """A socket without encryption."""

    def has_head(self) -> bool:
        """As the base class, but reject a TLS handshake: its peer would wait for a reply."""
        is_whole = super().has_head()
        if self.early[:1] != TLS_HANDSHAKE:
            return is_whole
        self.has_ended = True
        self.early.clear()
        with suppress(OSError):
            self.send_now(
                refusal(
                    "400 Bad Request",
                    "this master speaks plain HTTP only: use http://",
                    "start workers without --tls and --ca",
                )
            )
        return False


class Unfolded:
    """Reads the lines of a head; rejects folded headers."""

    def __init__(self, rfile) -> None:
        self._rfile = rfile

    def readline(self) -> bytes:
        """Return the next line."""
        line = self._rfile.readline()
        if line[:1] in (b" ", b"\t"):
            raise ValueError("a header is continued on another line")
        return line


class PlainNames(HeaderReader):
    """Ignores headers whose name has an underscore: WSGI does not distinguish a_b from a-b."""

    def __call__(self, rfile, hdict=None):
        """Read the headers."""
        return super().__call__(Unfolded(rfile), hdict)

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name


class Headers(dict):
    """The headers of a request; rejects duplicates of some, since proxies could interpret them differently."""

    def __setitem__(self, name: bytes, value: bytes) -> None:
        if name in ONLY_ONCE and name in self:
            raise ValueError("duplicate header %s" % name.decode("ascii"))
        super().__setitem__(name, value)


class BoundedRequest(HTTPRequest):
    """A request whose head, body and response have a deadline each."""

    header_reader = PlainNames()
    is_terse = False

    def parse_request(self) -> None:
        """Read the head, which has arrived."""
        self.conn.socket.deadline = time.monotonic() + HEAD_S
        super().parse_request()

    def read_request_line(self) -> bool:
        """Read the first line; reject an invalid URL."""
        try:
            return super().read_request_line()
        except ValueError:
            self.simple_response("400 Bad Request", "Malformed Request-URI")
            return False

    def read_request_headers(self) -> bool:
        """Read the headers; reject a Content-Length that is not all digits."""
        self.inheaders = Headers()
        is_read = super().read_request_headers()
        if is_read and not self.inheaders.get(b"Content-Length", b"0").isdigit():
            self.simple_response("400 Bad Request", "Malformed Content-Length Header.")
            return False
        return is_read

    def respond(self) -> None:
        """Call the application, which reads the body."""
        size = min(int(self.inheaders.get(b"Content-Length", 0)), LARGEST_BODY)
        self.allow(BODY_S + size / BODY_BYTES_PER_S)
        super().respond()
        self.conn.wfile.flush()

    def allow(self, seconds: float) -> None:
        """Set the time limit of the next step."""
        self.conn.socket.deadline = time.monotonic() + seconds

    def send_headers(self) -> None:
        """Send the head of the response."""
        if getattr(self.rfile, "remaining", 0) > 0:
            self.close_connection = True  # cheroot would wait for the rest of a rejected body
        size = max([int(value) for name, value in self.outheaders if name.lower() == b"content-length"], default=0)
        self.allow(BODY_S + size / BODY_BYTES_PER_S)
        if self.is_terse:
            self.outheaders = TerseHeaders(self.outheaders)
        self.conn.wfile.holds_next = True
        super().send_headers()

    def simple_response(self, status, msg="") -> None:
        """Reject an invalid request in the usual form of errors; close the connection."""
        self.close_connection = True
        self.allow(HEAD_S)
        if str(status)[:3] in ("501", "505"):  # these would blame the master
            status, msg = "400 Bad Request", msg or str(status)[4:].lower()
        with suppress(OSError):
            self.conn.wfile.write(refusal(str(status), msg))


def refusal(status: str, detail: str = "", hint: str = "") -> bytes:
    """Return the bytes of an error response to a request that does not reach the application.

    The default hint is that of the status.
    """
    number, _, words = status.partition(" ")
    body = (
        json.dumps(
            {
                "error": words.title().replace(" ", ""),
                "detail": detail or words.lower(),
                "hint": hint or HINTS.get(number, ""),
            }
        ).encode("ascii")
        + b"\n"
    )
    head = "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (
        status,
        len(body),
    )
    return head.encode("ascii") + body


def metered_connection(meter: Meter):
    """Return a connection class for cheroot whose sockets count into ``meter``."""

    class MeteredConnection(HTTPConnection):
        RequestHandlerClass = BoundedRequest
        is_known = False  # the peer has sent a valid token

        def __init__(self, server, sock, *args, **kwargs):
            if not isinstance(sock, Metered):
                sock = MeteredSocket(fileno=sock.detach())
            self.peer = Peer(meter)
            sock.begin(self.peer, server.timeout)
            super().__init__(server, sock, *args, **kwargs)
            self.wfile = Outgoing(sock)

        def is_ready(self) -> bool:
            """Return whether a request can be handled; otherwise the connection waits, or has ended."""
            return self.socket.has_head()

        def communicate(self):
            """Answer the received request; return whether to keep the connection."""
            if not self.is_ready():
                return not self.socket.has_ended
            self.socket.head_since = 0.0
            keeps = super().communicate()
            if not keeps:
                self.socket.early.clear()  # the peer has a response: send no 408
            if keeps and self.rfile.has_data():  # a pipelined request
                self.socket.early[:0] = self.rfile.read1(self.rbufsize)
            return keeps

        def close(self):
            """Close the connection; send 408 if a request has begun."""
            self.server.forget(self)
            with suppress(OSError):  # it may be broken; the thread that closes it must not fail
                if self.socket.early and not self.socket.has_ended:
                    self.socket.send_now(refusal("408 Request Timeout"))
            with suppress(OSError):
                super().close()
            self.socket.close()

    return MeteredConnection


class PeerGateway(Gateway_10):
    """Gives the application access to the connection, through the WSGI environment.

    ``flq.peer`` is its :class:`Peer`. The application calls ``flq.is_known`` with the name of the peer's token,
    ``flq.hurry`` to shorten the time limit of a body, and ``flq.terse`` to omit headers of the response. The functions
    in ``flq.at_end`` are called when the response is sent.
    """

    def get_environ(self):
        """Return the WSGI environment."""
        if b"Transfer-Encoding" in self.req.inheaders:
            self.req.close_connection = True  # the body is rejected unread: the bytes that follow are no request
        if isinstance(self.req.rfile, KnownLengthRFile):
            self.req.rfile = Body(self.req.rfile.rfile, self.req.rfile.remaining)
        environ = super().get_environ()
        conn = self.req.conn
        environ.update(
            {
                "flq.peer": conn.peer,
                "flq.at_end": [],
                "flq.hurry": self.req.allow,
                "flq.is_known": lambda name: conn.server.vouch(conn, name),
                "flq.terse": lambda: setattr(self.req, "is_terse", True),
            }
        )
        return environ

    def respond(self) -> None:
        """Answer the request."""
        try:
            super().respond()
        finally:
            for function in self.env["flq.at_end"]:
                function()
