"""The codec of mode lowrank: the decoded vectors, the lengths of payloads, and rejections."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core import rng
from flq.core.codecs import LOWRANK, QUANTIZERS, decode, integer_coding, lowrank_encoder, plus
from flq.core.codecs.lowrank_payload import GAMMAS, class_of, matrix_shape, parse
from flq.core.layout import Layout, Tensor
from flq.errors import CodecError

CODEC = QUANTIZERS[LOWRANK]
LAYOUT = Layout(
    (Tensor("conv", (5, 5, 16, 32)), Tensor("bias", (32,)), Tensor("scalar", ()), Tensor("dense", (64, 80)))
)
WITH_STATISTICS = Layout(LAYOUT.tensors + (Tensor("mean", (32,)),), 1)


def update_of(layout, seed=1, rank=3):
    """Return a vector similar to an update: tensors of low rank with noise."""
    random, parts = np.random.RandomState(seed), []
    for tensor in layout.tensors:
        shape = matrix_shape(tensor)
        if shape is None:
            parts.append(random.standard_t(3, tensor.size))
        else:
            parts.append(
                (
                    random.standard_t(4, (shape[0], rank)).dot(random.standard_normal((rank, shape[1])))
                    + 0.1 * random.standard_normal(shape)
                ).ravel()
            )
    return (0.01 * np.concatenate(parts)).astype(np.float32)


def by_hand(payload, layout):
    """Decode with loops, from the description in the module: float32 numbers, one operation at a time."""
    payload, f32 = np.asarray(payload), np.float32
    step = payload[:4].view("<f4")[0]
    at, scales, rows = 4, [], []
    for tensor in layout.trained.tensors:
        shape = matrix_shape(tensor)
        if shape is None:
            scales.append([int(payload[at])])
            rows.append((int(payload[at + 1]), tensor.size))
            at += 2
        else:
            n = int(payload[at])
            scales.append([int(s) for s in payload[at + 1 : at + 1 + n]])
            rows += [(class_of(scale, length), length) for scale in scales[-1] for length in shape]
            at += 1 + n
    classes = [class_ for class_, length in rows for _ in range(length)]
    numbers = iter(integer_coding.decode(payload[at:], np.array(classes))[0].tolist())
    values = []
    for tensor, of_tensor in zip(layout.trained.tensors, scales):
        shape = matrix_shape(tensor)
        gammas = [step * f32(2.0 ** ((16 - scale) / 8.0)) for scale in of_tensor]
        if shape is None:
            values += [f32(next(numbers)) * gammas[0] for _ in range(tensor.size)]
            continue
        total = [f32(0)] * tensor.size
        for gamma in gammas:
            y = [f32(next(numbers)) * gamma for _ in range(shape[0])]
            z = [f32(next(numbers)) for _ in range(shape[1])]
            total = [total[i] + y[i // shape[1]] * z[i % shape[1]] for i in range(tensor.size)]
        values += total
    return np.array(
        values + payload[payload.size - 4 * (layout.n_params - layout.n_trained) :].view("<f4").tolist(), np.float32
    )


@pytest.mark.parametrize("layout", [LAYOUT, WITH_STATISTICS])
def test_decoding_follows_the_documented_formula_bit_for_bit(layout):
    payload = CODEC.encode(update_of(layout), layout, limit=900)
    expected = by_hand(payload, layout)
    assert decode(CODEC, payload, layout).tobytes() == expected.tobytes()


def test_gammas_are_powers_of_two_in_eighths():
    assert np.array_equal(GAMMAS, (2.0 ** ((16 - np.arange(256)) / 8.0)).astype(np.float32))


@pytest.mark.parametrize("limit", [120, 300, 1000, 4000, 12000])
def test_the_limit_is_kept_and_used(limit):
    vector = update_of(LAYOUT)
    payload = CODEC.encode(vector, LAYOUT, limit=limit)
    CODEC.check(payload, LAYOUT)
    assert 0.9 * limit - 10 <= payload.size <= limit


def test_more_bytes_say_more_and_never_less_than_nothing():
    vector = update_of(LAYOUT).astype(np.float64)
    left = []
    for limit in (120, 300, 600, 1200, 2400, 4800, 20000):
        residual = np.empty(vector.size, np.float32)
        CODEC.encode(vector.astype(np.float32), LAYOUT, limit=limit, residual=residual)
        left.append(float(np.sum(residual.astype(np.float64) ** 2)) / float(np.sum(vector**2)))
    assert left == sorted(left, reverse=True) and left[0] < 1 and left[3] < 0.25 and left[-1] < 0.005


def test_the_residual_is_the_encoding_error_and_may_overwrite_the_vector():
    vector = update_of(WITH_STATISTICS)
    residual = np.empty_like(vector)
    payload = CODEC.encode(vector, WITH_STATISTICS, limit=900, residual=residual)
    expected = vector - decode(CODEC, payload, WITH_STATISTICS)
    expected[WITH_STATISTICS.n_trained :] = 0
    assert np.array_equal(residual, expected)
    own = vector.copy()
    assert CODEC.encode(own, WITH_STATISTICS, limit=900, residual=own).tobytes() == payload.tobytes()
    assert np.array_equal(own, expected)


def test_statistics_travel_exactly():
    vector = update_of(WITH_STATISTICS)
    payload = CODEC.encode(vector, WITH_STATISTICS, limit=600)
    exact = decode(CODEC, payload, WITH_STATISTICS)[WITH_STATISTICS.n_trained :]
    assert np.array_equal(exact, vector[WITH_STATISTICS.n_trained :])


def test_zeros_and_tiny_and_huge_values_pass():
    for factor in (0.0, 1e-37, 1e-30, 1e25):
        vector = (update_of(LAYOUT) * np.float32(factor)).astype(np.float32)
        residual = np.empty_like(vector)
        payload = CODEC.encode(vector, LAYOUT, limit=1000, residual=residual)
        CODEC.check(payload, LAYOUT)
        assert np.isfinite(residual).all()
        assert np.sum(residual.astype(np.float64) ** 2) <= np.sum(vector.astype(np.float64) ** 2)


@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    n=st.integers(1, 50),
    limit=st.integers(150, 3000),
    seed=st.integers(0, 99),
)
def test_any_layout_round_trips_within_its_limit(rows, columns, n, limit, seed):
    layout = Layout((Tensor("a", (rows, columns)), Tensor("b", (n,)), Tensor("c", (columns, 2, rows))))
    vector, residual = update_of(layout, seed), np.empty(layout.n_params, np.float32)
    payload = CODEC.encode(vector, layout, limit=limit, residual=residual)
    CODEC.check(payload, layout)
    assert payload.size <= limit
    np.testing.assert_allclose(vector - residual, decode(CODEC, payload, layout), atol=1e-6)


def test_a_wide_matrix_is_decomposed_by_iteration_about_as_well(monkeypatch):
    vector, left = update_of(LAYOUT), []
    for widest in (1024, 16):
        monkeypatch.setattr(lowrank_encoder, "WIDEST_GRAM", widest)
        residual = np.empty_like(vector)
        CODEC.encode(vector, LAYOUT, limit=1000, residual=residual)
        left.append(float(np.sum(residual**2)))
    assert left[1] <= 1.05 * left[0]


def test_a_small_matrix_is_decomposed_without_iteration():
    matrix = np.random.RandomState(2).standard_normal((40, 60)).astype(np.float32)  # flat spectrum: slow to iterate
    _, sigmas = lowrank_encoder._left_vectors(matrix, 5)
    np.testing.assert_allclose(sigmas, np.linalg.svd(matrix, compute_uv=False)[:5], rtol=1e-5)


def test_several_payloads_are_added_in_their_order_with_their_weights():
    payloads = [CODEC.encode(update_of(LAYOUT, seed), LAYOUT, limit=600) for seed in (1, 2)]
    out = np.ones(LAYOUT.n_params, np.float32)
    CODEC.add_all(out, [(payloads[0], 0.25), (payloads[1], 0.75)], LAYOUT)
    expected = np.ones(LAYOUT.n_params, np.float32)
    for payload, weight in zip(payloads, (0.25, 0.75)):
        values = by_hand(payload, LAYOUT)
        expected += values * np.float32(weight)
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    vector = update_of(LAYOUT)
    vector[7] = value
    with pytest.raises(CodecError, match="NaN or infinite"):
        CODEC.encode(vector, LAYOUT, limit=1000)


def test_a_limit_that_not_even_zeros_fit_in_is_refused():
    with pytest.raises(CodecError, match=r"10 bytes are too few for an update of this model, expected at least \d\d"):
        CODEC.encode(update_of(LAYOUT), LAYOUT, limit=10)


def test_an_encoder_that_finds_no_step_says_so(monkeypatch):
    monkeypatch.setattr(lowrank_encoder, "N_TRIES", 0)
    with pytest.raises(CodecError, match="^no step encodes this update in 300 bytes$"):
        CODEC.encode(update_of(LAYOUT), LAYOUT, limit=300)


def test_shorter_payloads_and_one_byte_more_are_refused():
    payload = CODEC.encode(update_of(LAYOUT), LAYOUT, limit=300)
    for n in range(0, payload.size, 7):
        with pytest.raises(CodecError):
            CODEC.check(payload[:n], LAYOUT)
    with pytest.raises(CodecError, match="1 bytes follow"):
        CODEC.check(np.append(payload, np.uint8(0)), LAYOUT)


@pytest.mark.parametrize(
    "step, text",
    [
        (np.nan, "the step is nan"),
        (np.inf, "the step is inf"),
        (0.0, "the step is 0"),
        (-1.0, "the step is -1"),
        (3e38, "expected finite float32"),
    ],
)
def test_a_step_that_makes_no_values_is_refused(step, text):
    payload = CODEC.encode(update_of(LAYOUT), LAYOUT, limit=300)
    payload[:4] = np.array([step], "<f4").view(np.uint8)
    with pytest.raises(CodecError, match=text):
        CODEC.check(payload, LAYOUT)


def test_too_many_components_and_unknown_classes_are_refused():
    payload = CODEC.encode(update_of(LAYOUT), LAYOUT, limit=300)
    more = payload.copy()
    more[4] = 33
    with pytest.raises(CodecError, match="33 components, expected at most 32"):
        CODEC.check(more, LAYOUT)
    unknown = payload.copy()
    unknown[4 + 1 + payload[4] + 1] = integer_coding.N_CLASSES
    with pytest.raises(CodecError, match="class 32, expected one below 32"):
        CODEC.check(unknown, LAYOUT)


MATRICES = Layout(tuple(Tensor("m%d" % i, (80, 90)) for i in range(3)))


@pytest.mark.parametrize("layout", [MATRICES, Layout(MATRICES.tensors + LAYOUT.tensors)])
def test_a_model_of_matrices_passes_also_where_nothing_is_left(layout):
    for vector in (update_of(layout), np.zeros(layout.n_params, np.float32)):
        payload = CODEC.encode(vector, layout, limit=500)
        CODEC.check(payload, layout)
        assert np.isfinite(decode(CODEC, payload, layout)).all() and payload.size <= 500
    assert not decode(CODEC, payload, layout).any()


def test_a_component_that_is_zero_is_refused():
    layout, numbers = Layout((Tensor("k", (80, 90)),)), np.zeros(170, np.int32)
    numbers[:80] = 32767
    coded = integer_coding.encode(numbers, np.repeat([class_of(16, 80), class_of(16, 90)], [80, 90]))
    payload = np.concatenate([np.array([3e37], "<f4").view(np.uint8), np.array([1, 16], np.uint8), coded])
    with pytest.raises(CodecError, match="a component of tensor 'k' is zero"):
        CODEC.check(payload, layout)


def test_values_that_leave_no_room_for_factors_are_refused():
    with pytest.raises(CodecError, match="whose factors may overflow"):
        CODEC.encode(np.full(LAYOUT.n_params, 3e37, np.float32), LAYOUT, limit=900)


def test_a_long_payload_of_nonsense_is_refused_in_little_memory():
    nonsense = np.random.RandomState(1).randint(0, 256, CODEC.payload_size(LAYOUT)).astype(np.uint8)
    nonsense[:4] = np.array([0.5], "<f4").view(np.uint8)
    with pytest.raises(CodecError):
        CODEC.check(nonsense, LAYOUT)


def payload_of_chance():
    """Return a payload made without linear algebra, the same on every machine."""
    raw = rng.stream(7, 99)
    shapes, said, rows, classes = [matrix_shape(tensor) for tensor in LAYOUT.tensors], [], [], []
    for tensor, shape in zip(LAYOUT.tensors, shapes):
        scales = (raw.random_raw(5 if shape else 1) % np.uint64(60)).tolist()
        said += [len(scales)] + scales if shape else scales + [9]
        for scale in scales:
            for length in shape or (tensor.size,):
                numbers = (raw.random_raw(length) % np.uint64(15)).astype(np.int32) - 7
                numbers[0] = 1
                rows.append(numbers)
                classes.append(class_of(scale, length) if shape else 9)
    coded = integer_coding.encode(np.concatenate(rows), np.repeat(classes, [len(row) for row in rows]))
    return np.concatenate([np.array([0.001], "<f4").view(np.uint8), np.array(said, np.uint8), coded])


def test_every_machine_decodes_to_the_same_bits():
    payload = payload_of_chance()
    CODEC.check(payload, LAYOUT)
    assert zlib.crc32(payload.tobytes()) == 0x38F8E795
    base = rng.start_values(LAYOUT, 3)
    assert zlib.crc32(plus(base, LOWRANK, payload, LAYOUT).tobytes()) == 0x9AFB6A39


def test_golden_payload():
    payload = np.frombuffer(bytes(bytearray.fromhex(GOLDEN)), np.uint8)
    CODEC.check(payload, SMALL)
    assert struct.unpack("<f", payload[:4].tobytes())[0] == 0.25
    assert decode(CODEC, payload, SMALL).tolist() == [0.25, -0.5, 0.0, 1.0, 0.75, 8.0]
    assert [part.left.tolist() for part in parse(payload, SMALL)] == [[[1, -2, 0, 4]], [[3]]]


SMALL = Layout((Tensor("w", (2, 2)), Tensor("b", (1,)), Tensor("mean", (1,))), 1)
GOLDEN = "0000803e1009100a55fc42960200000041"
