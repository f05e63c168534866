"""Bodies of requests and responses, in both directions: frames, JSON objects, models."""

import json
from io import BytesIO
from typing import Any, Dict, Iterator, Tuple

from flask import Response, jsonify, request
from werkzeug.exceptions import ClientDisconnected

from ..core.params import Layout, Vector, unflatten
from ..errors import BadValues, WireError
from ..protocol.wire import Buffers
from .results import write_npz

FRAMES = "application/x-flq"
MAX_JSON_BYTES = 65536
PIECE = 1 << 20  # bytes read or written at a time


def json_object(text: bytearray) -> Dict[str, Any]:
    """Parse the body of a request that is a JSON object."""
    try:
        body = json.loads(text) if len(text) <= MAX_JSON_BYTES else None
    except (ValueError, RecursionError):  # RecursionError: brackets within brackets, thousands deep
        body = None
    if not isinstance(body, dict):
        raise WireError("the body must be a JSON object of at most %d bytes" % MAX_JSON_BYTES)
    return body


def read_body(size: int) -> bytearray:
    """Read the body into one buffer of its declared length; connection.py says how long that may take."""
    body, n_read = bytearray(size), 0
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


def model_for_people(published: Tuple[int, Vector], layout: Layout, wanted: str) -> Response:
    """Send the model as nested lists or as an .npz file: for people with curl.

    Parameters
    ----------
    published : (int, ndarray of shape (n_params,), float32)
        How many rounds are done, and the model after them.
    wanted : str
        json or npz; anything else raises BadValues.
    """
    n_rounds, model = published
    if wanted == "json":
        return jsonify(round=n_rounds, layers=layout.to_json(),
                       weights=[array.tolist() for array in unflatten(model, layout)])
    if wanted != "npz":
        raise BadValues("format must be json or npz, got %.80r" % wanted)
    stream = BytesIO()
    write_npz(stream, model, layout)
    response = frames((stream.getbuffer(),))
    response.content_type = "application/zip"
    response.headers["Content-Disposition"] = 'attachment; filename="model.npz"'
    return response
