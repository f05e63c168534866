"""Streams between server and socket with few copies and headers; cheroot's own are pure Python."""

import socket

from cheroot.server import KnownLengthRFile


class TerseHeaders(list):
    """The headers of a response, without those that the server adds and workers do not read."""

    def append(self, header) -> None:
        """Add a header."""
        if header[0] not in (b"Date", b"Server"):
            super().append(header)


class Body(KnownLengthRFile):
    """The body of a request, which can be read into a buffer."""

    def readinto(self, buffer) -> int:
        """Read received bytes into a buffer, at least one unless the body has ended; return their number."""
        view = memoryview(buffer)[: self.remaining]
        if self.rfile.has_data():  # read together with the head
            piece = self.rfile.read1(len(view))
            n_bytes = len(piece)
            view[:n_bytes] = piece
        else:
            n_bytes = self.rfile.raw.readinto(view) or 0
        self.remaining -= n_bytes
        return n_bytes


class Outgoing:
    """Writes to a socket without copying; sends the head of a response together with the bytes that follow."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""
        self.holds_next = False  # the next write waits for the one after it

    def write(self, data: bytes) -> None:
        """Send bytes."""
        data = self._held + data if self._held else data
        self._held, self.holds_next, is_held = b"", False, self.holds_next
        if is_held:
            self._held = data
            return
        view = memoryview(data)
        while len(view):
            view = view[self._sock.send(view) :]

    def flush(self) -> None:
        """Send the bytes that wait."""
        self.write(b"")
