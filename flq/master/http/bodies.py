"""Reads bodies of requests, JSON or frames, and writes responses of frames."""

import json
import mmap
import re
from typing import Any, Dict, Iterator, Optional, Union

from flask import Response, request
from werkzeug.exceptions import ClientDisconnected

from ...errors import WireError
from ...protocol.resumable import PartialReply, n_received, name_of, without
from ...protocol.wire import CRC_HEADER, MEDIA_TYPE, Buffers, size_of, text_crc

TAKE_FRAMES = ("/offer", "/upload_update")
MAX_JSON_BYTES = 65536
MAX_JSON_DEPTH = 32  # nested brackets
QUOTE, BACKSLASH, OPENING, CLOSING = ord('"'), ord("\\"), b"[{", b"]}"
PIECE = 1 << 20  # bytes read or written at a time
WORTH_RESUMING = 1 << 14  # bytes of a reply that can be resumed; a smaller one has no ETag and is sent again whole
RANGE, ETAG = re.compile(r"bytes=([0-9]{1,15})-\Z"), re.compile(r'"([0-9a-f]{1,64})"\Z')

Body = Union[bytearray, mmap.mmap]


def json_object(text: Body) -> Dict[str, Any]:
    """Parse the body of a request that is a JSON object."""
    try:
        body = json.loads(text) if len(text) <= MAX_JSON_BYTES and _depth(text) <= MAX_JSON_DEPTH else None  # type: ignore[arg-type]
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise WireError(
            "the body must be a JSON object of at most %d bytes, nested at most %d deep"
            % (MAX_JSON_BYTES, MAX_JSON_DEPTH)
        )
    return body


def _depth(text: Body) -> int:
    """Return the maximum nesting of brackets in a JSON text, without parsing it."""
    deepest = depth = 0
    in_string = escaped = False
    for byte in text:
        if in_string:
            in_string = escaped or byte != QUOTE
            escaped = not escaped and byte == BACKSLASH
        elif byte == QUOTE:
            in_string = True
        elif byte in OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif byte in CLOSING:
            depth -= 1
    return deepest


def read_body(size: int) -> Body:
    """Read the body into one buffer of its declared length; connection.py limits the time.

    A large body gets its own memory mapping, which is returned to the system when the body is freed; the heap of each
    thread would keep it.
    """
    body: Body = mmap.mmap(-1, size) if size > PIECE else bytearray(size)
    view, n_read = memoryview(body), 0
    while n_read < size:
        try:
            n_bytes = _read_into(view[n_read : n_read + PIECE])
        except (ClientDisconnected, OSError):  # OSError: timeout
            n_bytes = 0
        if not n_bytes:
            raise WireError("the body ended, or was too slow, after %d of %d bytes" % (n_read, size), "send it again")
        n_read += n_bytes
    return body


def _read_into(view: memoryview) -> int:
    if hasattr(request.stream, "readinto"):
        return request.stream.readinto(view)
    piece = request.stream.read(len(view))  # without readinto
    view[: len(piece)] = piece
    return len(piece)


def check_crc(body: Body) -> None:
    """Check the query of the current request, and a body that is not a frame, against the sender's CRC32, if any.

    Raises
    ------
    WireError
        If they do not match.
    """
    said = request.headers.get(CRC_HEADER)
    if said is not None and said != text_crc(request.query_string, b"" if request.path in TAKE_FRAMES else body):  # type: ignore[arg-type]
        raise WireError(
            "the request is corrupted: its CRC32 does not match",
            "send it again; if that always fails, a proxy on the way changes requests",
        )


def with_crc(response: Response) -> Response:
    """Add the CRC32 header to a JSON response."""
    response.headers[CRC_HEADER] = text_crc(response.get_data())
    return response


def partial_reply() -> Optional[PartialReply]:
    """Return the partial reply that the current request wants to resume; ignore a Range of any other form."""
    first = RANGE.match(request.headers.get("Range", ""))
    name = ETAG.match(request.headers.get("If-Range", ""))
    return PartialReply(name.group(1), int(first.group(1))) if first and name else None


def plan_frames(stream: Buffers, partial: Optional[PartialReply]) -> Response:
    """Return a response with a plan and its frames, or with the rest if the worker has the beginning of them."""
    start = n_received(stream, partial)
    response = frames(without(stream, start))
    if start:
        response.status_code = 206
        response.headers["Content-Range"] = "bytes %d-%d/%d" % (start, size_of(stream) - 1, size_of(stream))
    return _named(response, stream)


def verdict_frames(verdict: Buffers, stream: Buffers) -> Response:
    """Return a response with a verdict, which a plan and frames may follow.

    The plan and frames have the ETag that they have in the reply to a poll, so that a poll can resume them.
    """
    return _named(frames(verdict + stream, says_what=False), stream)


def _named(response: Response, stream: Buffers) -> Response:
    """Add the ETag of a plan and its frames if they are large enough to be resumed."""
    if size_of(stream) >= WORTH_RESUMING:
        response.headers["ETag"] = '"%s"' % name_of(stream)
    return response


def frames(buffers: Buffers, says_what: bool = True) -> Response:
    """Return a response that streams frames piece by piece; ``says_what`` adds their Content-Type."""

    def pieces() -> Iterator[bytes]:
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), PIECE):
                yield bytes(view[start : start + PIECE])

    response = Response(pieces(), content_type=MEDIA_TYPE)
    response.content_length = size_of(buffers)
    if not says_what:
        del response.headers["Content-Type"]
    return terse(response)


def terse(response: Response) -> Response:
    """Omit headers that a worker does not read, to save bytes in each round."""
    request.environ.get("flq.terse", _nothing)()
    return response


def _nothing() -> None:
    """Do nothing; used without a :class:`Server`."""
