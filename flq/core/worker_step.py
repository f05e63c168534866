"""A worker's side of one round: update -> skip or upload, and the state that follows.

The memory decides what the quantizer C gets and what is kept (D decodes, u is the update, e the
residual, g the mirror):

======== ================== =========================== =====================
memory   C gets             if applied                  if not applied
======== ================== =========================== =====================
none     u                  -                           -  (the update is lost)
residual a = u + e          e := a - D(C(a))            e := a
flq      u + e - g          q := g + D(C(..)),          e := u + e
                            e := u + e - q, g := q
mirror   u - g              g := g + D(C(u - g))        -
======== ================== =========================== =====================

In mode laq, whose memory is mirror, u is a gradient, and the error |u - g|^2 is remembered if
applied. Sources: residual is EF14 (Seide et al. 2014; Karimireddy et al. 2019, arXiv:1901.09847),
mirror is EF21 (Richtarik et al. 2021, arXiv:2106.05203), flq is what FLQ v3 does, with both. Both
outcomes are computed before anything is sent: the worker takes one of them when, and only when,
the outcome is known.

Moving statistics are sent exactly and never added up: what is not applied is replaced by what
the next round measures.
"""

from typing import NamedTuple, Optional, cast

import numpy as np

from .codecs import QUANTIZERS, Noise, Payload, decode, plus
from .layout import Layout, Vector, blocks, energy
from .lazy import may_skip
from .settings import Rules


class WorkerState(NamedTuple):
    """What a worker carries from round to round. Arrays are never written to.

    Attributes
    ----------
    residual, mirror : ndarray of shape (n_params,), float32, or None
        None where the memory has none.
    clock : int
        Rounds in a row in which nothing of this worker was applied.
    fresh : bool
        True until an upload has been applied: a fresh worker never skips.
    error : float
        Mode laq: |u - g|^2 of the last upload, of what is trained, g the mirror after it. 0 in the other modes.
    """

    residual: Optional[Vector]
    mirror: Optional[Vector]
    clock: int = 0
    fresh: bool = True
    error: float = 0.0


class Proposal(NamedTuple):
    """What a worker wants to send, and where each outcome leads.

    Attributes
    ----------
    payload : ndarray of shape (n_bytes,), uint8, or None
        None is a skip.
    energy : float
        |what the quantizer got|^2, of what is trained.
    if_applied, if_not : WorkerState
    """

    payload: Optional[Payload]
    energy: float
    if_applied: WorkerState
    if_not: WorkerState


def first_state(layout: Layout, rules: Rules) -> WorkerState:
    """Return the state of a worker that has just joined."""
    has_residual = rules.memory in ("residual", "flq")
    return WorkerState(
        np.zeros(layout.n_params, np.float32) if has_residual else None,
        np.zeros(layout.n_params, np.float32) if rules.has_mirrors else None,
    )


def propose(
    state: WorkerState,
    update: Vector,
    round_index: int,
    threshold: float,
    layout: Layout,
    rules: Rules,
    noise: Noise = None,
    bytes_up: int = 0,
) -> Proposal:
    """Decide between skip and upload, and encode.

    Parameters
    ----------
    update : ndarray of shape (n_params,), float32
        Shared copy minus local model, or a gradient. Not modified.
    threshold : float
        S of the round plan; in mode laq S / M^2.
    noise : Philox
        The worker's raw integers of the round (``draws.ROUNDING``); only mode laq8 draws from it.
    bytes_up : int
        Of the round plan: how long the payload may be, in mode lowrank.

    Raises
    ------
    CodecError
        If the update holds NaN or infinite values; the state remains as it was.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the quantizer refuses what is not finite
        whole = update if state.residual is None else update + state.residual
        outgoing = whole if state.mirror is None else whole - state.mirror
    size = energy(outgoing[: layout.n_trained])
    if rules.is_laq:
        return _propose_laq(state, outgoing, size, round_index, threshold, layout, rules)
    kept = None if state.residual is None else _without_statistics(whole, layout)
    if_not = WorkerState(kept, state.mirror, state.clock + 1, state.fresh)
    if not state.fresh and may_skip(size, threshold, state.clock, round_index, rules):
        return Proposal(None, size, if_applied=if_not, if_not=if_not)

    residual, mirror = state.residual, state.mirror
    rest = np.empty_like(whole) if residual is not None and mirror is None else None
    payload = QUANTIZERS[rules.codec_up].encode(outgoing, layout, noise, rest, bytes_up)
    if mirror is not None:
        mirror = plus(mirror, rules.codec_up, payload, layout)
    if residual is not None:
        residual = rest if mirror is None else _without_statistics(_difference(whole, mirror), layout)
    return Proposal(payload, size, if_applied=WorkerState(residual, mirror, 0, False), if_not=if_not)


def _propose_laq(
    state: WorkerState,
    innovation: Vector,
    size: float,
    round_index: int,
    threshold: float,
    layout: Layout,
    rules: Rules,
) -> Proposal:
    """Encode first: LAQ's rule looks at what would be sent, and at what the bits lose, now and at the last upload."""
    payload = QUANTIZERS[rules.codec_up].encode(innovation, layout)
    sent = decode(QUANTIZERS[rules.codec_up], payload, layout)
    error = energy(_difference(innovation, sent)[: layout.n_trained])
    if_not = state._replace(clock=state.clock + 1)
    if not state.fresh and may_skip(
        energy(sent[: layout.n_trained]), threshold + 3.0 * (error + state.error), state.clock, round_index, rules
    ):
        return Proposal(None, size, if_applied=if_not, if_not=if_not)
    mirror = plus(cast(Vector, state.mirror), rules.codec_up, payload, layout)
    return Proposal(payload, size, if_applied=WorkerState(None, mirror, 0, False, error), if_not=if_not)


def _difference(minuend: Vector, subtrahend: Vector) -> Vector:
    """Return their difference, new, block by block."""
    difference = np.empty_like(minuend)
    for part in blocks(minuend.size):
        np.subtract(minuend[part], subtrahend[part], out=difference[part])
    return difference


def _without_statistics(vector: Vector, layout: Layout) -> Vector:
    """Return the vector with zeros for the statistics; the same array where there are none."""
    if layout.n_statistics:
        vector = vector.copy()
        vector[layout.n_trained :] = 0.0
    return vector
