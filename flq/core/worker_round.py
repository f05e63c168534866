"""A worker's side of one round: update -> skip or upload, and the state that follows.

The memory decides what the quantizer C gets and what is kept (D decodes, u is the update):

======== ============ ========================= =========================
memory   C gets       if applied                if not applied
======== ============ ========================= =========================
none     u            -                         -  (the update is lost)
residual a = u + e    e := a - D(C(a))          e := a
mirror   u - g        g := g + D(C(u - g))      g unchanged
======== ============ ========================= =========================

Sources: residual is EF14 (Seide et al. 2014; Karimireddy et al. 2019, arXiv:1901.09847),
mirror is EF21 (Richtarik et al. 2021, arXiv:2106.05203). Both outcomes are computed before
anything is sent: the worker takes one of them when, and only when, the outcome is known.
"""

from typing import NamedTuple, Optional

import numpy as np

from .lazy import may_skip
from .params import Layout, Vector, energy
from .quantize import QUANTIZERS, Payload, plus
from .rules import Rules


class WorkerState(NamedTuple):
    """What a worker carries from round to round.

    Attributes
    ----------
    memory : ndarray of shape (n_params,), float32, or None
        Residual or mirror; None with memory none.
    clock : int
        Rounds in a row in which nothing of this worker was applied.
    fresh : bool
        True until an upload has been applied: a fresh worker never skips.
    """

    memory: Optional[Vector]
    clock: int = 0
    fresh: bool = True


class Proposal(NamedTuple):
    """What a worker wants to send, and where each outcome leads.

    Attributes
    ----------
    payload : ndarray of shape (n_bytes,), uint8, or None
        None is a skip.
    energy : float
        |what the quantizer got|^2.
    if_applied, if_not : WorkerState
    """

    payload: Optional[Payload]
    energy: float
    if_applied: WorkerState
    if_not: WorkerState


def first_state(layout: Layout, rules: Rules) -> WorkerState:
    """Return the state of a worker that has just joined."""
    return WorkerState(None if rules.memory == "none" else np.zeros(layout.n_params, np.float32))


def propose(state: WorkerState, update: Vector, round_index: int, threshold: float,
            layout: Layout, rules: Rules) -> Proposal:
    """Decide between skip and upload, and encode.

    Parameters
    ----------
    update : ndarray of shape (n_params,), float32
        Shared copy minus local model: acts like a gradient. Not modified.
    threshold : float
        S of the round plan.

    Raises
    ------
    CodecError
        If the update holds NaN or infinite values; the state remains as it was.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the quantizer refuses what is not finite
        if state.memory is None:
            outgoing = update
        elif rules.memory == "residual":
            outgoing = update + state.memory
        else:
            outgoing = update - state.memory
    size = energy(outgoing)
    kept = outgoing if rules.memory == "residual" else state.memory
    if_not = WorkerState(kept, state.clock + 1, state.fresh)
    if not state.fresh and may_skip(size, threshold, state.clock, round_index, rules):
        return Proposal(None, size, if_applied=if_not, if_not=if_not)

    payload = QUANTIZERS[rules.bits_up].encode(outgoing, layout)
    memory = None
    if rules.memory == "residual":
        memory = plus(outgoing, rules.bits_up, payload, layout, weight=-1.0)
    elif rules.memory == "mirror":
        memory = plus(state.memory, rules.bits_up, payload, layout)
    return Proposal(payload, size, if_applied=WorkerState(memory, 0, False), if_not=if_not)
