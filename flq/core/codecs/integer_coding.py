"""Integers of roughly known magnitude <-> bytes, with the entropy coder of rans.py.

The integers come in rows; a row's class c says that their mean magnitude is about 2**((c - 9) / 2). A magnitude
is one of 16 symbols, 15 for "15 or more", with the distribution of its class, which is fixed: the decoder needs to know
only the class. From class 12 on, the lowest bits are nearly uniform and are sent as plain bits.

The bytes are the coded symbols, and then plain bits, lowest first in each byte: the lowest bits of the magnitudes,
plane by plane; for each symbol 15, the excess over 15, in 16 bits; and the sign of each nonzero integer, 1 for minus.
Zeros pad the last byte.
"""

from typing import Tuple

import numpy as np

from ...errors import CodecError
from . import rans

ESCAPE = rans.N_SYMBOLS - 1
LARGEST = 32767  # magnitude; the shifted excess over the escape fits into 16 bits
N_CLASSES = 32
MOST_BYTES = 4  # of plain bits for one number: 10 planes, 16 bits and a sign
_N_TABLES = 12

# Frequency of each symbol, of 4096, in classes 0 to 11.
FREQUENCIES = np.array(
    [
        [4081, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [4081, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [4073, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [4046, 36, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [3939, 143, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [3716, 359, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [3347, 672, 57, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [3007, 891, 150, 28, 8, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [2476, 1171, 313, 89, 29, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [1882, 1383, 558, 195, 56, 11, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [1546, 1198, 665, 370, 177, 70, 39, 17, 7, 1, 1, 1, 1, 1, 1, 1],
        [1072, 1061, 690, 441, 319, 191, 123, 75, 41, 32, 24, 9, 11, 2, 1, 4],
    ]
)
TABLES = rans.tables_of(FREQUENCIES)


def table_of(classes: np.ndarray) -> np.ndarray:
    """Return the table of each class."""
    return np.where(classes < _N_TABLES, classes, _N_TABLES - 2 + classes % 2)


def shift_of(classes: np.ndarray) -> np.ndarray:
    """Return how many of the lowest bits are plain, for each class."""
    return np.where(classes < _N_TABLES, 0, (classes - _N_TABLES + 2) // 2)


def size(magnitudes: np.ndarray, classes: np.ndarray) -> float:
    """Return approximately how many bytes :func:`encode` makes.

    Parameters
    ----------
    magnitudes, classes : ndarray of shape (n,), integers
        The class of each number's row, once per number.
    """
    return float(_COSTS[classes, np.minimum(magnitudes, _COSTS.shape[1] - 1)].sum(dtype=np.float64)) / 8 + 4


def _costs(largest: int) -> np.ndarray:
    """Return the bits that magnitudes 0 .. largest cost in each class, float32; larger ones cost about as the last."""
    magnitudes, classes = np.arange(largest + 1), np.arange(N_CLASSES)[:, np.newaxis]
    symbols = magnitudes >> shift_of(classes)
    bits = rans.SCALE_BITS - np.log2(FREQUENCIES)[table_of(classes), np.minimum(symbols, ESCAPE)]
    return (bits + (magnitudes > 0) + shift_of(classes) + 16 * (symbols >= ESCAPE)).astype(np.float32)


_COSTS = _costs(1023)


def encode(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Encode integers.

    Parameters
    ----------
    values : ndarray of shape (n,), int32
        Magnitudes up to LARGEST.
    classes : ndarray of shape (n,), integers
        0 .. N_CLASSES - 1.

    Returns
    -------
    ndarray of uint8
    """
    magnitudes, shifts = np.abs(values), shift_of(classes)
    symbols = magnitudes >> shifts
    above = (symbols[symbols >= ESCAPE] - ESCAPE).astype("<u2")
    bits = [magnitudes[shifts > plane] >> plane & 1 for plane in range(int(shifts.max(initial=0)))]
    bits += [np.unpackbits(above.view(np.uint8), bitorder="little"), values[values != 0] < 0]
    stream = rans.encode(np.minimum(symbols, ESCAPE).astype(np.uint8), table_of(classes), TABLES)
    return np.concatenate([stream, np.packbits(np.concatenate(bits).astype(bool), bitorder="little")])


def decode(coded: np.ndarray, classes: np.ndarray) -> Tuple[np.ndarray, int]:
    """Decode one integer per class.

    Returns
    -------
    values : ndarray of shape (n,), int32
    end : int
        Number of bytes read.

    Raises
    ------
    CodecError
        If the bytes are truncated, or no integers encode to them.
    """
    symbols, start = rans.decode(coded, table_of(classes), TABLES)
    magnitudes, shifts = symbols.astype(np.int32), shift_of(classes)
    is_escaped, bits = symbols == ESCAPE, _Bits(coded[start : start + MOST_BYTES * symbols.size])
    n_planes = int(shifts.max(initial=0))
    planes = [bits.take(int(np.count_nonzero(shifts > plane))) for plane in range(n_planes)]
    above = np.packbits(bits.take(16 * int(np.count_nonzero(is_escaped))), bitorder="little").view("<u2")
    magnitudes[is_escaped] += above
    magnitudes <<= shifts
    for plane in range(n_planes):
        magnitudes[shifts > plane] |= planes[plane].astype(np.int32) << plane
    if magnitudes.max(initial=0) > LARGEST:
        raise CodecError("a code is %d, expected at most %d" % (magnitudes.max(), LARGEST))
    is_minus = bits.take(int(np.count_nonzero(magnitudes))).astype(bool)
    where = np.flatnonzero(magnitudes)[is_minus]
    magnitudes[where] = -magnitudes[where]
    return magnitudes, start + bits.end()


class _Bits:
    """Plain bits, read in order."""

    def __init__(self, coded: np.ndarray) -> None:
        self._bits, self._at = np.unpackbits(coded, bitorder="little"), 0

    def take(self, n_bits: int) -> np.ndarray:
        """Return the next bits, uint8 (n_bits,)."""
        taken = self._bits[self._at : self._at + n_bits]
        if taken.size < n_bits:
            raise CodecError(
                "the plain bits after the coded symbols are truncated: %d are missing" % (n_bits - taken.size)
            )
        self._at += n_bits
        return taken

    def end(self) -> int:
        """Return the number of bytes read; raise CodecError if the rest of the last one is not zeros."""
        n_bytes = -(-self._at // 8)
        if self._bits[self._at : 8 * n_bytes].any():
            raise CodecError("the padding bits after the codes are set, expected zeros")
        return n_bytes
