"""What passes between server and socket, with few copies and few headers: cheroot's own streams are pure Python."""

import socket

from cheroot.server import KnownLengthRFile


class TerseHeaders(list):
    """The headers of an answer, without those that the server adds by itself and no program reads."""

    def append(self, header) -> None:
        """Add a header."""
        if header[0] not in (b"Date", b"Server"):
            super().append(header)


class Body(KnownLengthRFile):
    """The body of a request, which can be read to where it shall be."""

    def readinto(self, buffer) -> int:
        """Put what has come into a buffer, at least a byte unless the body has ended; return how much that is."""
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
    """Writes to a socket from where the bytes lie; the head of an answer leaves together with what follows it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""
        self.holds_next = False  # what is written next waits for what comes after it

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
        """Send what has waited."""
        self.write(b"")
