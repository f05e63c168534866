"""The payload of mode lowrank: big tensors as sums of outer products of integer vectors.

A tensor of at least 4000 elements, seen as a matrix whose columns are its last axis, is the sum of
its components gamma y z^T with integer vectors y and z; any other tensor is gamma q. One step for all tensors sets the
precision; the encoder searches for it (lowrank_encoder.py). A payload is

====================== =========================================================================
f32                    the step
per matrix             u8 number of components, u8 scale of each
per other tensor       u8 scale, u8 class of its numbers (integer_coding.py)
coded integers         tensor by tensor; y and z of each component
f32 per statistic      as with every codec
====================== =========================================================================

A scale s means gamma = step * 2**((16 - s) / 8). The classes of y and z follow from it: both have the length
sigma / step, with sigma the singular value, and gamma is about step * step / sigma.

Decoding is elementwise float32 arithmetic in a fixed order: gamma y times z, component after component. It uses no
matrix product, whose sums run in another order on every machine.

Sources: low rank with error feedback, Vogels et al. 2019 (PowerSGD), arXiv:1905.13727; one step for
all quantized values is reverse water-filling, Cover and Thomas 2006, section 10.3.3.
"""

from functools import lru_cache
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...errors import CodecError
from ..layout import Layout, Tensor, Vector, blocks
from . import integer_coding
from .codec import Payload

FEWEST_ELEMENTS = 4000  # of a tensor that is decomposed
FEWEST_COLUMNS = 8  # and rows
MOST_COMPONENTS = 255
UNIT_SCALE = 16  # the scale that means gamma = step
LARGEST_KEPT = 1 << 16  # bytes of a payload whose parts are cached
# 2**(-i / 8) as literals: the last bit of pow varies.
_MANTISSAS = (
    1.0,
    0.917004043204671,
    0.8408964152537145,
    0.7711054127039704,
    0.7071067811865476,
    0.6484197773255048,
    0.5946035575013605,
    0.5452538663326288,
)
GAMMAS = np.array([_MANTISSAS[s % 8] * 2.0 ** (2 - s // 8) for s in range(256)], np.float32)  # gamma / step


class Part(NamedTuple):
    """A tensor in a payload: ``left`` (n, rows) and ``right`` (n, columns), or ``left`` alone."""

    gammas: np.ndarray
    left: np.ndarray
    right: Optional[np.ndarray]


def matrix_shape(tensor: Tensor) -> Optional[Tuple[int, int]]:
    """Return rows and columns of a tensor that is decomposed; None for any other."""
    columns = tensor.shape[-1] if tensor.shape else 1
    rows = tensor.size // columns
    is_matrix = tensor.size >= FEWEST_ELEMENTS and min(rows, columns) >= FEWEST_COLUMNS
    return (rows, columns) if is_matrix else None


def class_of(scale: int, length: int) -> int:
    """Return the class of y or z of a component: log2 of its root mean square, in half steps."""
    quarters = scale - UNIT_SCALE - ((length**4).bit_length() - 1) + 34
    return min(max((quarters + 2) // 4, 0), integer_coding.N_CLASSES - 1)


def values_of(part: Part, tensor: Tensor, scratch: Vector) -> Iterator[Tuple[slice, Vector]]:
    """Yield block after block of a tensor, each with its decoded values, float32.

    A block has as many elements as ``scratch``, where the values lie, or is one row of a matrix that is longer.
    """
    if part.right is None:
        numbers = part.left[0]
        for block in blocks(numbers.size, scratch.size):
            yield block, np.multiply(numbers[block], part.gammas[0], out=scratch[: block.stop - block.start])
        return
    left, right, n_columns = part.left * part.gammas[:, np.newaxis], part.right, tensor.shape[-1]
    n_rows = max(1, scratch.size // n_columns)
    sums = scratch if scratch.size >= n_columns else np.empty(n_columns, np.float32)
    products = np.empty(n_rows * n_columns, np.float32)
    for block in blocks(tensor.size, n_rows * n_columns):
        values, product = sums[: block.stop - block.start], products[: block.stop - block.start].reshape(-1, n_columns)
        matrix, first = values.reshape(-1, n_columns), block.start // n_columns
        matrix[:] = 0.0
        for y, z in zip(left[:, first : first + matrix.shape[0]], right):
            matrix += np.multiply(y[:, np.newaxis], z, out=product)
        yield block, values


def parse(payload: Payload, layout: Layout) -> List[Part]:
    """Return the parts of a payload, one per tensor, with integers as (exact) float32.

    Raises
    ------
    CodecError
        If no tensors encode to it.
    """
    if payload.size > LARGEST_KEPT:
        return _read(payload, layout)
    return _parse(payload.tobytes(), layout)


@lru_cache(maxsize=2)
def _parse(data: bytes, layout: Layout) -> List[Part]:
    """Read a small payload, cached: it is checked, and decoded right after."""
    return _read(np.frombuffer(data, np.uint8), layout)


def _read(payload: Payload, layout: Layout) -> List[Part]:
    payload = payload[: max(payload.size - 4 * layout.n_exact, 0)]
    tensors = layout.trained.tensors
    shapes = [matrix_shape(tensor) for tensor in tensors]
    if payload.size < 4 + sum(2 if shape is None else 1 for shape in shapes):
        raise CodecError("the payload is truncated: got %d bytes for %d tensors" % (payload.size, len(tensors)))
    step = payload[:4].view("<f4")[0]
    if not (np.isfinite(step) and step > 0):
        raise CodecError("the step is %r, expected a finite number above 0" % float(step))
    scales, rows, at = [], [], 4  # of each tensor; (class, length) of each row of numbers
    for tensor, shape in zip(tensors, shapes):
        n_bytes = 2 if shape is None else 1 + int(payload[at]) if at < payload.size else 1
        header = payload[at : at + n_bytes].tolist()
        if len(header) < n_bytes:
            raise CodecError("the payload is truncated in the scales of tensor %r" % tensor.name)
        at += n_bytes
        if shape is None:
            scales.append(header[:1])
            rows.append((header[1], tensor.size))
            if header[1] >= integer_coding.N_CLASSES:
                raise CodecError(
                    "tensor %r has class %d, expected one below %d" % (tensor.name, header[1], integer_coding.N_CLASSES)
                )
        else:
            if header[0] > min(shape):
                raise CodecError(
                    "tensor %r has %d components, expected at most %d" % (tensor.name, header[0], min(shape))
                )
            scales.append(header[1:])
            rows += [(class_of(scale, length), length) for scale in header[1:] for length in shape]
    classes = np.repeat(np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.int64))
    values, n_read = integer_coding.decode(payload[at:], classes)
    if at + n_read != payload.size:
        raise CodecError("%d bytes follow the codes, expected none" % (payload.size - at - n_read))
    parts = list(_parts(values.astype(np.float32), scales, step, tensors))
    for tensor, part in zip(tensors, parts):
        if part.right is not None and not (part.left.any(axis=1) & part.right.any(axis=1)).all():
            raise CodecError("a component of tensor %r is zero, expected a nonzero one" % tensor.name)
    return parts


def _parts(values: Vector, scales: List[List[int]], step: np.float32, tensors: Sequence[Tensor]) -> Iterator[Part]:
    start = 0
    for tensor, of_tensor in zip(tensors, scales):
        shape = matrix_shape(tensor)
        length = tensor.size if shape is None else len(of_tensor) * sum(shape)
        numbers = values[start : start + length].reshape(max(len(of_tensor), 1), -1)
        start += length
        gammas = step * GAMMAS[of_tensor]
        yield (
            Part(gammas, numbers, None)
            if shape is None
            else Part(gammas, numbers[: len(of_tensor), : shape[0]], numbers[: len(of_tensor), shape[0] :])
        )


def largest(part: Part) -> float:
    """Return a bound of the magnitudes of a part; infinite or NaN if it is not finite."""
    if part.right is None:
        return float(part.gammas[0]) * float(np.abs(part.left).max())
    left, right = np.abs(part.left).max(axis=1, initial=0), np.abs(part.right).max(axis=1, initial=0)
    return float(np.sum(part.gammas.astype(np.float64) * left * right))
