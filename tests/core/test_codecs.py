"""The quantizers: one contract for every row of the table, and a bit-exact oracle in plain Python."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core import rng
from flq.core.codecs import LAQ, LAQ8, QUANTIZERS, decode
from flq.core.layout import BLOCK, Layout, Tensor
from flq.errors import CodecError

GRIDS = range(2, 9)
CODECS = list(range(1, 9)) + [32]  # laq8 rounds by chance: its own tests are at the end; of laq: test_midrise.py
EPSILON = 2.0**-23
TINY = 2.0**-149  # the smallest float32 above zero
HUGE = float(np.finfo(np.float32).max)
LAYOUT = Layout((Tensor("w", (2, 3)), Tensor("b", (3,))))
VECTOR = np.array([1, -2, 0.5, 0, -0.25, 2, 0, -4, 4], np.float32)

any_bits = pytest.mark.parametrize("bits", CODECS)
grid_bits = pytest.mark.parametrize("bits", GRIDS)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
moderate = st.floats(-1e6, 1e6, width=32)


def one_tensor(size):
    return Layout((Tensor("x", (size,)),))


def encode(bits, vector, layout):
    return QUANTIZERS[bits].encode(vector, layout, limit=400)


def round_trip(bits, vector, layout=None):
    layout = layout or one_tensor(vector.size)
    payload = encode(bits, vector, layout)
    QUANTIZERS[bits].check(payload, layout)
    return decode(QUANTIZERS[bits], payload, layout)


def error_sq(decoded, vector):
    return math.fsum((float(a) - float(b)) ** 2 for a, b in zip(decoded, vector))


# -- an oracle: docs/wire.md, in Python's floats ---------------------------------------------


def f32(value):
    """Round to float32. A float64 operation on float32 numbers, rounded, is the float32 operation."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def packed_by_hand(codes, bits):
    packed = b""
    for start in range(0, len(codes), 8):  # eight codes fill whole bytes
        group = codes[start : start + 8]
        number = sum(code << (i * bits) for i, code in enumerate(group))
        packed += number.to_bytes((len(group) * bits + 7) // 8, "little")
    return packed


def oracle(bits, values):
    """Return the payload of one tensor, and its decoded vector."""
    if bits == 32:
        return struct.pack("<%df" % len(values), *values), values
    if bits == 1:
        scale = f32(math.fsum(map(abs, values)) / len(values))
        codes = [int(value >= 0) for value in values]
        decoded = [scale if code else -scale for code in codes]
    else:
        top = 2 ** (bits - 1) - 1
        scale = max(map(abs, values))
        factor = f32(top / scale)
        codes = [int(f32(f32(value * factor) + (top + 0.5))) for value in values]
        decoded = [f32(f32((code - top) / top) * scale) for code in codes]
    return struct.pack("<f", scale) + packed_by_hand(codes, bits), decoded


@any_bits
def test_a_tensor_larger_than_a_block_equals_the_oracle_bit_for_bit(bits):
    vector = np.random.RandomState(bits).standard_t(3, BLOCK + 11).astype(np.float32)
    layout = one_tensor(vector.size)
    payload, decoded = oracle(bits, vector.tolist())
    assert encode(bits, vector, layout).tobytes() == payload
    assert decode(QUANTIZERS[bits], np.frombuffer(payload, np.uint8), layout).tolist() == decoded


@any_bits
def test_tensors_are_coded_each_on_its_own(bits):
    first, second = VECTOR[:6].tolist(), VECTOR[6:].tolist()
    payloads, decoded = zip(oracle(bits, first), oracle(bits, second))
    n_scale_bytes = 0 if bits == 32 else 4
    expected = (
        payloads[0][:n_scale_bytes]
        + payloads[1][:n_scale_bytes]
        + payloads[0][n_scale_bytes:]
        + payloads[1][n_scale_bytes:]
    )
    assert encode(bits, VECTOR, LAYOUT).tobytes() == expected
    assert round_trip(bits, VECTOR, LAYOUT).tolist() == decoded[0] + decoded[1]


# -- golden bytes, both directions -----------------------------------------------------------

GOLDEN = [
    # bits, payload, decoded values
    (32, "0000803f 000000c0 0000003f 00000000 000080be 00000040 00000000 000080c0 00008040", VECTOR.tolist()),
    # means 5.75/6 and 8/3; signs + - + + - +, + - +
    (1, "5555753f abaa2a40 2d 05", None),
    # radii 2 and 4; codes 2 0 1 1 1 2, 1 0 2 (1 is zero)
    (2, "00000040 00008040 5209 21", [2, -2, 0, 0, 0, 2, 0, -4, 4]),
    # L = 3: steps 1.5 -3 .75 0 -.375 3 -> codes 5 0 4 3 3 6, 3 0 6
    (3, "00000040 00008040 053703 8301", None),
    # L = 7: steps 3.5 -7 1.75 0 -.875 7 -> codes 11 0 9 7 6 14, 7 0 14
    (4, "00000040 00008040 0b79e6 070e", None),
    (8, "00000040 00008040 bf009f7f6ffe 7f00fe", None),
]


@pytest.mark.parametrize("bits, payload, decoded", GOLDEN)
def test_golden_payloads(bits, payload, decoded):
    payload = bytes(bytearray.fromhex(payload.replace(" ", "")))
    assert encode(bits, VECTOR, LAYOUT).tobytes() == payload
    values = decode(QUANTIZERS[bits], np.frombuffer(payload, np.uint8), LAYOUT).tolist()
    assert values == (decoded or oracle(bits, VECTOR[:6].tolist())[1] + oracle(bits, VECTOR[6:].tolist())[1])


def test_codec_ids_are_the_bits_per_parameter_but_for_laq8_and_16_more_for_laq():
    assert {codec_id: codec.codec_id for codec_id, codec in QUANTIZERS.items()} == {i: i for i in QUANTIZERS}
    assert {i: QUANTIZERS[i].bits for i in CODECS + [LAQ8]} == {**{i: i for i in CODECS}, LAQ8: 8}
    assert {QUANTIZERS[LAQ + b].bits - b for b in range(1, 9)} == {0}


# -- the contract ----------------------------------------------------------------------------


@any_bits
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_payload_is_the_scales_and_the_packed_bits(bits, sizes, seed):
    layout = Layout(tuple(Tensor("t%d" % i, (size,)) for i, size in enumerate(sizes)))
    vector = np.random.RandomState(seed).standard_t(2, sum(sizes)).astype(np.float32)
    expected = 4 * sum(sizes) if bits == 32 else sum(4 + (size * bits + 7) // 8 for size in sizes)
    payload = encode(bits, vector, layout)
    assert payload.dtype == np.uint8
    assert payload.size == QUANTIZERS[bits].payload_size(layout) == expected
    QUANTIZERS[bits].check(payload, layout)


@any_bits
@pytest.mark.parametrize("value", [1.0, -3.7, TINY, -TINY, 1e-38, HUGE, -HUGE])
def test_one_element_is_exact(bits, value):
    vector = np.array([value], np.float32)
    assert round_trip(bits, vector).tolist() == vector.tolist()


@given(values=st.lists(finite, min_size=1, max_size=40))
def test_float32_is_the_identity(values):
    vector = np.array(values, np.float32)
    assert round_trip(32, vector).tobytes() == vector.tobytes()


def test_float32_keeps_the_sign_of_zero():
    vector = np.array([0.0, -0.0], np.float32)
    assert np.signbit(round_trip(32, vector)).tolist() == [False, True]


@grid_bits
@given(values=st.lists(finite, min_size=1, max_size=40))
def test_grid_error_is_at_most_half_a_step_and_the_largest_entry_exact(bits, values):
    vector = np.array(values, np.float32)
    decoded = round_trip(bits, vector)
    radius = float(np.abs(vector).max())
    bound = radius / (2 * (2 ** (bits - 1) - 1)) + 8 * EPSILON * radius + TINY
    errors = np.abs(decoded.astype(np.float64) - vector)
    assert errors.max() <= bound
    assert errors[np.abs(vector) == radius].max() == 0.0


@grid_bits
def test_grid_keeps_its_own_levels(bits):
    top = 2 ** (bits - 1) - 1
    vector = np.arange(-top, top + 1).astype(np.float32)
    assert np.allclose(round_trip(bits, vector), vector, rtol=2 * EPSILON, atol=0)


@given(values=st.lists(moderate, min_size=1, max_size=40))
def test_sign_is_the_sign_times_the_mean_magnitude(values):
    vector = np.array(values, np.float32)
    scale = np.float32(math.fsum(abs(float(value)) for value in vector) / vector.size)
    assert np.allclose(round_trip(1, vector), np.where(vector >= 0, scale, -scale), rtol=2 * EPSILON, atol=TINY)


def test_sign_of_zero_is_plus():
    assert round_trip(1, np.array([0.0, -0.0, -3.0], np.float32)).tolist() == [1.0, 1.0, -1.0]


@pytest.mark.parametrize("bits", [bits for bits in CODECS if bits < 32])
@given(values=st.lists(moderate, min_size=1, max_size=40))
def test_quantizers_contract(bits, values):
    """|C(x) - x|^2 < |x|^2 unless x is zero, so that what is not sent now shrinks."""
    vector = np.array(values, np.float32)
    vector[np.abs(vector) < 1e-30] = 0  # squares and means of denormals round
    if not vector.any():
        vector[0] = 1
    assert error_sq(round_trip(bits, vector), vector) < error_sq(vector, np.zeros_like(vector))


@pytest.mark.parametrize("bits", [bits for bits in CODECS if bits < 32])
@pytest.mark.parametrize("degrees", [1, 2, 3])
@pytest.mark.parametrize("size", [10, 1000])
def test_quantizers_contract_on_heavy_tails(bits, degrees, size):
    vector = np.random.RandomState(degrees).standard_t(degrees, size).astype(np.float32)
    largest, total = float(np.abs(vector).max()), error_sq(vector, np.zeros_like(vector))
    # A grid sends at least the largest entry; a sign takes away n times the squared mean magnitude.
    gain = size * float(np.abs(vector).mean(dtype=np.float64)) ** 2 if bits == 1 else largest**2
    assert error_sq(round_trip(bits, vector), vector) <= total - gain * (1 - 1e-6)


@any_bits
@given(
    values=st.lists(
        st.sampled_from([HUGE, -HUGE, HUGE / 2, 1.0, 0.0, TINY, -TINY, 5 * TINY, 1e-30, -1e-38]),
        min_size=1,
        max_size=20,
    )
)
def test_extreme_values_pass_without_warnings_and_stay_within_the_radius(bits, values):
    vector = np.array(values, np.float32)
    decoded = round_trip(bits, vector)
    assert np.abs(decoded).max() <= np.abs(vector).max()


@grid_bits
def test_denormals_keep_their_levels(bits):
    top = 2 ** (bits - 1) - 1
    vector = np.arange(-top, top + 1).astype(np.float32) * np.float32(TINY)
    assert round_trip(bits, vector).tolist() == vector.tolist()


# -- rejections -------------------------------------------------------------------------------


@any_bits
@pytest.mark.parametrize("change", [-1, 1])
def test_payloads_of_another_length_are_refused(bits, change):
    payload = encode(bits, VECTOR, LAYOUT)
    payload = payload[:-1] if change < 0 else np.append(payload, np.uint8(0))
    with pytest.raises(CodecError, match="bytes, expected"):
        QUANTIZERS[bits].check(payload, LAYOUT)


@pytest.mark.parametrize("bits", [bits for bits in CODECS if bits < 32])
@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, -TINY])
@pytest.mark.parametrize("tensor", [0, 1])
def test_impossible_scales_are_refused(bits, scale, tensor):
    payload = encode(bits, VECTOR, LAYOUT)
    payload[:8].view("<f4")[tensor] = scale
    with pytest.raises(CodecError, match="scale"):
        QUANTIZERS[bits].check(payload, LAYOUT)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_float32_payloads_hold_finite_values(bad):
    payload = encode(32, VECTOR, LAYOUT)
    payload.view("<f4")[4] = bad
    with pytest.raises(CodecError, match="NaN or infinite"):
        QUANTIZERS[32].check(payload, LAYOUT)


@grid_bits
@pytest.mark.parametrize("place", [0, 3, 8, BLOCK, BLOCK + 2])
def test_the_code_that_is_not_in_use_is_refused(bits, place):
    layout = one_tensor(BLOCK + 3)
    payload = encode(bits, np.ones(BLOCK + 3, np.float32), layout)
    for bit in range(place * bits, (place + 1) * bits):
        payload[4 + bit // 8] |= np.uint8(1 << bit % 8)
    with pytest.raises(CodecError, match="code of %d bits is %d" % (bits, 2**bits - 1)):
        QUANTIZERS[bits].check(payload, layout)


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("tensor", [0, 1])
def test_padding_bits_must_be_zero(bits, tensor):
    payload = encode(bits, VECTOR, LAYOUT)
    last = payload.size - 1 if tensor else 8 + (6 * bits + 7) // 8 - 1
    n_codes = LAYOUT.tensors[tensor].size
    if n_codes * bits % 8 == 0:
        return  # this tensor has no padding
    for bit in range(n_codes * bits % 8, 8):
        spoilt = payload.copy()
        spoilt[last] |= np.uint8(1 << bit)
        with pytest.raises(CodecError, match="padding"):
            QUANTIZERS[bits].check(spoilt, LAYOUT)


# -- laq8: stochastic rounding, one scale ------------------------------------------------------


def noise(round_index=1, worker_id=0):
    return rng.stream(7, rng.ROUNDING, round_index, worker_id)


def laq8(vector, layout, round_index=1):
    payload = QUANTIZERS[LAQ8].encode(vector, layout, noise(round_index))
    QUANTIZERS[LAQ8].check(payload, layout)
    return payload, decode(QUANTIZERS[LAQ8], payload, layout)


def test_laq8_is_one_scale_and_one_byte_per_parameter():
    payload, decoded = laq8(VECTOR, LAYOUT)
    assert payload.size == QUANTIZERS[LAQ8].payload_size(LAYOUT) == 4 + 9
    assert payload[:4].view("<f4")[0] == 4.0
    steps = VECTOR * np.float32(127 / 4.0)
    lower, upper = np.floor(steps), np.floor(steps) + 1
    levels = payload[4:].astype(np.float32) - 127
    assert ((levels == lower) | (levels == upper)).all()
    assert levels[7:].tolist() == [-127, 127]  # the largest entries are exact
    assert decoded.tolist() == [f32(f32(level / 127) * 4.0) for level in levels.tolist()]


def test_laq8_is_golden():
    payload, _ = laq8(VECTOR, LAYOUT)
    raw = noise().random_raw(3).astype("<u8").view("<u2")[:9]
    by_hand = [
        min(254, int(f32(f32(f32(value * f32(127 / 4.0)) + draw / 65536) + 127)))
        for value, draw in zip(VECTOR.tolist(), raw.tolist())
    ]
    assert payload[4:].tolist() == by_hand == [159, 63, 143, 127, 119, 191, 127, 0, 254]


def test_laq8_has_no_bias():
    vector = np.random.RandomState(3).standard_t(3, 500).astype(np.float32)
    layout, n = one_tensor(500), 4000
    mean = np.mean([laq8(vector, layout, k)[1] for k in range(1, n + 1)], axis=0, dtype=np.float64)
    step = np.abs(vector).max() / 127
    # The variance of one draw is at most step^2 / 4: five standard deviations, and the coarseness of the draws.
    assert np.abs(mean - vector).max() < 5 * step / 2 / math.sqrt(n) + step * 2.0**-16


@pytest.mark.parametrize("scale", [TINY, 1e-38, 1.0, HUGE])
def test_laq8_passes_extreme_values(scale):
    vector = (np.array([1, -1, 0.5, 0], np.float64) * scale).astype(np.float32)
    _, decoded = laq8(vector, one_tensor(4))
    assert np.isfinite(decoded).all() and np.abs(decoded).max() <= np.abs(vector).max()
    assert decoded[0] == -decoded[1] == vector[0]


def test_laq8_of_zeros_is_zeros():
    assert not laq8(np.zeros(9, np.float32), LAYOUT)[1].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_laq8_rejects_non_finite_values(bad):
    with pytest.raises(CodecError, match="NaN or infinite"):
        QUANTIZERS[LAQ8].encode(np.array([1, bad], np.float32), one_tensor(2), noise())


def test_laq8_draws_block_by_block():
    vector = np.full(BLOCK + 5, 0.3, np.float32)
    vector[0] = 127
    levels = laq8(vector, one_tensor(BLOCK + 5))[0][4:]
    assert 0.28 < (levels[1:] == 128).mean() < 0.32 and set(levels[1:].tolist()) == {127, 128}


def test_laq8_draws_one_raw_integer_for_four_values():
    drawn, expected = noise(), noise()
    QUANTIZERS[LAQ8].encode(np.ones(BLOCK + 5, np.float32), one_tensor(BLOCK + 5), drawn)
    expected.random_raw(BLOCK // 4 + 2)
    assert drawn.random_raw() == expected.random_raw()
