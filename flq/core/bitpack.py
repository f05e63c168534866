"""Integer codes of 1 to 8 bits <-> packed bytes.

The code of element i occupies the bits i*b .. i*b+b-1 of a little-endian bit string, the
last byte padded with zeros, so that n codes take ceil(n*b/8) bytes. Eight codes are eight
bytes of a uint64; three rounds of shift-or bring them together in its low b bytes, and the
same three rounds backwards take them apart.

>>> pack(np.array([1, 2, 3], np.uint8), 4).tolist()
[33, 3]
"""

import numpy as np

_LANES = (8, 16, 32)  # width of a lane before each round of packing


def packed_size(n_codes: int, bits: int) -> int:
    """Return the number of bytes that ``n_codes`` codes of ``bits`` bits take."""
    return (n_codes * bits + 7) // 8


def _mask(lane: int, used: int) -> np.uint64:
    """Return a word in which the low ``used`` bits of every lane of ``lane`` bits are set."""
    return np.uint64(sum(((1 << used) - 1) << start for start in range(0, 64, lane)))


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack codes that are all below ``2**bits``.

    Parameters
    ----------
    codes : ndarray of shape (n,), uint8
    bits : int
        1..8.

    Returns
    -------
    ndarray of shape (ceil(n*bits/8),), uint8
    """
    n_bytes = packed_size(codes.size, bits)
    if bits == 8:
        return codes.copy()
    if codes.size % 8:
        codes = np.concatenate([codes, np.zeros(-codes.size % 8, np.uint8)])
    words = codes.view("<u8").copy()
    upper = np.empty_like(words)
    for lane in _LANES:
        used = bits * lane // 8
        np.right_shift(words, np.uint64(lane - used), out=upper)
        upper &= _mask(2 * lane, used) << np.uint64(used)
        words &= _mask(2 * lane, used)
        words |= upper
    packed = words.view(np.uint8).reshape(-1, 8)[:, :bits]
    return np.ascontiguousarray(packed).reshape(-1)[:n_bytes]


def unpack(packed: np.ndarray, n_codes: int, bits: int) -> np.ndarray:
    """Undo :func:`pack`.

    Parameters
    ----------
    packed : ndarray of shape (ceil(n_codes*bits/8),), uint8

    Returns
    -------
    ndarray of shape (n_codes,), uint8
    """
    if bits == 8:
        return packed.copy()
    n_words = (n_codes + 7) // 8
    if packed.size < n_words * bits:
        packed = np.concatenate([packed, np.zeros(n_words * bits - packed.size, np.uint8)])
    spread = np.zeros((n_words, 8), np.uint8)
    spread[:, :bits] = packed.reshape(n_words, bits)
    words = spread.reshape(-1).view("<u8")
    upper = np.empty_like(words)
    for lane in reversed(_LANES):
        used = bits * lane // 8
        np.left_shift(words, np.uint64(lane - used), out=upper)
        upper &= _mask(2 * lane, used) << np.uint64(lane)
        words &= _mask(2 * lane, used)
        words |= upper
    return words.view(np.uint8)[:n_codes]
