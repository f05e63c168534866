"""Matrices too wide for all their singular vectors: the iteration finds those of any matrix, wherever it is zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core.codecs import LOWRANK, QUANTIZERS, decode, lowrank_encoder
from flq.core.codecs.lowrank_encoder import WIDEST_GRAM
from flq.core.layout import Layout, Tensor
from flq.errors import CodecError

CODEC = QUANTIZERS[LOWRANK]


def normal(random, *shape):
    return random.standard_normal(shape)


def dead_corner(random, rows, columns):
    """Only the last rows and columns move: pixels that are always black, units that are dead."""
    matrix = np.zeros((rows, columns))
    height, width = rows // 2, columns // 2
    matrix[rows - height :, columns - width :] = normal(random, height, 1) * normal(random, 1, width)
    return matrix


def one_row(random, rows, columns):
    matrix = np.zeros((rows, columns))
    matrix[random.randint(rows)] = normal(random, columns)
    return matrix


def one_column(random, rows, columns):
    return np.ascontiguousarray(one_row(random, columns, rows).T)


def single_entry(random, rows, columns):
    matrix = np.zeros((rows, columns))
    matrix[random.randint(rows), random.randint(columns)] = -3.0
    return matrix


def block_diagonal(random, rows, columns):
    """Blocks of one rank each, the first much smaller: columns of one say nothing about the others."""
    matrix, n = np.zeros((rows, columns)), 4
    for i in range(n):
        down, right = slice(i * rows // n, (i + 1) * rows // n), slice(i * columns // n, (i + 1) * columns // n)
        shape = matrix[down, right].shape
        matrix[down, right] = (0.1, 1.0, 1.0, 1.0)[i] * normal(random, shape[0], 1) * normal(random, 1, shape[1])
    return matrix


def equal_columns(random, rows, columns):
    """The first columns are all the same, the last one differs."""
    matrix = np.repeat(normal(random, rows, 1), columns, axis=1)
    matrix[:, -1] = 30.0 * normal(random, rows)
    return matrix


def some_rows(random, rows, columns):
    matrix = np.zeros((rows, columns))
    chosen = random.permutation(rows)[:5]
    matrix[chosen] = normal(random, 5, columns)
    return matrix


PATTERNS = [dead_corner, one_row, one_column, single_entry, block_diagonal, equal_columns, some_rows]


def encoded(matrix, limit, residual=None):
    layout = Layout((Tensor("k", matrix.shape),))
    payload = CODEC.encode(matrix.astype(np.float32).ravel(), layout, residual=residual, limit=limit)
    CODEC.check(payload, layout)
    assert payload.size <= limit
    return payload, decode(CODEC, payload, layout).reshape(matrix.shape)


def error(matrix, limit):
    return np.linalg.norm(matrix - encoded(matrix, limit)[1]) / np.linalg.norm(matrix)


@pytest.mark.parametrize("is_tall", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_matrix_above_1024_by_1024_is_found_wherever_it_is_zero(pattern, is_tall):
    rows, columns = (1100, 1050) if is_tall else (1050, 1100)
    assert min(rows, columns) > WIDEST_GRAM
    assert error(pattern(np.random.RandomState(1), rows, columns), 6000) < 0.5


@given(
    pattern=st.sampled_from(PATTERNS),
    rows=st.integers(66, 130),
    columns=st.integers(66, 130),
    seed=st.integers(0, 999),
    exponent=st.integers(-12, 12),
)
def test_every_pattern_is_found_at_every_size(pattern, rows, columns, seed, exponent):
    matrix = pattern(np.random.RandomState(seed), rows, columns) * 10.0**exponent
    before = lowrank_encoder.WIDEST_GRAM
    lowrank_encoder.WIDEST_GRAM = 64
    try:
        assert error(matrix, 1200) < 0.5
    finally:
        lowrank_encoder.WIDEST_GRAM = before


@pytest.mark.parametrize("pattern", PATTERNS + [normal])
def test_error_feedback_sends_all_of_it(monkeypatch, pattern):
    monkeypatch.setattr(lowrank_encoder, "WIDEST_GRAM", 64)
    matrix = pattern(np.random.RandomState(2), 80, 90).astype(np.float32)
    layout, rest = Layout((Tensor("k", matrix.shape),)), matrix.ravel().copy()
    left = [np.linalg.norm(rest)]
    for _ in range(40):
        CODEC.encode(rest, layout, residual=rest, limit=700)
        left.append(np.linalg.norm(rest))
    assert all(after <= before for before, after in zip(left, left[1:]))
    assert left[-1] < 0.02 * left[0]


def test_a_wide_matrix_of_zeros_says_zeros():
    payload, decoded = encoded(np.zeros((1050, 1100)), 3000)
    assert payload.size < 30 and not decoded.any()


def test_the_same_matrix_gives_the_same_bytes():
    matrix = dead_corner(np.random.RandomState(3), 1050, 1100)
    assert encoded(matrix, 3000)[0].tobytes() == encoded(matrix, 3000)[0].tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_wide_matrix_that_is_not_finite_is_refused(value):
    matrix = dead_corner(np.random.RandomState(3), 1050, 1100)
    matrix[1049, 1099] = value
    with pytest.raises(CodecError, match="NaN or infinite"):
        encoded(matrix, 3000)
