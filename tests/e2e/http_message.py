"""HTTP messages as bytes: their lengths, and their frames."""

import socket
from typing import List, NamedTuple, Tuple

from flq.protocol.wire import HEADER, PREFIX_SIZE

PIECE = 1 << 16


class Frame(NamedTuple):
    """The fields of a frame's header, and the frame's size in bytes."""

    kind: int
    codec_id: int
    index: int
    size: int


class Broken(Exception):
    """One side has closed its connection, or it must be closed."""


def target_of(request: bytes) -> Tuple[str, str]:
    """Return path and query of a request."""
    path, _, query = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[1].partition("?")
    return path, query


def body_of(message: bytes) -> bytes:
    """Return the bytes after the head, as far as received."""
    return message.partition(b"\r\n\r\n")[2]


def read_message(sock: socket.socket, has_body: bool = True) -> bytes:
    """Read head and body of a request or a response.

    Raises
    ------
    Broken
        If the peer closes before.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        data += _piece(sock)
    n_head = data.index(b"\r\n\r\n") + 4
    head, pieces = data[:n_head], [data[n_head:]]
    missing = (_body_size(head) if has_body else 0) - len(pieces[0])
    while missing > 0:
        pieces.append(_piece(sock))
        missing -= len(pieces[-1])
    return head + b"".join(pieces)


def frames_of(body: bytes) -> List[Frame]:
    """Return the complete frames in a body."""
    frames, start = [], 0
    while body[start : start + 4] == b"FLQf" and len(body) >= start + PREFIX_SIZE:
        _, _, kind, codec_id, _, _, _, index, length = HEADER.unpack_from(body, start)
        if start + PREFIX_SIZE + length > len(body):
            break
        frames.append(Frame(kind, codec_id, index, PREFIX_SIZE + length))
        start += PREFIX_SIZE + length
    return frames


def _piece(sock: socket.socket) -> bytes:
    piece = sock.recv(PIECE)
    if not piece:
        raise Broken()
    return piece


def _body_size(head: bytes) -> int:
    if head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")):
        return 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def half_of(message: bytes) -> int:
    """Return the offset of the second half of a message's body, or of its head if it has no body."""
    n_head = message.index(b"\r\n\r\n") + 4
    return (n_head + len(message)) // 2 if len(message) > n_head else n_head // 2
