"""Reads and writes the messages between the master and its evaluator process.

A message is a 4-byte big-endian length, that many bytes of JSON, and as many raw bytes as
``payload_bytes`` in the JSON says. Vectors are little-endian float32, one after the other. The
master writes a request and reads one reply::

    {"do": "settings", "settings": {...}}                  -> {"ready": true, "n_params": n}
              for a user's own model -> {"ready": true, "n_params": n, "layout": [...]} + its start vector
    {"do": "evaluate", "round": k, "n_vectors": v} + v vectors
                             -> {"round": k, "results": [{name: x, ...}, ...]}
    {"do": "export", "path": "..."} + one vector           -> {"saved": path}
    a request that fails                                   -> {"error": "one sentence"}

``layout`` is that of ``Layout.to_json``. A result has the task's metrics by name: "loss", and for
classification "accuracy"; without a test set it is empty. NaN and infinity become null. ``path`` is that of
``Task.export``. The end of the stream ends the process.

Example
-------
>>> import io
>>> stream = io.BytesIO()
>>> write_message(stream, {"do": "evaluate", "round": 1, "n_vectors": 1}, np.zeros(3, np.float32))
>>> _ = stream.seek(0)
>>> header, payload = read_message(stream)
>>> vectors_from(payload, 1, 3)
[array([0., 0., 0.], dtype=float32)]
"""

import json
import struct
from typing import IO, Any, Dict, List, Optional, Tuple

import numpy as np

from ..core.layout import Vector
from ..errors import BadValues, TooLarge, WireError

MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 1 << 32

Message = Tuple[Dict[str, Any], bytearray]  # header, payload


def write_message(stream: IO[bytes], header: Dict[str, Any], *vectors: Vector) -> None:
    """Write one message and flush.

    Parameters
    ----------
    stream : binary stream
    header : dict
        JSON values; ``payload_bytes`` is added here.
    *vectors : ndarray of shape (n_params,), float32
    """
    payload = [np.ascontiguousarray(vector, "<f4") for vector in vectors]
    sized = dict(header, payload_bytes=sum(vector.nbytes for vector in payload))
    text = json.dumps(sized, allow_nan=False).encode("utf-8")
    stream.write(struct.pack(">I", len(text)) + text)
    for vector in payload:
        stream.write(memoryview(vector).cast("B"))
    stream.flush()


def read_message(stream: IO[bytes]) -> Optional[Message]:
    """Read one message; return None at the end of the stream.

    Raises
    ------
    WireError
        If the bytes are not a message, or end within one. The stream cannot be used any more.
    """
    prefix = _read(stream, 4)
    if not prefix:
        return None
    (n_header_bytes,) = struct.unpack(">I", _whole(prefix, 4))
    if n_header_bytes > MAX_HEADER_BYTES:
        raise TooLarge("the header declares %d bytes, at most %d are allowed" % (n_header_bytes, MAX_HEADER_BYTES))
    try:
        header = json.loads(_whole(_read(stream, n_header_bytes), n_header_bytes).decode("utf-8"))
        n_payload_bytes = int(header["payload_bytes"])
    except (ValueError, TypeError, KeyError):
        raise WireError("the header is not a JSON object with payload_bytes") from None
    if not 0 <= n_payload_bytes <= MAX_PAYLOAD_BYTES:
        raise TooLarge("the payload declares %d bytes, 0..%d are allowed" % (n_payload_bytes, MAX_PAYLOAD_BYTES))
    return header, _whole(_read(stream, n_payload_bytes), n_payload_bytes)


def vectors_from(payload: bytearray, n_vectors: int, n_params: int) -> List[Vector]:
    """Return the vectors of a payload, without copying.

    Raises
    ------
    BadValues
        If the payload has another length.
    """
    if len(payload) != 4 * n_vectors * n_params:
        raise BadValues(
            "the payload has %d bytes, expected %d vectors of %d float32" % (len(payload), n_vectors, n_params)
        )
    values = np.frombuffer(payload, "<f4")
    return [values[i * n_params : (i + 1) * n_params] for i in range(n_vectors)]


def _read(stream: IO[bytes], size: int) -> bytearray:
    """Read ``size`` bytes, or fewer at the end of the stream."""
    data, n_read = bytearray(size), 0
    while n_read < size:
        n_new = stream.readinto(memoryview(data)[n_read:])  # type: ignore
        if not n_new:
            break
        n_read += n_new
    return data if n_read == size else data[:n_read]


def _whole(data: bytearray, size: int) -> bytearray:
    if len(data) < size:
        raise WireError("the stream ended after %d of %d bytes" % (len(data), size))
    return data
