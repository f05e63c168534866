"""Integer codes of 1 to 8 bits <-> packed bytes.

The code of element i occupies the bits i*b .. i*b+b-1 of a little-endian bit string, the
last byte padded with zeros, so that n codes take ceil(n*b/8) bytes.

Eight codes are the eight bytes of a uint64. Three rounds of shift-or move them together into its
low b bytes: pairs of codes within 16 bits, pairs of pairs within 32, and so on. Unpacking runs the
same rounds backwards. With 2 and 4 bits the first one or two rounds make whole bytes, which a cast
to uint8 extracts.

>>> pack(np.array([1, 2, 3], np.uint8), 4).tolist()
[33, 3]
"""

import numpy as np

_LANES = (8, 16, 32)  # width of a lane before each round of packing


def packed_size(n_codes: int, bits: int) -> int:
    """Return the number of bytes that ``n_codes`` codes of ``bits`` bits take."""
    return (n_codes * bits + 7) // 8


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack codes below ``2**bits``.

    Parameters
    ----------
    codes : ndarray of shape (n,), uint8
        Contiguous; not modified.
    bits : int
        1..8.

    Returns
    -------
    ndarray of shape (ceil(n*bits/8),), uint8
        New; shares no memory with ``codes``.
    """
    if bits == 8:
        return codes.copy()
    if bits == 1:
        return np.packbits(codes, bitorder="little")
    n_bytes = packed_size(codes.size, bits)
    if codes.size % 8:
        codes = np.concatenate([codes, np.zeros(-codes.size % 8, np.uint8)])
    words = codes.view("<u8")
    if bits in (2, 4):
        return _merge_neighbours(words, bits)[:n_bytes]
    return _low_bytes(_gather(words, bits), bits)[:n_bytes]


def unpack(packed: np.ndarray, n_codes: int, bits: int) -> np.ndarray:
    """Undo :func:`pack`.

    Parameters
    ----------
    packed : ndarray of shape (ceil(n_codes*bits/8),), uint8
        Contiguous; not modified.

    Returns
    -------
    ndarray of shape (n_codes,), uint8
        New; shares no memory with ``packed``.
    """
    if bits == 8:
        return packed.copy()
    if bits == 1:
        return np.unpackbits(packed, bitorder="little")[:n_codes]
    if bits in (2, 4):
        return _split_neighbours(packed, bits)[:n_codes]
    return _spread(_low_bytes_spread(packed, (n_codes + 7) // 8, bits), bits).view(np.uint8)[:n_codes]


def has_all_ones(packed: np.ndarray, n_codes: int, bits: int) -> bool:
    """Return whether any code is ``2**bits - 1``; the padding bits must be zeros."""
    if bits == 8:
        return int(packed.max()) == 255
    if bits not in (2, 4):
        return int(unpack(packed, n_codes, bits).max()) == 2**bits - 1
    ones = packed & (packed >> np.uint8(1))  # bit i: bits i and i + 1 are set
    if bits == 4:
        ones &= ones >> np.uint8(2)
    return bool((ones & np.uint8(0x55 if bits == 2 else 0x11)).any())


# -- 2 and 4 bits ----------------------------------------------------------------------------


def _merge_neighbours(words: np.ndarray, bits: int) -> np.ndarray:
    """Pack 8 / bits neighbours into the lowest of their bytes; the other bytes are garbage."""
    met = np.right_shift(words, np.uint64(8 - bits))
    met |= words
    if bits == 2:
        met |= met >> np.uint64(12)  # the second pair is two bytes higher and moves up four bits
    return met.view("<u%d" % (8 // bits)).astype(np.uint8)  # the cast keeps the lowest byte


def _split_neighbours(packed: np.ndarray, bits: int) -> np.ndarray:
    """Undo :func:`_merge_neighbours`: one byte per code."""
    words = packed.astype("<u%d" % (8 // bits))
    if bits == 2:
        words |= words << words.dtype.type(12)
        words &= words.dtype.type(0x000F000F)
    words |= words << words.dtype.type(8 - bits)
    words &= words.dtype.type(0x03030303 if bits == 2 else 0x0F0F)
    return words.view(np.uint8)


# -- 3, 5, 6 and 7 bits ----------------------------------------------------------------------


def _mask(lane: int, used: int) -> np.uint64:
    """Return a word in which the low ``used`` bits of every lane of ``lane`` bits are set."""
    return np.uint64(sum(((1 << used) - 1) << start for start in range(0, 64, lane)))


def _gather(words: np.ndarray, bits: int) -> np.ndarray:
    """Move the low ``bits`` bits of the eight bytes of each word together; new."""
    upper = np.empty_like(words)
    for lane in _LANES:
        used = bits * lane // 8
        np.right_shift(words, np.uint64(lane - used), out=upper)
        upper &= _mask(2 * lane, used) << np.uint64(used)
        words = np.bitwise_and(words, _mask(2 * lane, used), out=None if lane == 8 else words)
        words |= upper
    return words


def _spread(words: np.ndarray, bits: int) -> np.ndarray:
    """Undo :func:`_gather`, in place."""
    upper = np.empty_like(words)
    for lane in reversed(_LANES):
        used = bits * lane // 8
        np.left_shift(words, np.uint64(lane - used), out=upper)
        upper &= _mask(2 * lane, used) << np.uint64(lane)
        words &= _mask(2 * lane, used)
        words |= upper
    return words


def _low_bytes(words: np.ndarray, n_low: int) -> np.ndarray:
    """Return the ``n_low`` low bytes of each word, one word after the other."""
    eights = words.view(np.uint8)
    low = np.empty(words.size * n_low, np.uint8)
    for i in range(n_low):  # four times as fast as a copy of (n, n_low), whose rows are short
        low[i::n_low] = eights[i::8]
    return low


def _low_bytes_spread(low: np.ndarray, n_words: int, n_low: int) -> np.ndarray:
    """Undo :func:`_low_bytes`; bytes missing at the end are 0.

    Each word is read from its first byte on, with bytes of the next ones in its upper part, which
    :func:`_spread` ignores.
    """
    padded = np.zeros(n_words * n_low + 8, np.uint8)
    padded[: low.size] = low
    return np.ndarray((n_words,), "<u8", padded, strides=(n_low,)).copy()
