"""Resume an interrupted download: the rest of a stream whose beginning has arrived.

The name of a stream follows from its bytes without reading the payloads: every frame carries a CRC32.
"""

import hashlib
from typing import NamedTuple, Optional

from .wire import HEADER, PREFIX_SIZE, Buffers, size_of

N_DIGITS = 16


class PartialReply(NamedTuple):
    """The received beginning of an interrupted stream, as the worker describes it.

    Attributes
    ----------
    name : str
        Of the stream: :func:`name_of`.
    n_bytes : int
        How many bytes have arrived.
    """

    name: str
    n_bytes: int


def name_of(stream: Buffers) -> str:
    """Return the name of consecutive whole frames; it changes with any of their bytes.

    It is a hash of everything but the payloads; a frame's length and CRC32 represent its payload.
    """
    digest, left = hashlib.sha256(), 0
    for buffer in stream:
        if left:
            left -= len(buffer)
            continue
        digest.update(buffer)
        left = PREFIX_SIZE + HEADER.unpack_from(buffer)[-1] - len(buffer)
    return digest.hexdigest()[:N_DIGITS]


def n_received(stream: Buffers, partial: Optional[PartialReply]) -> int:
    """Return how many bytes of a stream need not be sent; 0 unless it is the interrupted one."""
    if partial is None or not 0 < partial.n_bytes < size_of(stream) or partial.name != name_of(stream):
        return 0
    return partial.n_bytes


def without(stream: Buffers, n_bytes: int) -> Buffers:
    """Return a stream without its first bytes; nothing is copied."""
    rest: Buffers = []
    for buffer in stream:
        if n_bytes < len(buffer):
            rest.append(memoryview(buffer)[n_bytes:])
        n_bytes = max(0, n_bytes - len(buffer))
    return rest
