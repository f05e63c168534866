"""Bodies of requests and responses: JSON objects come in, frames go both ways."""

import json
import mmap
from typing import Any, Dict, Iterator, Union

from flask import Response, request
from werkzeug.exceptions import ClientDisconnected

from ..errors import WireError
from ..protocol.wire import Buffers

FRAMES = "application/x-flq"
MAX_JSON_BYTES = 65536
PIECE = 1 << 20  # bytes read or written at a time

Body = Union[bytearray, mmap.mmap]


def json_object(text: Body) -> Dict[str, Any]:
    """Parse the body of a request that is a JSON object."""
    try:
        body = json.loads(text) if len(text) <= MAX_JSON_BYTES else None
    except (ValueError, RecursionError):  # RecursionError: brackets within brackets, thousands deep
        body = None
    if not isinstance(body, dict):
        raise WireError("the body must be a JSON object of at most %d bytes" % MAX_JSON_BYTES)
    return body


def read_body(size: int) -> Body:
    """Read the body into one buffer of its declared length; connection.py says how long that may take.

    A large one gets pages of its own, which go back to the system with it: the threads' heaps would keep
    one each.
    """
    body: Body = mmap.mmap(-1, size) if size > PIECE else bytearray(size)
    n_read = 0
    while n_read < size:
        try:
            piece = request.stream.read(min(PIECE, size - n_read))
        except (ClientDisconnected, OSError):  # OSError: it took too long
            piece = b""
        if not piece:
            raise WireError("the body ended, or was too slow, after %d of %d bytes" % (n_read, size), "send it again")
        body[n_read:n_read + len(piece)] = piece
        n_read += len(piece)
    return body


def frames(buffers: Buffers) -> Response:
    """Send frames piece by piece from where they lie."""
    def pieces() -> Iterator[bytes]:
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), PIECE):
                yield bytes(view[start:start + PIECE])

    response = Response(pieces(), content_type=FRAMES)
    response.content_length = sum(len(buffer) for buffer in buffers)
    return response
