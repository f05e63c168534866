"""Memories on heavy-tailed updates over 2,000 rounds: which combinations stay bounded."""

import numpy as np
import pytest

from flq.core import rng
from flq.core.codecs import LAQ8
from flq.core.layout import Layout, Tensor, energy
from flq.core.settings import Rules
from flq.core.worker_step import first_state, propose

LAYOUT = Layout((Tensor("w", (150,)), Tensor("b", (50,))))
N_ROUNDS = 2000
BITS = (1, 2, 3, 4, 5, 6, 7, 8, LAQ8)


def largest_memory(codec, memory, share_refused):
    """Return the largest norm of residual or mirror, relative to the largest norm of an update.

    Updates have Student's t distribution with 2 degrees of freedom, whose variance is infinite,
    and a constant mean of 0.5.
    """
    generator = np.random.RandomState(codec)
    rules = Rules("bbit", codec, 32, memory)
    state, largest_update, largest = first_state(LAYOUT, rules), 0.0, 0.0
    for round_index in range(1, N_ROUNDS + 1):
        update = (generator.standard_t(2, 200) + 0.5).astype(np.float32)
        largest_update = max(largest_update, energy(update) ** 0.5)
        noise = rng.stream(1, rng.ROUNDING, round_index)
        proposal = propose(state, update, round_index, 0.0, LAYOUT, rules, noise)
        state = proposal.if_not if generator.rand() < share_refused else proposal.if_applied
        largest = max(
            [largest] + [energy(array) ** 0.5 for array in (state.residual, state.mirror) if array is not None]
        )
    return largest / largest_update


@pytest.mark.parametrize(
    "memory, codec",
    [(memory, codec) for memory in ("residual", "flq", "mirror") for codec in BITS if (memory, codec) != ("flq", 2)],
)
def test_memories_stay_within_some_updates(memory, codec):
    # Refused in a row, a few updates add up; the coarser the code, the more of them wait.
    assert largest_memory(codec, memory, share_refused=0.3) < 4


def test_flq_at_two_bits_diverges():
    """The only combination that rules_from_settings rejects."""
    assert largest_memory(2, "flq", share_refused=0.0) > 1e6
