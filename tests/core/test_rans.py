"""The entropy coder: an oracle in Python's integers, golden bytes, length, and rejections."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core.codecs import rans
from flq.errors import CodecError

FREQUENCIES = np.array(
    [[4000, 32] + [4] * 13 + [12], [2048, 1024, 512, 256, 128, 64, 32, 16, 4, 4, 2, 2, 1, 1, 1, 1], [256] * 16]
)
TABLES = rans.tables_of(FREQUENCIES)


def drawn(n, seed=1):
    """Return symbols with the frequencies of their tables, and the indices of the tables."""
    random = np.random.RandomState(seed)
    which, places = random.randint(0, 3, n), random.randint(0, 4096, n)
    ends = np.cumsum(FREQUENCIES, axis=1)
    symbols = [np.searchsorted(ends[table], place, side="right") for table, place in zip(which, places)]
    return np.array(symbols, np.uint8), which.astype(np.uint8)


def oracle(symbols, which, n_lanes):
    """The stream by definition: lanes one by one, words sorted by the step and lane that read them."""
    states, words = [], []
    for lane in range(n_lanes):
        state = 1 << 16
        for i in reversed(range(lane, len(symbols), n_lanes)):
            row = FREQUENCIES[which[i]].tolist()
            frequency, below = row[symbols[i]], sum(row[: symbols[i]])
            if state >= frequency << 20:
                words.append((i, state % 65536))
                state //= 65536
            state = state // frequency * 4096 + state % frequency + below
        states.append(state)
    return b"".join(state.to_bytes(4, "little") for state in states) + b"".join(
        word.to_bytes(2, "little") for _, word in sorted(words)
    )


@pytest.mark.parametrize("n", [0, 1, 2, 500])
def test_a_short_stream_equals_the_oracle(n):
    symbols, which = drawn(n)
    assert rans.encode(symbols, which, TABLES).tobytes() == oracle(symbols, which, 1)


@pytest.mark.parametrize("n", [5, 64, 999])  # full and broken last steps
def test_lanes_equal_the_oracle(monkeypatch, n):
    monkeypatch.setattr(rans, "MOST_IN_ONE_LANE", 4)
    monkeypatch.setattr(rans, "SYMBOLS_PER_LANE", 5)
    symbols, which = drawn(n)
    stream = rans.encode(symbols, which, TABLES)
    assert stream.tobytes() == oracle(symbols, which, n // 5)
    decoded, end = rans.decode(stream, which, TABLES)
    assert np.array_equal(decoded, symbols) and end == stream.size


@pytest.mark.parametrize("n, lanes", [(0, 1), (131071, 1), (131072, 32), (140000, 34)])
def test_the_number_of_lanes_is_part_of_the_format(n, lanes):
    assert rans.n_lanes(n) == lanes


def test_golden_stream():
    symbols, which = np.array([0, 1, 15, 0, 3, 0, 0, 2], np.uint8), np.array([0, 0, 1, 1, 2, 2, 0, 1], np.uint8)
    stream = rans.encode(symbols, which, TABLES)
    assert stream.tobytes().hex() == oracle(symbols, which, 1).hex() == GOLDEN
    assert rans.decode(stream, which, TABLES)[0].tolist() == symbols.tolist()


GOLDEN = "bf0b02872003"


@given(n=st.integers(0, 300), seed=st.integers(0, 2**32 - 1), rest=st.binary(max_size=5))
def test_encoded_values_are_decoded_and_later_bytes_are_not_read(n, seed, rest):
    symbols, which = drawn(n, seed)
    stream = rans.encode(symbols, which, TABLES)
    decoded, end = rans.decode(np.concatenate([stream, np.frombuffer(rest, np.uint8)]), which, TABLES)
    assert np.array_equal(decoded, symbols) and end == stream.size and decoded.dtype == np.uint8


@pytest.mark.parametrize("n, most", [(20000, 1.002), (140000, 1.01)])  # one lane, and 34
def test_a_stream_is_hardly_longer_than_the_entropy_of_the_symbols(n, most):
    symbols, which = drawn(n)
    carried = -np.log2(FREQUENCIES[which, symbols] / 4096.0).sum() / 8
    assert carried <= rans.encode(symbols, which, TABLES).size <= most * carried


def test_every_shorter_stream_is_refused():
    symbols, which = drawn(200)
    stream = rans.encode(symbols, which, TABLES)
    for n in range(stream.size):
        with pytest.raises(CodecError, match="truncated"):
            rans.decode(stream[:n], which, TABLES)


def test_lanes_refuse_a_shorter_stream(monkeypatch):
    monkeypatch.setattr(rans, "MOST_IN_ONE_LANE", 4)
    monkeypatch.setattr(rans, "SYMBOLS_PER_LANE", 50)
    symbols, which = drawn(200)
    stream = rans.encode(symbols, which, TABLES)
    for n in range(0, stream.size, 3):
        with pytest.raises(CodecError, match="truncated"):
            rans.decode(stream[:n], which, TABLES)


def test_a_flipped_bit_never_passes_unseen():
    symbols, which = drawn(60)
    stream = rans.encode(symbols, which, TABLES)
    for bit in range(8 * stream.size):
        damaged = stream.copy()
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded, end = rans.decode(damaged, which, TABLES)
        except CodecError:
            continue
        assert end != stream.size or not np.array_equal(decoded, symbols)
