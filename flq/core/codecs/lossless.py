"""Lossless coding of payloads, by deflate or zstd.

Most codes of an update lie near zero, which leaves redundancy. A payload is sent coded if that makes it smaller; the
frame says how (docs/wire.md). ``zlib`` is deflate with matches of distance 1 alone: longer matches in packed codes are
coincidence, and cost more than they save. It leaves about as many bytes as ``zstd``, of sparse codes up to 16 % fewer,
at a tenth of the speed: large payloads are coded with ``zstd`` if both ends have the package.

The position of a code within a byte repeats every 3, 5, 3 or 7 bytes with 3, 5, 6 or 7 bits, and a float32 value
every 4 bytes. So the bytes are first deinterleaved into as many planes.

>>> payload = np.arange(4000, dtype=np.float32).view(np.uint8)
>>> coded = code(payload, 32, ("zlib",))
>>> bool((uncode(coded, payload.size, 32) == payload).all()), coded.data.size < payload.size
(True, True)
"""

import zlib
from functools import lru_cache
from math import gcd
from typing import Any, Collection, Iterable, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from ...errors import CodecError, Conflict
from .codec import Payload

SETTINGS = ("auto", "zlib", "none")  # flq_algorithm.coding
ZLIB, ZSTD = 1, 2  # their numbers on the wire
NUMBERS = {"zlib": ZLIB, "zstd": ZSTD}
SMALL = 1 << 16  # payloads up to this size in bytes are always coded with zlib
PIECE = 1 << 16
ZSTD_LEVEL, ZSTD_WINDOW = 1, 1 << 20  # window: the memory that decoding may take besides the payload


class Coded(NamedTuple):
    """A payload as it is sent: the number of its coding, and the bytes."""

    coding: int
    data: Payload


@lru_cache(maxsize=None)
def _zstandard() -> Any:
    """Return the package, or None where it is not installed."""
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard


def known() -> Tuple[str, ...]:
    """Return the codings that this machine can read and write."""
    return ("zlib",) if _zstandard() is None else ("zlib", "zstd")


def common(setting: str, theirs: Iterable[str]) -> Tuple[str, ...]:
    """Return the codings to use with a peer: allowed by ``flq_algorithm.coding`` and known at both ends."""
    allowed = {"auto": known(), "zlib": ("zlib",), "none": ()}[setting]
    theirs = frozenset(theirs)
    return tuple(name for name in allowed if name in theirs)


def choose(n_bytes: int, bits: int, names: Collection[str]) -> int:
    """Return the number of the coding for a payload of ``n_bytes`` bytes; 0 = none."""
    if not bits or not names:
        return 0
    return ZSTD if "zstd" in names and (n_bytes > SMALL or "zlib" not in names) else ZLIB


def code(payload: Payload, bits: int, names: Collection[str]) -> Optional[Coded]:
    """Code a payload; return None if that does not make it smaller.

    Parameters
    ----------
    bits : int
        Bits per parameter of its quantizer; 0 = it is entropy-coded already.
    names : collection of str
        The codings that the peer can read.
    """
    coding = choose(payload.size, bits, names)
    if not coding:
        return None
    planes = _to_planes(payload, _period(bits))
    if coding == ZSTD:
        data = _zstandard().ZstdCompressor(level=ZSTD_LEVEL).compress(planes)
    else:
        compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_RLE)
        data = compressor.compress(planes) + compressor.flush()
    return Coded(coding, np.frombuffer(data, np.uint8)) if len(data) < payload.size else None


def sent_size(payload: Payload, bits: int, names: Collection[str]) -> int:
    """Return the size in bytes of a payload as it is sent."""
    coded = code(payload, bits, names)
    return payload.size if coded is None else coded.data.size


def uncode(coded: Coded, n_bytes: int, bits: int) -> Payload:
    """Return the payload of ``n_bytes`` bytes; nothing larger is allocated, whatever ``coded`` holds.

    Raises
    ------
    CodecError
        If ``coded`` does not hold exactly such a payload.
    Conflict
        If this machine cannot read the coding.
    """
    if not bits:
        raise CodecError("the payload is coded twice", "send the payload of its codec as it is")
    read = _read_zstd if coded.coding == ZSTD else _read_zlib
    return _from_planes(read(coded.data, n_bytes), _period(bits))


def _read_zlib(data: Payload, n_bytes: int) -> Payload:
    planes, n_read = np.empty(n_bytes, np.uint8), 0
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for start in range(0, data.size, PIECE):
            piece = decompressor.decompress(data[start : start + PIECE], n_bytes - n_read + 1)
            if n_read + len(piece) > n_bytes:
                raise _not_whole(n_bytes)
            planes[n_read : n_read + len(piece)] = np.frombuffer(piece, np.uint8)
            n_read += len(piece)
    except zlib.error:
        raise CodecError("the coded payload is not a deflate stream") from None
    if n_read != n_bytes or not decompressor.eof or decompressor.unused_data or decompressor.unconsumed_tail:
        raise _not_whole(n_bytes)
    return planes


def _read_zstd(data: Payload, n_bytes: int) -> Payload:
    package = _zstandard()
    if package is None:
        raise Conflict(
            "the payload is coded with zstd, which this machine cannot read",
            "install zstandard here, or register again",
        )
    try:
        frame = package.get_frame_parameters(data)
        if (
            frame.content_size != n_bytes
            or frame.dict_id
            or frame.window_size > ZSTD_WINDOW
            or (_zstd_end(data, package.frame_header_size(data), frame.has_checksum) != data.size)
        ):
            raise _not_whole(n_bytes)
        planes = package.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompress(data, max_output_size=n_bytes)
    except package.ZstdError:
        raise CodecError("the coded payload is not a zstd frame") from None
    if len(planes) != n_bytes:
        raise _not_whole(n_bytes)
    return np.frombuffer(planes, np.uint8)


def _zstd_end(data: Payload, start: int, has_checksum: bool) -> int:
    """Return where a zstd frame ends whose blocks start at ``start``; -1 if it does not (RFC 8878, 3.1.1.2)."""
    is_last = False
    while not is_last:
        if start + 3 > data.size:
            return -1
        header = int(data[start]) | int(data[start + 1]) << 8 | int(data[start + 2]) << 16
        is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        if size == 0 and not is_last:
            return -1  # allowed, but no encoder makes many empty blocks
        start += 3 + (1 if kind == 1 else size)  # 1: one byte, to be repeated
    return start + 4 * has_checksum


def _not_whole(n_bytes: int) -> CodecError:
    return CodecError("the coded payload does not decode to exactly %d bytes" % n_bytes)


def _period(bits: int) -> int:
    """Return after how many bytes the position of a code within a byte repeats."""
    return bits // gcd(bits, 8)


def _to_planes(payload: Payload, period: int) -> Payload:
    """Deinterleave the bytes: first those at 0, period, 2 period, ..., then their successors, and so on."""
    if period == 1:
        return payload
    planes = np.empty_like(payload)
    for apart, together in _places(payload.size, period):
        planes[together] = payload[apart]
    return planes


def _from_planes(planes: Payload, period: int) -> Payload:
    if period == 1:
        return planes
    payload = np.empty_like(planes)
    for apart, together in _places(planes.size, period):
        payload[apart] = planes[together]
    return payload


def _places(n_bytes: int, period: int) -> Iterator[Tuple[slice, slice]]:
    """Yield, for each plane, its slice of a payload and its slice of the planes."""
    start = 0
    for first in range(min(period, n_bytes)):
        stop = start + len(range(first, n_bytes, period))
        yield slice(first, None, period), slice(start, stop)
        start = stop
