"""The parameter layout: a model's list of arrays <-> one float32 vector.

All code below training sees a model as one vector of shape (n_params,), float32: its tensors one after the other, in
the order of the model's weight list.

Example
-------
>>> layout = Layout((Tensor("dense/kernel", (2, 3)), Tensor("dense/bias", (3,))))
>>> layout.n_params
9
>>> [array.shape for array in unflatten(np.zeros(9, np.float32), layout)]
[(2, 3), (3,)]
"""

import json
import math
import zlib
from itertools import accumulate
from typing import Any, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..errors import DataError

Vector = np.ndarray  # (n_params,) float32

BLOCK = 65536  # elements: a block stays in the cache while a pass works on it
ROW = 512  # 64-bit words in a row of a fingerprint's block
KINDS: List[List[str]] = [[], ["constant"], ["statistic"]]  # what a row has behind its shape, in the order of tensors


class Tensor(NamedTuple):
    """Name and shape of one array of the model."""

    name: str
    shape: Tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements (1 for a scalar)."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


class _Fields(NamedTuple):
    tensors: Tuple[Tensor, ...]
    n_statistics: int = 0
    n_constants: int = 0


class Layout(_Fields):
    """The tensors of a parameter vector, in order; derived values are computed once.

    Attributes
    ----------
    tensors : tuple of Tensor
    n_statistics : int
        The last ``n_statistics`` tensors are moving statistics, of batch normalisation for example: they have no
        gradient. They are sent exactly and averaged, with any number of bits and any optimizer.
    n_constants : int
        The tensors before the statistics that nothing changes, such as the frozen kernels of LoRA: they are in the
        start values and in keyframes, and in no update.
    n_params : int
        Length of the vector.
    n_trained : int
        Length of the trained part, with which the vector begins.
    n_exact : int
        Length of the statistics, with which it ends.
    crc : int
        CRC32 of names, shapes and kinds: equal at two ends that have the same layout.
    """

    def __init__(self, tensors: Tuple[Tensor, ...], n_statistics: int = 0, n_constants: int = 0) -> None:
        self._ends = [0] + list(accumulate(tensor.size for tensor in tensors))
        n_updated = len(tensors) - n_statistics - n_constants
        self.n_params = self._ends[-1]
        self.n_trained = self._ends[n_updated]
        self.n_exact = self.n_params - self._ends[len(tensors) - n_statistics]
        self._trained = Layout(tensors[:n_updated]) if n_updated < len(tensors) else None
        self.crc = zlib.crc32(json.dumps(self.to_json(), separators=(",", ":")).encode("utf-8"))

    @classmethod
    def _make(cls, fields: Iterable[Any]) -> "Layout":  # type: ignore[override]
        return cls(*fields)  # so that _replace, too, computes the derived values

    @property
    def trained(self) -> "Layout":
        """The layout of the trained part."""
        return self._trained or self

    @property
    def constants(self) -> slice:
        """The part of the vector that holds the constants."""
        return slice(self.n_trained, self.n_params - self.n_exact)

    @property
    def statistics(self) -> slice:
        """The part of the vector that holds the moving statistics."""
        return slice(self.n_params - self.n_exact, self.n_params)

    def slices(self) -> Iterator[slice]:
        """Yield the slice of the vector that belongs to each tensor."""
        return map(slice, self._ends, self._ends[1:])

    def to_json(self) -> List[List[Any]]:
        """Return ``[[name, [extent, ...]], ...]``; constants and statistics have their kind as a third element."""
        n_updated = len(self.tensors) - self.n_constants - self.n_statistics
        numbers = (n_updated, self.n_constants, self.n_statistics)
        kinds = [kind for kind, number in zip(KINDS, numbers) for _ in range(number)]
        return [[tensor.name, list(tensor.shape)] + kind for tensor, kind in zip(self.tensors, kinds)]


def layout_from_json(rows: Sequence[Sequence[Any]]) -> Layout:
    """Build a layout from the result of :meth:`Layout.to_json`.

    Raises
    ------
    DataError
        If a row is malformed, an extent is not positive, or the kinds are not in their order.
    """
    tensors: List[Tensor] = []
    kinds: List[int] = []
    for row in rows:
        try:
            name, shape, kind = str(row[0]), tuple(int(extent) for extent in row[1]), KINDS.index(list(row[2:]))
        except (TypeError, ValueError, IndexError):
            raise DataError("a row of a parameter layout must be [name, [extent, ...]], got %.80r" % (row,)) from None
        if kinds and kind < kinds[-1]:
            raise DataError(
                "constants and then statistics must be the last tensors of a layout, got %.80r after one" % (row,)
            )
        kinds.append(kind)
        if any(extent < 1 for extent in shape):
            raise DataError("extents of tensor %r must be positive, got %r" % (name, shape))
        tensors.append(Tensor(name, shape))
    return Layout(tuple(tensors), kinds.count(2), kinds.count(1))


def flatten(arrays: Sequence[np.ndarray], layout: Layout) -> Vector:
    """Copy the model's arrays into a new vector.

    Parameters
    ----------
    arrays : sequence of ndarray
        In the layout's order and shapes.

    Returns
    -------
    ndarray of shape (n_params,), float32

    Raises
    ------
    DataError
        If their number or shapes differ from the layout.
    """
    shapes = tuple(tuple(np.shape(array)) for array in arrays)
    if shapes != tuple(tensor.shape for tensor in layout.tensors):
        raise DataError(
            "the model's arrays have shapes %r, expected %r"
            % (shapes, tuple(tensor.shape for tensor in layout.tensors))
        )
    vector = np.empty(layout.n_params, np.float32)
    for part, array in zip(layout.slices(), arrays):
        vector[part] = np.asarray(array, np.float32).ravel()
    return vector


def unflatten(vector: Vector, layout: Layout) -> List[np.ndarray]:
    """Return views of the vector, one per tensor, in the tensors' shapes."""
    return [vector[part].reshape(tensor.shape) for part, tensor in zip(layout.slices(), layout.tensors)]


def blocks(size: int, length: int = BLOCK) -> Iterator[slice]:
    """Cut ``range(size)`` into consecutive blocks of at most ``length`` elements."""
    for start in range(0, size, length):
        yield slice(start, min(start + length, size))


def energy(vector: Vector) -> float:
    """Return the squared Euclidean norm, as a float64 sum over contiguous blocks.

    Decisions depend on it: BLAS is not used, since its result depends on the number of threads.
    """
    scratch = np.empty(min(BLOCK, vector.size), np.float64)
    total = 0.0
    for part in blocks(vector.size):
        squares = scratch[: part.stop - part.start]
        squares[:] = vector[part]  # a cast and then a product: faster than numpy's mixed product
        squares *= squares
        total += float(np.add.reduce(squares))
    return total


def fingerprint(vector: Vector) -> int:
    """Return a 32-bit checksum, by which two ends compare their vectors bit for bit.

    Each block is read as rows of ``ROW`` 64-bit words and a rest. The checksum is the CRC32 of the column sums, the row
    sums (both modulo 2**64) and the rest of each block in turn. A change of one to three words of a block changes a
    sum. The CRC32 of the vector itself takes three times as long.
    """
    crc, values = 0, np.ascontiguousarray(vector, "<f4")
    for part in blocks(values.size):
        block = values[part]
        n_whole = block.size - block.size % (2 * ROW)
        if n_whole:
            words = block[:n_whole].view("<u8").reshape(-1, ROW)
            crc = zlib.crc32(np.add.reduce(words, axis=1), zlib.crc32(np.add.reduce(words, axis=0), crc))
        crc = zlib.crc32(block[n_whole:], crc)
    return crc


def glorot_limit(shape: Sequence[int]) -> float:
    """Return the bound of Glorot's uniform distribution for a kernel.

    Source: Glorot and Bengio 2010, eq. (16): sqrt(6 / (fan_in + fan_out)); the last two
    axes are inputs and outputs, the axes before them the receptive field of a convolution.
    """
    field = 1
    for extent in shape[:-2]:
        field *= extent
    return math.sqrt(6.0 / (field * (shape[-2] + shape[-1])))
