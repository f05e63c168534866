"""The contract of the codecs, for every row of the table; each codec has its own tests beside it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core.codecs import FLOAT32, LOWRANK, MODES, QUANTIZERS, decode, plus
from flq.core.layout import BLOCK, Layout, Tensor
from flq.core.rng import ROUNDING, stream
from flq.core.settings import MEMORIES
from flq.core.strategies import AGGREGATORS
from flq.errors import CodecError

LAYOUT = Layout((Tensor("w", (2, 3)), Tensor("b", (3,))))
STATISTICS = Layout((Tensor("w", (5,)), Tensor("bn/moving_mean", (3,)), Tensor("bn/moving_variance", (3,))), 2)
CONSTANTS = Layout(STATISTICS.tensors[:1] + (Tensor("table", (7, 9)),) + STATISTICS.tensors[1:], 2, 1)
VECTOR = np.array([1, -2, 0.5, 0, -0.25, 2, 0, -4, 4], np.float32)

any_codec = pytest.mark.parametrize("codec_id", sorted(QUANTIZERS))


def noise():
    return stream(7, ROUNDING, 1, 0)


def encode(codec_id, vector, layout, residual=None):
    codec = QUANTIZERS[codec_id]
    return codec.encode(vector, layout, noise(), residual, limit=codec.payload_size(layout))


@pytest.mark.parametrize("name", sorted(MODES))
def test_a_mode_names_codecs_memories_and_an_aggregator_that_there_are(name):
    mode = MODES[name]
    assert None in mode.codecs and mode.meaning
    assert set(mode.memories) <= set(MEMORIES) and (mode.why or set(mode.memories) == set(MEMORIES))
    assert mode.down is None or mode.down in QUANTIZERS
    assert mode.aggregator in AGGREGATORS


def test_a_codecs_number_on_the_wire_is_its_own():
    codecs = {codec for mode in MODES.values() for codec in mode.codecs.values()}
    assert len({(codec.codec_id, type(codec), codec.bits) for codec in codecs}) == len(QUANTIZERS)
    assert {codec_id: codec.codec_id for codec_id, codec in QUANTIZERS.items()} == {i: i for i in QUANTIZERS}
    assert all(0 < codec_id < 256 for codec_id in QUANTIZERS)


@any_codec
@pytest.mark.parametrize("layout", [LAYOUT, STATISTICS, CONSTANTS], ids=["weights", "statistics", "constants"])
def test_an_encoded_payload_passes_the_check_and_a_longer_one_does_not(codec_id, layout):
    vector = np.random.RandomState(codec_id).standard_t(2, layout.n_params).astype(np.float32)
    payload = encode(codec_id, vector, layout)
    assert payload.dtype == np.uint8 and payload.size <= QUANTIZERS[codec_id].payload_size(layout)
    QUANTIZERS[codec_id].check(payload, layout)
    assert encode(codec_id, vector, layout).tobytes() == payload.tobytes()  # the same bytes again
    for other in (payload[:-1], np.append(payload, np.uint8(0))):
        with pytest.raises(CodecError):
            QUANTIZERS[codec_id].check(other, layout)


@any_codec
def test_input_is_not_modified_and_not_shared(codec_id):
    before = VECTOR.copy()
    payload = encode(codec_id, VECTOR, LAYOUT)
    decoded = decode(QUANTIZERS[codec_id], payload, LAYOUT)
    kept = payload.copy()
    decoded += 1
    assert np.array_equal(VECTOR, before)
    assert np.array_equal(payload, kept)
    payload[:] = 0
    assert np.array_equal(VECTOR, before)


@any_codec
def test_zero_decodes_to_zero(codec_id):
    assert decode(QUANTIZERS[codec_id], encode(codec_id, np.zeros(9, np.float32), LAYOUT), LAYOUT).tolist() == [0.0] * 9


@any_codec
@pytest.mark.parametrize("weight", [0.25, -1.0])
def test_weighted_sums_are_elementwise_float32(codec_id, weight):
    out = np.linspace(-1, 1, 9).astype(np.float32)
    payload = encode(codec_id, VECTOR, LAYOUT)
    moved = plus(out, codec_id, payload, LAYOUT, weight)
    expected = out + np.float32(weight) * decode(QUANTIZERS[codec_id], payload, LAYOUT)
    assert moved.tolist() == expected.tolist()
    assert np.array_equal(out, np.linspace(-1, 1, 9).astype(np.float32))  # plus makes a new vector
    QUANTIZERS[codec_id].add_to(out, payload, LAYOUT, weight)
    assert out.tolist() == expected.tolist()


@any_codec
def test_the_sum_of_several_payloads_is_that_of_one_after_the_other(codec_id):
    """Three tensors, one larger than a block, and statistics; the second tensor ends within a byte."""
    layout = Layout((Tensor("a", (BLOCK + 5,)), Tensor("b", (3,)), Tensor("c", (16,)), Tensor("s", (7,))), 1)
    vectors = [np.random.RandomState(seed).standard_normal(layout.n_params).astype(np.float32) for seed in range(4)]
    weighted = [(encode(codec_id, vector, layout), weight) for vector, weight in zip(vectors, (0.3, 1.0, -0.7))]
    expected = vectors[3].copy()
    for payload, weight in weighted:
        QUANTIZERS[codec_id].add_to(expected, payload, layout, weight)
    out = np.empty_like(expected)
    QUANTIZERS[codec_id].add_all(out, weighted, layout, vectors[3])
    assert out.tobytes() == expected.tobytes()
    in_place = vectors[3].copy()
    QUANTIZERS[codec_id].add_all(in_place, weighted, layout)
    assert in_place.tobytes() == expected.tobytes()


@any_codec
@pytest.mark.parametrize("in_place", [False, True])
def test_the_rest_is_what_the_payload_does_not_say(codec_id, in_place):
    layout = Layout((Tensor("a", (BLOCK + 5,)), Tensor("b", (3,)), Tensor("s", (7,))), 1)
    vector = np.random.RandomState(codec_id).standard_normal(layout.n_params).astype(np.float32)
    payload = encode(codec_id, vector, layout)
    expected = vector - decode(QUANTIZERS[codec_id], payload, layout)
    source = vector.copy()
    residual = source if in_place else np.full_like(vector, np.nan)
    again = encode(codec_id, source, layout, residual)
    assert again.tobytes() == payload.tobytes()
    assert residual.tobytes() == expected.tobytes()
    assert not residual[layout.n_trained :].any()


@any_codec
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5, 8])
def test_values_that_are_not_finite_are_not_encoded(codec_id, bad, place):
    vector = VECTOR.copy()
    vector[place] = bad
    with pytest.raises(CodecError, match="NaN or infinite"):
        encode(codec_id, vector, LAYOUT)


@any_codec
def test_a_nan_beyond_the_first_block_is_found(codec_id):
    vector = np.ones(BLOCK + 2, np.float32)
    vector[-1] = np.nan
    with pytest.raises(CodecError):
        encode(codec_id, vector, Layout((Tensor("x", (vector.size,)),)))


@any_codec
@given(data=st.data())
def test_a_payload_that_passes_the_check_decodes_to_finite_values(codec_id, data):
    size = QUANTIZERS[codec_id].payload_size(LAYOUT)
    payload = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8)
    try:
        QUANTIZERS[codec_id].check(payload, LAYOUT)
    except CodecError:
        return
    assert np.isfinite(decode(QUANTIZERS[codec_id], payload, LAYOUT)).all()


@any_codec
def test_statistics_are_float32_at_the_end_of_the_payload(codec_id):
    vector = np.random.RandomState(codec_id).standard_normal(11).astype(np.float32)
    codec = QUANTIZERS[codec_id]
    payload = codec.encode(vector, STATISTICS, noise(), limit=99)
    codec.check(payload, STATISTICS)
    if codec_id != LOWRANK:  # whose payloads have the requested length
        assert payload.size == codec.payload_size(STATISTICS)
    assert codec.payload_size(STATISTICS) == codec.payload_size(STATISTICS.trained) + 24
    assert payload[-24:].tobytes() == vector[5:].astype("<f4").tobytes()
    assert payload[:-24].tolist() == codec.encode(vector[:5], STATISTICS.trained, noise(), limit=75).tolist()
    moved = plus(np.ones(11, np.float32), codec_id, payload, STATISTICS, weight=-0.5)
    assert moved[5:].tolist() == (1 + np.float32(-0.5) * vector[5:]).tolist()


@any_codec
def test_statistics_that_are_not_finite_are_refused(codec_id):
    vector = np.ones(11, np.float32)
    payload = QUANTIZERS[codec_id].encode(vector, STATISTICS, noise(), limit=99)
    payload[-4:] = np.array([np.nan], "<f4").view(np.uint8)
    with pytest.raises(CodecError, match="NaN or infinite"):
        QUANTIZERS[codec_id].check(payload, STATISTICS)
    vector[-1] = np.inf
    with pytest.raises(CodecError, match="NaN or infinite"):
        QUANTIZERS[codec_id].encode(vector, STATISTICS, noise(), limit=99)


@any_codec
def test_constants_are_in_no_update_but_in_every_keyframe(codec_id):
    part = CONSTANTS.constants
    assert (part.start, part.stop) == (5, 68)
    vector = np.random.RandomState(codec_id).standard_normal(CONSTANTS.n_params).astype(np.float32)
    update = vector.copy()
    update[part] = 0.0
    without = np.delete(update, np.r_[part])
    payload, short = encode(codec_id, update, CONSTANTS), encode(codec_id, without, STATISTICS)
    if codec_id != FLOAT32:
        assert payload.tobytes() == short.tobytes()
    residual = np.full_like(vector, np.nan)
    encode(codec_id, update, CONSTANTS, residual)
    assert not residual[CONSTANTS.n_trained :].any()
    assert not decode(QUANTIZERS[codec_id], payload, CONSTANTS)[part].any()
    moved = plus(vector, codec_id, payload, CONSTANTS)
    assert moved[part].tobytes() == vector[part].tobytes()
    assert (
        np.delete(moved, np.r_[part]).tobytes()
        == plus(np.delete(vector, np.r_[part]), codec_id, short, STATISTICS).tobytes()
    )
    in_place = vector.copy()
    QUANTIZERS[codec_id].add_all(in_place, [(payload, 0.5), (payload, 0.5)], CONSTANTS)
    assert in_place[part].tobytes() == vector[part].tobytes()
    keyframe = encode(FLOAT32, vector, CONSTANTS)
    assert decode(QUANTIZERS[FLOAT32], keyframe, CONSTANTS).tobytes() == vector.tobytes()
