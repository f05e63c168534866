"""The master's side of a round: weights, the step, the downlink."""

import numpy as np
import pytest

from flq.core import server_step
from flq.core.codecs import QUANTIZERS, decode
from flq.core.layout import BLOCK, Layout, Tensor
from flq.core.server_step import ServerState
from flq.core.settings import MEMORIES, Rules, ServerStep
from flq.core.strategies import SERVER_OPTIMIZERS
from flq.errors import CodecError

LAYOUT = Layout((Tensor("w", (4,)),))
EXACT = Rules("fedavg", 32, 32, "none", depth=3)
SAMPLES = {0: 1, 1: 2, 2: 5}
HAVE_MIRRORS = ("flq", "mirror")


def vector(*values):
    return np.array(values, np.float32)


def uploads(**vectors):
    return {int(name[1:]): QUANTIZERS[32].encode(values, LAYOUT) for name, values in vectors.items()}


U = uploads(w0=vector(8, 0, 0, 0), w1=vector(0, 8, 0, 0), w2=vector(0, 0, 8, 0))


START = server_step.first_server_state(vector(0, 0, 0, 0))


def aggregate(which, memory, silent=()):
    """Aggregate workers' uploads, or their mirrors; skipped workers have mirrors only."""
    mirrors = {i: decode(QUANTIZERS[32], U[i], LAYOUT) for i in (*which, *silent)} if memory in HAVE_MIRRORS else {}
    uploads = {} if mirrors else {i: U[i] for i in which}
    _, total = server_step.aggregate(START, SAMPLES, which, uploads, mirrors, LAYOUT, EXACT._replace(memory=memory))
    return None if total is None else total.tolist()


@pytest.mark.parametrize("memory", MEMORIES)
def test_weights_are_the_shares_of_the_samples(memory):
    assert aggregate([0, 1, 2], memory) == [1, 2, 5, 0]


@pytest.mark.parametrize(
    "memory, expected",
    [
        ("none", [float(np.float32(1 / 3) * 8), float(np.float32(2 / 3) * 8), 0, 0]),
        ("flq", [float(np.float32(1 / 3) * 8), float(np.float32(2 / 3) * 8), 0, 0]),
        ("residual", [1, 2, 0, 0]),
        ("mirror", [1, 2, 0, 0]),
    ],
)
def test_weights_are_over_uploaders_or_over_all_leased_workers(memory, expected):
    assert aggregate([0, 1], memory) == expected


def test_in_mode_laq_the_aggregate_is_the_sum_of_the_mirrors():
    laq = EXACT._replace(mode="laq", memory="mirror", aggregator="sum")
    mirrors = {i: decode(QUANTIZERS[32], U[i], LAYOUT) for i in (0, 1)}
    assert server_step.aggregate(START, SAMPLES, [0], {}, mirrors, LAYOUT, laq)[1].tolist() == [8, 8, 0, 0]


def test_only_memory_mirror_hears_the_silent():
    assert aggregate([0], "mirror", silent=[1]) == [1, 2, 0, 0]
    assert aggregate([], "mirror", silent=[1]) == [0, 2, 0, 0]
    assert aggregate([0], "flq", silent=[1]) == [8, 0, 0, 0]
    assert aggregate([], "flq", silent=[1]) is None


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("uploaded, expected", [([0], [8, 0]), ([0, 1], [2, 6]), ([1, 0], [2, 6]), ([1], [0, 8])])
def test_statistics_are_the_mean_over_this_rounds_uploads(memory, uploaded, expected):
    layout = Layout((Tensor("w", (2,)), Tensor("bn/moving_mean", (2,))), 1)
    vectors = {0: vector(8, 0, 8, 0), 1: vector(0, 8, 0, 8)}
    payloads = {m: QUANTIZERS[32].encode(vectors[m], layout) for m in uploaded}
    _, total = server_step.aggregate(
        START, {0: 1, 1: 3, 2: 4}, uploaded, payloads, vectors, layout, EXACT._replace(memory=memory)
    )
    assert total[2:].tolist() == expected


@pytest.mark.parametrize("optimizer", sorted(SERVER_OPTIMIZERS))
def test_statistics_take_the_mean_for_any_optimizer(optimizer):
    layout = Layout((Tensor("w", (2,)), Tensor("bn/moving_mean", (2,))), 1)
    rules = EXACT._replace(
        step=ServerStep(optimizer, 0.125, SERVER_OPTIMIZERS[optimizer].options),
        clip_global=1.0,
        scale_by_selected=True,
        sel_ref=7,
    )
    payload = QUANTIZERS[32].encode(vector(3, 4, 6, 8), layout)
    _, total = server_step.aggregate(START, {0: 1}, [0], {0: payload}, {}, layout, rules)
    assert total[2:].tolist() == [6, 8]
    closed = server_step.close_round(state_of(vector(1, 1, 10, 10)), total, 1, layout, rules)
    assert closed.state.model[2:].tolist() == [4, 2] == closed.state.shared[2:].tolist()
    assert closed.state.energies[0] == pytest.approx(25 / 49, rel=1e-6)  # they do not count
    assert (closed.state.model[:2] < 1).all()


def test_a_single_upload_without_memory_counts_in_full():
    assert aggregate([1], "none") == [0, 8, 0, 0]


@pytest.mark.parametrize("memory", MEMORIES)
def test_nothing_to_add_is_none(memory):
    assert aggregate([], memory) is None


def test_workers_are_added_in_the_order_of_their_ids():
    big, small = vector(1e10, 0, 0, 0), vector(3, 0, 0, 0)
    payloads = uploads(w2=small, w1=-big, w0=big)
    samples = {0: 1, 1: 1, 2: 1}
    rules = EXACT._replace(memory="residual")
    third = np.float32(1 / 3)
    in_order, backwards = (third * big - third * big) + third * small, (third * small - third * big) + third * big
    assert in_order[0] == 1 and backwards[0] == 0  # float32: another order, another sum
    assert list(payloads) == [2, 1, 0]
    assert (
        server_step.aggregate(START, samples, list(payloads), payloads, {}, LAYOUT, rules)[1].tolist()
        == in_order.tolist()
    )
    mirrors = {2: small, 1: -big, 0: big}
    rules = EXACT._replace(memory="mirror")
    assert server_step.aggregate(START, samples, (), {}, mirrors, LAYOUT, rules)[1].tolist() == in_order.tolist()


def test_mirrors_are_added_block_by_block_without_changing_them():
    layout = Layout((Tensor("w", (BLOCK + 3,)),))
    mirrors = {0: np.full(BLOCK + 3, 2.0, np.float32), 1: np.full(BLOCK + 3, 4.0, np.float32)}
    _, total = server_step.aggregate(START, {0: 1, 1: 3}, (), {}, mirrors, layout, EXACT._replace(memory="mirror"))
    assert total.tolist() == [3.5] * (BLOCK + 3)
    assert (mirrors[0] == 2).all() and (mirrors[1] == 4).all()


def state_of(model, shared=None, **changes):
    return ServerState(model, model.copy() if shared is None else shared)._replace(**changes)


def test_the_model_steps_against_the_aggregate():
    rules = EXACT._replace(step=ServerStep(lr=0.5))
    closed = server_step.close_round(state_of(vector(1, 1, 1, 1)), vector(2, 0, -4, 0), 1, LAYOUT, rules)
    assert closed.state.model.tolist() == [0, 1, 3, 1]
    assert closed.state.shared.tolist() == [0, 1, 3, 1]  # float32 down: w = x
    assert closed.state.version == 1
    assert closed.state.energies == (20.0,)
    assert decode(QUANTIZERS[32], closed.delta, LAYOUT).tolist() == [-1, 0, 2, 0]


def test_the_shared_copy_moves_by_the_decoded_difference():
    rules = EXACT._replace(codec_down=2)
    before = state_of(vector(0, 0, 0, 0), vector(0, 0, 0, 1))
    closed = server_step.close_round(before, vector(4, 1, -3, 0), 1, LAYOUT, rules)
    assert closed.state.model.tolist() == [-4, -1, 3, 0]
    assert decode(QUANTIZERS[2], closed.delta, LAYOUT).tolist() == [-4, 0, 4, 0]  # of x - w = -4 -1 3 -1
    assert closed.state.shared.tolist() == [-4, 0, 4, 1]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_shared_copy_reaches_a_constant_model(bits):
    generator = np.random.RandomState(bits)
    model = generator.standard_t(3, 100).astype(np.float32)
    layout = Layout((Tensor("w", (100,)),))
    state, zero = state_of(model, np.zeros(100, np.float32)), np.zeros(100, np.float32)
    distances = [float(np.sum(model.astype(np.float64) ** 2))]
    for _ in range(200):
        state = server_step.close_round(state, zero.copy(), 1, layout, EXACT._replace(codec_down=bits)).state
        distances.append(float(np.sum((model.astype(np.float64) - state.shared) ** 2)))
    assert state.model.tolist() == model.tolist()
    # Until float32 itself is the limit, every frame comes closer: C contracts.
    assert all(later < earlier for earlier, later in zip(distances, distances[1:]) if earlier > 1e-9)
    assert distances[-1] < 1e-3 * distances[0]


def test_the_history_holds_the_newest_d_aggregates():
    state, rules = state_of(vector(0, 0, 0, 0)), EXACT._replace(depth=3, ck=1.0)
    for size in (1, 2, 3):
        state = server_step.close_round(state, vector(size, 0, 0, 0), 1, LAYOUT, rules).state
    assert state.energies == (1.0, 4.0, 9.0)
    state = server_step.close_round(state, None, 1, LAYOUT, rules).state
    assert state.energies == (4.0, 9.0, 0.0)
    # xi = 6/11, 3/11, 2/11
    assert server_step.threshold(state, rules, 4) == pytest.approx((6 * 0 + 3 * 9 + 2 * 4) / 11, rel=1e-12)


def test_a_round_of_skips_leaves_the_model():
    state = state_of(vector(1, 2, 3, 4), vector(1, 2, 3, 5), version=7)
    closed = server_step.close_round(state, None, 1, LAYOUT, EXACT)
    assert closed.delta is None
    assert closed.state.model is state.model and closed.state.shared is state.shared
    assert closed.state.version == 7
    assert closed.state.energies == (0.0,)


def test_closing_a_round_does_not_write_to_the_state():
    state = state_of(vector(1, 1, 1, 1))
    server_step.close_round(state, vector(1, 2, 3, 4), 1, LAYOUT, EXACT._replace(codec_down=2))
    assert state.model.tolist() == [1, 1, 1, 1] and state.shared.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("bits", [1, 4, 32])
def test_an_aggregate_that_is_not_finite_is_refused(bits, bad):
    rules = EXACT._replace(codec_down=bits)
    with pytest.raises(CodecError, match="no longer finite"):
        server_step.close_round(state_of(vector(1, 1, 1, 1)), vector(0, bad, 0, 0), 1, LAYOUT, rules)


def test_a_model_that_overflows_is_refused():
    with np.errstate(over="ignore"), pytest.raises(CodecError):
        server_step.close_round(state_of(vector(-3e38, 0, 0, 0)), vector(3e38, 0, 0, 0), 1, LAYOUT, EXACT)


def test_the_first_state_shares_the_start():
    start = vector(1, 2, 3, 4)
    state = server_step.first_server_state(start)
    assert state.model is start and state.shared is start
    assert (state.version, state.energies) == (0, ())


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("optimizer", sorted(SERVER_OPTIMIZERS))
def test_constants_stay_as_they_are(optimizer, memory):
    layout = Layout((Tensor("w", (2,)), Tensor("table", (2,)), Tensor("bn/moving_mean", (2,))), 1, 1)
    rules = EXACT._replace(memory=memory, step=ServerStep(optimizer, 0.125, SERVER_OPTIMIZERS[optimizer].options))
    update = vector(3, 4, 0, 0, 6, 8)
    payload = QUANTIZERS[rules.codec_up].encode(update, layout)
    before = state_of(vector(1, 1, 0.1, -0.7, 10, 10))
    _, total = server_step.aggregate(before, {0: 1}, [0], {0: payload}, {0: update}, layout, rules)
    closed = server_step.close_round(before, total, 1, layout, rules)
    for moved in (closed.state.model, closed.state.shared):
        assert moved[2:4].tobytes() == vector(0.1, -0.7).tobytes()
        assert moved[4:].tolist() == [4, 2] and (moved[:2] < 1).all()
