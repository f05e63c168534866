"""The encoder of mode lowrank: approximates a vector by integers in a given number of bytes.

Matrices are decomposed once; bisection then finds the step at which the rounded factors fill the available bytes. A
factor is y = sigma u / step, rounded towards zero a little more than to the nearest, since small numbers cost more bits
than they are worth. A component that rounds to zero is dropped, so that the rank follows from the step. Gamma is
step * step / sigma; with gammas of least squares the same bytes approximated less.

A matrix with more than 1024 rows and columns is decomposed by subspace iteration from a random start (Halko, Martinsson
and Tropp 2011, arXiv:0909.4061, algorithm 4.4), the same for all rounds and workers.

The decomposition is that of BLAS and LAPACK, whose last bits differ between machines: a payload is stored once it has
been encoded, and never encoded again elsewhere.
"""

import math
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from ...errors import CodecError
from .. import rng
from ..blas import one_thread
from ..layout import Layout, Vector, unflatten
from . import integer_coding
from .codec import Payload, check_exact
from .lowrank_payload import MOST_COMPONENTS, UNIT_SCALE, class_of, matrix_shape

ROUNDING = 0.35  # added before truncation; 0.5 would round to the nearest
WIDEST_GRAM = 1024  # rows or columns up to which all singular vectors are computed
N_PASSES = 3  # of subspace iteration, for wider matrices
N_HALVINGS = 12  # of the interval that contains the step
LARGEST_VALUE = 1e30  # the singular values of a matrix of such values are finite float32, too
N_TRIES = 20  # to meet the limit, since sizes are estimated


class Piece(NamedTuple):
    """A tensor to encode.

    Attributes
    ----------
    values : ndarray of shape (size,) or (rows, columns), float32
    sigmas : ndarray of shape (n,), float64
        The largest singular values, descending; empty unless it is a matrix.
    left, right : ndarray of shape (n, rows) and (n, columns), float32
        sigma u and sigma v.
    """

    values: np.ndarray
    sigmas: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @property
    def is_matrix(self) -> bool:
        """Whether it is encoded as a sum of components."""
        return self.values.ndim == 2


class Draft(NamedTuple):
    """A tensor rounded with some step.

    Attributes
    ----------
    header : list of int
        The bytes about it that precede the coded numbers.
    rows : list of ndarray of int32
        Magnitudes.
    classes : list of int
        One per row.
    components : ndarray of int
        The components of the piece that remain.
    """

    header: List[int]
    rows: List[np.ndarray]
    classes: List[int]
    components: np.ndarray


def fit(vector: Vector, layout: Layout, limit: int) -> Payload:
    """Return the best payload of at most ``limit`` bytes; see :meth:`lowrank.LowRank.encode`."""
    check_exact(vector)
    peak = max(float(vector.max()), -float(vector.min()))
    if peak > LARGEST_VALUE:
        raise CodecError(
            "the vector holds values up to %.3g, whose factors may overflow, expected at most %g"
            % (peak, LARGEST_VALUE)
        )
    statistics = vector[layout.statistics].astype("<f4").view(np.uint8)
    trained, room = layout.trained, limit - statistics.size
    with one_thread():
        pieces = [
            _piece(values, matrix_shape(tensor), room)
            for values, tensor in zip(unflatten(vector[: layout.n_trained], trained), trained.tensors)
        ]
    largest = max(
        float(np.abs(numbers).max())
        for piece in pieces
        for numbers in ((piece.left, piece.right) if piece.is_matrix else (piece.values,))
    )
    widest = 2.0 * max(largest, 1e-30)  # with this step everything rounds to zero
    n_zeros = _size(_drafts(pieces, widest))
    if not n_zeros <= room:
        raise CodecError(
            "%d bytes are too few for an update of this model, expected at least %d"
            % (limit, math.ceil(n_zeros) + statistics.size)
        )
    target, narrowest = float(room), widest / (2.0 * integer_coding.LARGEST)
    for _ in range(N_TRIES):
        step = _search(pieces, narrowest, widest, target)
        payload = _payload(pieces, step)
        if payload.size <= room:
            return np.concatenate([payload, statistics])
        target, narrowest = target - (payload.size - room) - 1, step  # the estimate was a little too low
    raise CodecError("no step encodes this update in %d bytes" % limit)


def _search(pieces: List[Piece], narrowest: float, widest: float, target: float) -> float:
    """Return approximately the smallest step that makes at most ``target`` bytes."""
    low, high = math.log(narrowest), math.log(widest)
    for _ in range(N_HALVINGS):
        middle = 0.5 * (low + high)
        if _size(_drafts(pieces, math.exp(middle))) <= target:
            high = middle
        else:
            low = middle
    return math.exp(high)


def _piece(values: np.ndarray, shape: Optional[Tuple[int, int]], n_bytes: int) -> Piece:
    """Decompose a tensor, if it is a matrix, into no more components than ``n_bytes`` can hold."""
    none = np.zeros((0, 0), np.float32)
    if shape is None:
        return Piece(values.ravel(), np.zeros(0), none, none)
    n_most = max(1, min(min(shape), MOST_COMPONENTS, 8 + n_bytes // 64))
    peak = np.float32(max(float(np.abs(values).max()), 1e-30))  # keeps squares within float32
    matrix = values.reshape(shape) / peak
    is_wide = shape[0] <= shape[1]
    wide = matrix if is_wide else matrix.T
    vectors, sigmas = _left_vectors(wide, n_most)
    scaled = (vectors * (sigmas.astype(np.float32) * peak)).T  # sigma u
    others = wide.T.dot(vectors).T * peak  # sigma v
    left, right = (scaled, others) if is_wide else (others, scaled)
    return Piece(values.reshape(shape), sigmas * float(peak), np.ascontiguousarray(left), np.ascontiguousarray(right))


def _left_vectors(matrix: np.ndarray, n_most: int) -> Tuple[np.ndarray, np.ndarray]:
    """Return the first left singular vectors (rows, n), float32, and singular values (n,), of a wide matrix."""
    n_rows = matrix.shape[0]
    if n_rows > WIDEST_GRAM:
        # A random start has a part of every singular vector. One made of columns of the matrix need not:
        # where they are zero, as for pixels that are always black, nothing would be found, in no round.
        basis = rng.uniform(n_rows * 2 * n_most, rng.stream(0, rng.SKETCH)).reshape(n_rows, 2 * n_most)
        for _ in range(N_PASSES):
            basis, _ = np.linalg.qr(matrix.dot(matrix.T.dot(basis)))
        inner = basis.T.dot(matrix)
        vectors, sigmas = _left_vectors_of_gram(inner, n_most)
        return basis.dot(vectors), sigmas
    return _left_vectors_of_gram(matrix, n_most)


def _left_vectors_of_gram(matrix: np.ndarray, n_most: int) -> Tuple[np.ndarray, np.ndarray]:
    squares, vectors = np.linalg.eigh(matrix.dot(matrix.T).astype(np.float64))
    largest = slice(-1, -1 - n_most, -1)
    return vectors[:, largest].astype(np.float32), np.sqrt(np.maximum(squares[largest], 0.0))


def _drafts(pieces: List[Piece], step: float) -> List[Draft]:
    """Round all tensors with a step."""
    inverse = np.float32(1.0 / np.float32(step))
    return [_draft(piece, inverse) for piece in pieces]


def _draft(piece: Piece, inverse: np.float32) -> Draft:
    if not piece.is_matrix:
        rounded = _rounded(piece.values, inverse)
        class_ = _class_of_mean(float(rounded.mean()))
        return Draft([UNIT_SCALE, class_], [rounded], [class_], np.zeros(0, int))
    peaks = np.minimum(np.abs(piece.left).max(axis=1), np.abs(piece.right).max(axis=1))
    components = np.flatnonzero(peaks * inverse + np.float32(ROUNDING) >= 1)
    pairs = zip(_rounded(piece.left[components], inverse), _rounded(piece.right[components], inverse))
    octaves = np.log2(piece.sigmas[components] * inverse)
    scales = np.clip(UNIT_SCALE + np.rint(8.0 * octaves), 0, 255).astype(int).tolist()
    rows = [row for pair in pairs for row in pair]
    classes = [class_of(scales[i // 2], row.size) for i, row in enumerate(rows)]
    return Draft([len(scales)] + scales, rows, classes, components)


def _rounded(values: np.ndarray, inverse: np.float32) -> np.ndarray:
    """Return the magnitudes in steps, int32."""
    return (np.abs(values) * inverse + np.float32(ROUNDING)).astype(np.int32)


def _class_of_mean(mean: float) -> int:
    """Return the class of numbers with this mean magnitude."""
    return min(max(int(round(2.0 * math.log2(max(mean, 1e-9)) + 9.0)), 0), integer_coding.N_CLASSES - 1)


def _size(drafts: List[Draft]) -> float:
    """Return the approximate size of the payload in bytes."""
    numbers, classes = _joined(drafts, [row for draft in drafts for row in draft.rows])
    return 4 + sum(len(draft.header) for draft in drafts) + integer_coding.size(numbers, classes)


def _joined(drafts: List[Draft], rows: List[np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
    """Return the numbers of all rows, and the class of each number; both may be empty."""
    classes = np.array([class_ for draft in drafts for class_ in draft.classes], np.int64)
    return (
        np.concatenate([np.zeros(0, np.int32)] + rows),
        np.repeat(classes, np.array([row.size for row in rows], np.int64)),
    )


def _payload(pieces: List[Piece], step: float) -> Payload:
    """Return the payload without statistics."""
    drafts = _drafts(pieces, step)
    exact = [values for piece, draft in zip(pieces, drafts) for values in _exact(piece, draft)]
    rows = [row for draft in drafts for row in draft.rows]
    numbers, classes = _joined(drafts, [np.where(values < 0, -row, row) for values, row in zip(exact, rows)])
    headers = [byte for draft in drafts for byte in draft.header]
    return np.concatenate(
        [np.array([step], "<f4").view(np.uint8), np.array(headers, np.uint8), integer_coding.encode(numbers, classes)]
    )


def _exact(piece: Piece, draft: Draft) -> List[np.ndarray]:
    """Return the values from which the rows of a draft were rounded."""
    if not piece.is_matrix:
        return [piece.values]
    return [row for i in draft.components for row in (piece.left[i], piece.right[i])]
