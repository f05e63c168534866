"""The grid of LAQ: the published equations in plain Python floats, its bounds, and one radius for all tensors."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core.codecs import LAQ, QUANTIZERS, decode, plus
from flq.core.layout import BLOCK, Layout, Tensor
from flq.errors import CodecError

BITS = range(1, 9)
EPSILON = 2.0**-23
TINY = 2.0**-149
HUGE = float(np.finfo(np.float32).max)
LAYOUT = Layout((Tensor("w", (2, 3)), Tensor("b", (3,))))
VECTOR = np.array([1, -2, 0.5, 0, -0.25, 2, 0, -4, 4], np.float32)

all_bits = pytest.mark.parametrize("bits", BITS)


def one_tensor(size):
    return Layout((Tensor("x", (size,)),))


def round_trip(bits, vector, layout=None):
    layout, codec = layout or one_tensor(vector.size), QUANTIZERS[LAQ + bits]
    payload = codec.encode(vector, layout)
    codec.check(payload, layout)
    return decode(codec, payload, layout)


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def codes_of(payload, n_codes, bits):
    number = int.from_bytes(payload[4:].tobytes(), "little")
    return [number >> (i * bits) & (2**bits - 1) for i in range(n_codes)]


@all_bits
def test_codes_and_levels_are_those_of_the_paper(bits):
    """c = floor((x + R) / (2 tau R) + 1/2), and 2 tau R c - R; x is not on the edge between two codes."""
    vector = np.random.RandomState(bits).standard_t(3, 1003).astype(np.float32)
    payload = QUANTIZERS[LAQ + bits].encode(vector, one_tensor(vector.size))
    radius, tau = float(np.abs(vector).max()), 1.0 / (2**bits - 1)
    assert struct.unpack("<f", payload[:4].tobytes())[0] == radius
    codes = np.floor((vector.astype(np.float64) + radius) / (2 * tau * radius) + 0.5)
    assert codes_of(payload, vector.size, bits) == codes.astype(int).tolist()
    levels = round_trip(bits, vector)
    assert np.allclose(levels, 2 * tau * radius * codes - radius, rtol=0, atol=4 * EPSILON * radius)
    assert levels.tolist() == [f32(f32((2 * c - 2**bits + 1) / (2**bits - 1)) * radius) for c in codes.tolist()]


@pytest.mark.parametrize(
    "bits, payload",
    [
        (1, "00008040 6d01"),  # halfway up: 0 is code 1
        (2, "00008040 a629 03"),  # steps of 2 / 3 R, edges at -2 2/3, 0, 2 2/3
        (4, "00008040 4988 b708 0f"),
    ],
)
def test_golden_payloads(bits, payload):
    payload = bytes(bytearray.fromhex(payload.replace(" ", "")))
    assert QUANTIZERS[LAQ + bits].encode(VECTOR, LAYOUT).tobytes() == payload


@all_bits
def test_a_payload_is_one_radius_and_b_bits_per_parameter(bits):
    for sizes in ([1], [3, 5], [7, 1, 9]):
        layout = Layout(tuple(Tensor("t%d" % i, (size,)) for i, size in enumerate(sizes)))
        assert QUANTIZERS[LAQ + bits].payload_size(layout) == 4 + (sum(sizes) * bits + 7) // 8


@all_bits
@given(
    values=st.lists(
        st.one_of(
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            st.sampled_from([HUGE, -HUGE, TINY, -TINY, 0.0, 1e-30]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_no_entry_is_off_by_more_than_tau_times_the_radius(bits, values):
    vector = np.array(values, np.float32)
    decoded, radius = round_trip(bits, vector), float(np.abs(vector).max())
    errors = np.abs(decoded.astype(np.float64) - vector)
    assert errors.max() <= radius / (2**bits - 1) + 8 * EPSILON * radius + TINY
    assert errors[np.abs(vector) == radius].max() == 0.0
    assert np.abs(decoded).max() <= radius


@all_bits
def test_a_zero_vector_is_zero_for_any_codes(bits):
    codec = QUANTIZERS[LAQ + bits]
    assert not round_trip(bits, np.zeros(9, np.float32), LAYOUT).any()
    payload = codec.encode(VECTOR, LAYOUT)
    payload[:4] = 0
    codec.check(payload, LAYOUT)
    assert not decode(codec, payload, LAYOUT).any()


def test_one_bit_is_plus_or_minus_the_radius():
    assert round_trip(1, VECTOR, LAYOUT).tolist() == [4, -4, 4, 4, -4, 4, 4, -4, 4]


@all_bits
@pytest.mark.parametrize("weight", [1.0, -0.3])
def test_sums_go_block_by_block_and_payload_by_payload(bits, weight):
    layout = Layout((Tensor("a", (BLOCK + 5,)), Tensor("b", (3,)), Tensor("s", (7,))), 1)
    vectors = [np.random.RandomState(seed).standard_normal(layout.n_params).astype(np.float32) for seed in range(3)]
    codec = QUANTIZERS[LAQ + bits]
    payloads = [codec.encode(vector, layout) for vector in vectors[:2]]
    expected = vectors[2]
    for payload in payloads:
        expected = expected + np.float32(weight) * decode(codec, payload, layout)
    summed = vectors[2].copy()
    codec.add_all(summed, [(payload, weight) for payload in payloads], layout)
    assert summed.tobytes() == expected.tobytes()
    residual = np.empty_like(vectors[0])
    codec.encode(vectors[0], layout, residual=residual)
    assert residual.tobytes() == plus(vectors[0], LAQ + bits, payloads[0], layout, -1.0).tobytes()


@all_bits
@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
def test_an_impossible_radius_is_refused(bits, scale):
    payload = QUANTIZERS[LAQ + bits].encode(VECTOR, LAYOUT)
    payload[:4].view("<f4")[0] = scale
    with pytest.raises(CodecError, match="scale"):
        QUANTIZERS[LAQ + bits].check(payload, LAYOUT)


@all_bits
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_not_encoded(bits, bad):
    with pytest.raises(CodecError, match="NaN or infinite"):
        QUANTIZERS[LAQ + bits].encode(np.array([1, bad, 2], np.float32), one_tensor(3))
