"""Integers as bytes: round trips over all classes, the length, golden bytes, and rejections."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core.codecs import integer_coding
from flq.errors import CodecError


def drawn(seed, n=400):
    """Numbers of all sizes with classes that may fit or not."""
    random = np.random.RandomState(seed)
    values = np.rint(random.standard_t(2, n) * 2.0 ** random.uniform(-4, 9, n)).clip(-32767, 32767).astype(np.int32)
    return values, random.randint(0, integer_coding.N_CLASSES, n)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 400), rest=st.binary(max_size=3))
def test_encoded_values_are_decoded_and_later_bytes_are_not_read(seed, n, rest):
    values, classes = drawn(seed, n)
    coded = integer_coding.encode(values, classes)
    decoded, end = integer_coding.decode(np.concatenate([coded, np.frombuffer(rest, np.uint8)]), classes)
    assert np.array_equal(decoded, values) and end == coded.size and decoded.dtype == np.int32


@pytest.mark.parametrize("class_", range(integer_coding.N_CLASSES))
def test_the_largest_and_the_smallest_pass_in_every_class(class_):
    values = np.array([0, 1, -1, 14, -15, 16, 32767, -32767], np.int32)
    coded = integer_coding.encode(values, np.full(8, class_))
    assert integer_coding.decode(coded, np.full(8, class_))[0].tolist() == values.tolist()


@pytest.mark.parametrize("class_", range(4, 20))
def test_numbers_of_a_class_take_about_their_entropy(class_):
    mean = 2.0 ** ((class_ - 9) / 2.0)
    random = np.random.RandomState(class_)
    values = (np.floor(random.exponential(mean, 20000) + 0.35) * random.choice([-1, 1], 20000)).astype(np.int32)
    _, counts = np.unique(values, return_counts=True)
    carried = -(counts * np.log2(counts / 20000.0)).sum() / 8
    coded = integer_coding.encode(values, np.full(20000, class_))
    assert coded.size <= 1.06 * carried + 12
    assert abs(integer_coding.size(np.abs(values), np.full(20000, class_)) - coded.size) <= 6


def test_every_distribution_is_whole():
    assert integer_coding.FREQUENCIES.shape[1] == 16 and (integer_coding.FREQUENCIES.sum(axis=1) == 4096).all()
    assert integer_coding.FREQUENCIES.min() >= 1
    tables = integer_coding.table_of(np.arange(integer_coding.N_CLASSES))
    assert set(tables) == set(range(len(integer_coding.FREQUENCIES)))


def test_golden_bytes():
    values, classes = np.array([0, 3, -1, 0, 17, -200], np.int32), np.array([7, 9, 9, 4, 11, 16])
    coded = integer_coding.encode(values, classes)
    assert coded.tobytes().hex() == GOLDEN
    assert integer_coding.decode(coded, classes)[0].tolist() == values.tolist()


GOLDEN = "e8030d16ff0f1000500050"


def test_every_shorter_piece_is_refused():
    values, classes = drawn(3, 60)
    coded = integer_coding.encode(values, classes)
    for n in range(coded.size):
        with pytest.raises(CodecError, match="truncated"):
            integer_coding.decode(coded[:n], classes)


def test_padding_bits_that_are_set_are_refused():
    coded = integer_coding.encode(np.array([1, 0], np.int32), np.array([5, 5]))
    coded[-1] |= 0x80
    with pytest.raises(CodecError, match="padding"):
        integer_coding.decode(coded, np.array([5, 5]))


def test_a_magnitude_beyond_the_largest_is_refused():
    coded = integer_coding.encode(np.array([60000], np.int32), np.array([5]))
    with pytest.raises(CodecError, match="60000, expected at most 32767"):
        integer_coding.decode(coded, np.array([5]))
