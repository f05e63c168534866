"""The worker's side of a round: what it sends, and its memories after each outcome."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core import rng
from flq.core.codecs import LAQ, LAQ8, QUANTIZERS, decode
from flq.core.layout import Layout, Tensor
from flq.core.settings import MEMORIES, Rules
from flq.core.worker_step import WorkerState, first_state, propose
from flq.errors import CodecError

LAYOUT = Layout((Tensor("w", (4,)),))
NEVER = Rules("bbit", 2, 2, "none", thr_scale=0.0)


def rules(memory, bits=2, **changes):
    return NEVER._replace(memory=memory, codec_up=bits, **changes)


def vector(*values):
    return np.array(values, np.float32)


def sent(proposal, bits=2, layout=LAYOUT):
    return decode(QUANTIZERS[bits], proposal.payload, layout)


def test_a_worker_begins_fresh_with_zero_memory():
    for memory in MEMORIES:
        state = first_state(LAYOUT, rules(memory))
        assert (state.clock, state.fresh) == (0, True)
        for array, memories in ((state.residual, ("residual", "flq")), (state.mirror, ("flq", "mirror"))):
            assert array.tolist() == [0, 0, 0, 0] if memory in memories else array is None


def test_without_memory_the_update_itself_is_coded():
    proposal = propose(first_state(LAYOUT, rules("none")), vector(4, 1, -3, 0), 1, 0.0, LAYOUT, rules("none"))
    assert proposal.energy == 26.0
    assert sent(proposal).tolist() == [4, 0, -4, 0]
    assert proposal.if_applied == WorkerState(None, None, 0, False)
    assert proposal.if_not == WorkerState(None, None, 1, True)


def test_a_residual_keeps_the_unsent_part():
    state = WorkerState(vector(1, -1, 1, 0.5), None, clock=2, fresh=False)
    proposal = propose(state, vector(3, 2, -4, 0), 1, 0.0, LAYOUT, rules("residual"))
    assert proposal.energy == 16 + 1 + 9 + 0.25  # of a = u + e = 4 1 -3 .5
    assert sent(proposal).tolist() == [4, 0, -4, 0]
    assert proposal.if_applied.residual.tolist() == [0, 1, 1, 0.5]
    assert proposal.if_not.residual.tolist() == [4, 1, -3, 0.5]
    assert proposal.if_applied[2:] == (0, False, 0.0)
    assert proposal.if_not[2:] == (3, False, 0.0)


def test_a_mirror_moves_by_the_sent_update_or_not_at_all():
    state = WorkerState(None, vector(1, -1, 1, 0.5), clock=2, fresh=False)
    proposal = propose(state, vector(5, 0, -2, 0.5), 1, 0.0, LAYOUT, rules("mirror"))
    assert proposal.energy == 16 + 1 + 9  # of u - g = 4 1 -3 0
    assert sent(proposal).tolist() == [4, 0, -4, 0]
    assert proposal.if_applied.mirror.tolist() == [5, -1, -3, 0.5]
    assert proposal.if_not.mirror.tolist() == [1, -1, 1, 0.5]
    assert proposal.if_applied[2:] == (0, False, 0.0)
    assert proposal.if_not[2:] == (3, False, 0.0)


def test_flq_has_both_memories():
    state = WorkerState(vector(1, 0, 0, 0.5), vector(0, 1, -1, 0), clock=2, fresh=False)
    proposal = propose(state, vector(3, 2, -4, -0.5), 1, 0.0, LAYOUT, rules("flq", 2))
    assert proposal.energy == 16 + 1 + 9  # of u + e - g = 4 1 -3 0
    assert sent(proposal).tolist() == [4, 0, -4, 0]
    assert proposal.if_applied.mirror.tolist() == [4, 1, -5, 0]  # q = g + the decoded upload
    assert proposal.if_applied.residual.tolist() == [0, 1, 1, 0]  # u + e - q
    assert proposal.if_not.mirror.tolist() == [0, 1, -1, 0]
    assert proposal.if_not.residual.tolist() == [4, 2, -4, 0]  # u + e
    assert proposal.if_applied[2:] == (0, False, 0.0) and proposal.if_not[2:] == (3, False, 0.0)


@pytest.mark.parametrize("memory", MEMORIES)
def test_statistics_are_sent_exactly_and_never_added_up(memory):
    layout = Layout((Tensor("w", (2,)), Tensor("bn/moving_mean", (2,))), 1)
    state = first_state(layout, rules(memory))._replace(fresh=False)
    proposal = propose(state, vector(4, 1, 0.1, 0.2), 1, 0.0, layout, rules(memory))
    assert proposal.energy == 17.0
    assert sent(proposal, layout=layout)[2:].tolist() == vector(0.1, 0.2).tolist()
    for outcome in (proposal.if_applied, proposal.if_not):
        if outcome.residual is not None:
            assert outcome.residual[2:].tolist() == [0, 0]
    if memory in ("residual", "flq"):
        assert proposal.if_not.residual[:2].tolist() == [4, 1]


def test_stochastic_rounding_draws_from_the_noise_that_it_is_given():
    layout, update = Layout((Tensor("w", (1000,)),)), np.linspace(-1, 1, 1000).astype(np.float32)

    def payload(*key):
        return propose(
            first_state(layout, rules("none", LAQ8)),
            update,
            1,
            0.0,
            layout,
            rules("none", LAQ8),
            rng.stream(1, rng.ROUNDING, *key),
        ).payload.tolist()

    assert payload(1, 0) == payload(1, 0)
    assert payload(1, 0) != payload(2, 0) and payload(1, 0) != payload(1, 1)
    with pytest.raises(CodecError, match="needs raw integers"):
        propose(first_state(layout, rules("none", LAQ8)), update, 1, 0.0, layout, rules("none", LAQ8))


@pytest.mark.parametrize("bits", sorted(QUANTIZERS))
@given(seed=st.integers(0, 2**32 - 1))
def test_memories_are_elementwise_float32(bits, seed):
    layout = Layout((Tensor("w", (2, 3)), Tensor("b", (3,))))
    update, memory = np.random.RandomState(seed).standard_t(2, (2, 9)).astype(np.float32)

    noise = rng.stream(seed, rng.ROUNDING)

    proposal = propose(WorkerState(memory, None), update, 1, 0.0, layout, rules("residual", bits), noise, 400)
    coded = sent(proposal, bits, layout)
    assert proposal.if_not.residual.tolist() == (update + memory).tolist()
    assert proposal.if_applied.residual.tolist() == ((update + memory) - coded).tolist()

    proposal = propose(WorkerState(None, memory), update, 1, 0.0, layout, rules("mirror", bits), noise, 400)
    assert proposal.if_applied.mirror.tolist() == (memory + sent(proposal, bits, layout)).tolist()
    assert proposal.if_not.mirror is memory


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_sent_and_residual_add_up_exactly_on_the_grid(bits):
    """A grid value is within a factor of two of what it stands for, or zero: the difference is exact."""
    generator = np.random.RandomState(bits)
    layout = Layout((Tensor("w", (1000,)),))
    update, memory = generator.randint(-1000, 1000, (2, 1000)).astype(np.float32)
    proposal = propose(WorkerState(memory, None), update, 1, 0.0, layout, rules("residual", bits))
    assert (sent(proposal, bits, layout) + proposal.if_applied.residual).tolist() == (update + memory).tolist()


@pytest.mark.parametrize("memory", MEMORIES)
def test_update_and_state_are_not_modified(memory):
    update, state = vector(4, 1, -3, 0), first_state(LAYOUT, rules(memory))
    proposal = propose(state, update, 1, 0.0, LAYOUT, rules(memory))
    for outcome in (proposal.if_applied, proposal.if_not):
        if outcome.residual is not None:
            outcome.residual[:] = 9
    if proposal.if_applied.mirror is not None:
        proposal.if_applied.mirror[:] = 9
    assert update.tolist() == [4, 1, -3, 0]
    assert all(array is None or not array.any() for array in (state.residual, state.mirror))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("bits", [1, 4, 32])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_refused(memory, bits, bad):
    state = first_state(LAYOUT, rules(memory, bits))
    with pytest.raises(CodecError):
        propose(state, vector(1, bad, 0, 0), 1, 0.0, LAYOUT, rules(memory, bits))
    assert all(array is None or not array.any() for array in (state.residual, state.mirror))
    assert (state.clock, state.fresh) == (0, True)


@pytest.mark.parametrize("memory", ["residual", "mirror"])
def test_an_update_that_overflows_with_the_memory_is_refused(memory):
    huge = vector(3e38, 0, 0, 0)
    state = WorkerState(huge, None) if memory == "residual" else WorkerState(None, -huge)
    with pytest.raises(CodecError):
        propose(state, vector(3e38, 0, 0, 0), 1, 0.0, LAYOUT, rules(memory))
    assert huge[0] == np.float32(3e38)


LAZY = rules("residual", thr_scale=1.0, max_silence=3)


def test_a_skip_keeps_the_whole_update_in_the_residual():
    state = WorkerState(vector(1, 1, 1, 1), None, clock=0, fresh=False)
    proposal = propose(state, vector(1, 2, 3, 4), 1, 1e9, LAYOUT, LAZY)
    assert proposal.payload is None
    assert proposal.if_not.residual.tolist() == [2, 3, 4, 5]
    assert proposal.if_not[2:] == (1, False, 0.0)
    assert proposal.if_applied is proposal.if_not


def test_a_skip_leaves_the_mirror():
    lazy = LAZY._replace(memory="mirror")
    state = WorkerState(None, vector(1, 1, 1, 1), clock=0, fresh=False)
    proposal = propose(state, vector(1, 2, 3, 4), 1, 1e9, LAYOUT, lazy)
    assert proposal.payload is None and proposal.energy == 0 + 1 + 4 + 9
    assert proposal.if_not.mirror.tolist() == [1, 1, 1, 1]


def test_a_fresh_worker_never_skips():
    state = first_state(LAYOUT, LAZY)
    for round_index in range(1, 4):  # refused, late: still nothing of it has been applied
        proposal = propose(state, vector(1, 0, 0, 0), round_index, 1e9, LAYOUT, LAZY)
        assert proposal.payload is not None
        state = proposal.if_not
    assert propose(proposal.if_applied, vector(1, 0, 0, 0), 4, 1e9, LAYOUT, LAZY).payload is None


LAQ_RULES = LAZY._replace(mode="laq", memory="mirror", codec_up=LAQ + 1)  # one bit: plus or minus the radius
LAQ_STATE = WorkerState(None, vector(1, 1, 1, 1), clock=0, fresh=False, error=2.0)
LAQ_UPDATE = vector(5, -3, 2, 1)  # less the mirror 4 -4 1 0, of which 4 -4 4 4 is sent, off by 0 0 -3 -4


@pytest.mark.parametrize("threshold, skips", [(64 - 3 * (25 + 2), True), (-18.0, False)])
def test_laq_compares_the_innovation_with_the_movement_and_three_times_both_errors(threshold, skips):
    """|4 -4 4 4|^2 = 64, the error of now is 9 + 16, that of the last upload 2."""
    proposal = propose(LAQ_STATE, LAQ_UPDATE, 1, threshold, LAYOUT, LAQ_RULES)
    assert (proposal.payload is None) is skips
    assert proposal.energy == 16 + 16 + 1
    assert proposal.if_not[2:] == (1, False, 2.0) and proposal.if_not.mirror.tolist() == [1, 1, 1, 1]


def test_laq_remembers_the_error_of_an_upload_only_if_it_is_applied():
    proposal = propose(LAQ_STATE, LAQ_UPDATE, 1, -18.0, LAYOUT, LAQ_RULES)
    assert sent(proposal, LAQ + 1).tolist() == [4, -4, 4, 4]
    assert proposal.if_applied.mirror.tolist() == [5, -3, 5, 5]
    assert proposal.if_applied[2:] == (0, False, 25.0)
    assert proposal.if_not[2:] == (1, False, 2.0)


def test_lag_has_no_errors():
    exact = LAQ_RULES._replace(codec_up=32)
    state = LAQ_STATE._replace(error=0.0)
    assert propose(state, LAQ_UPDATE, 1, 33.0, LAYOUT, exact).payload is None  # 16 + 16 + 1
    proposal = propose(state, LAQ_UPDATE, 1, 32.9, LAYOUT, exact)
    assert proposal.if_applied.mirror.tolist() == [5, -3, 2, 1] and proposal.if_applied.error == 0.0


@pytest.mark.parametrize("max_silence", [0, 1, 3])
def test_at_most_c_rounds_in_a_row_are_skipped(max_silence):
    lazy = LAZY._replace(max_silence=max_silence, memory="mirror")
    state, pattern = first_state(LAYOUT, lazy), ""
    for round_index in range(1, 10):
        proposal = propose(state, vector(1, 2, 3, 4), round_index, 1e9, LAYOUT, lazy)
        pattern += "s" if proposal.payload is None else "U"
        state = proposal.if_applied
    assert pattern == (("U" + "s" * max_silence) * 9)[:9]
