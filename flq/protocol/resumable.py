"""Resume a download where it broke off: the rest of a stream whose beginning has come already.

What a stream is called follows from its bytes without reading them: every frame carries a CRC32 of its own.
"""

import hashlib
from typing import NamedTuple, Optional

from .wire import HEADER, PREFIX_SIZE, Buffers, size_of

N_DIGITS = 16


class PartialReply(NamedTuple):
    """The beginning of a stream that broke off, as the worker that keeps it names it.

    Attributes
    ----------
    name : str
        Of the stream: :func:`name_of`.
    n_bytes : int
        How much of it has come.
    """

    name: str
    n_bytes: int


def name_of(stream: Buffers) -> str:
    """Return what whole frames, one after the other, are called; it differs where a byte of them does.

    It is taken from what is no payload; a frame's length and CRC32 say what the payload is.
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
    """Return how many bytes of a stream need not be sent: 0 unless it is the one that broke off."""
    if partial is None or not 0 < partial.n_bytes < size_of(stream) or partial.name != name_of(stream):
        return 0
    return partial.n_bytes


def without(stream: Buffers, n_bytes: int) -> Buffers:
    """Return what follows the first bytes of a stream; nothing is copied."""
    rest: Buffers = []
    for buffer in stream:
        if n_bytes < len(buffer):
            rest.append(memoryview(buffer)[n_bytes:])
        n_bytes = max(0, n_bytes - len(buffer))
    return rest
