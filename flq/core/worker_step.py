"""The worker's side of one round: update -> skip or upload, and the next state.

The memory decides what the quantizer C encodes and what is kept (D decodes, u is the update, e the
residual, g the mirror):

======== ================== =========================== =====================
memory   C encodes          if applied                  if not applied
======== ================== =========================== =====================
none     u                  -                           -  (the update is lost)
residual a = u + e          e := a - D(C(a))            e := a
flq      u + e - g          q := g + D(C(..)),          e := u + e
                            e := u + e - q, g := q
mirror   u - g              g := g + D(C(u - g))        -
======== ================== =========================== =====================

In mode laq, whose memory is mirror, u is a gradient, and the error |u - g|^2 is stored if
applied. Sources: residual is EF14 (Seide et al. 2014; Karimireddy et al. 2019, arXiv:1901.09847),
mirror is EF21 (Richtarik et al. 2021, arXiv:2106.05203), flq is FLQ v3, with both. Both outcomes
are computed before anything is sent: the worker commits one of them when, and only when, it knows
the verdict.

Moving statistics are sent exactly and never accumulate: the next round's values replace those that
were not applied.
"""

from typing import NamedTuple, Optional, cast

import numpy as np

from .codecs import QUANTIZERS, Noise, Payload, decode, plus
from .layout import Layout, Vector, blocks, energy
from .lazy import may_skip
from .settings import Rules


class WorkerState(NamedTuple):
    """A worker's state between rounds. Arrays are never modified.

    Attributes
    ----------
    residual, mirror : ndarray of shape (n_params,), float32, or None
        None if the memory has none.
    clock : int
        Consecutive rounds in which no upload of this worker was applied.
    fresh : bool
        True until an upload has been applied: a fresh worker never skips.
    error : float
        Mode laq: |u - g|^2 of the trained part at the last upload, with g the mirror after it; otherwise 0.
    """

    residual: Optional[Vector]
    mirror: Optional[Vector]
    clock: int = 0
    fresh: bool = True
    error: float = 0.0


class Proposal(NamedTuple):
    """The payload that a worker proposes to send, and the state after each outcome.

    Attributes
    ----------
    payload : ndarray of shape (n_bytes,), uint8, or None
        None is a skip.
    energy : float
        |input of the quantizer|^2 of the trained part.
    if_applied, if_not : WorkerState
    """

    payload: Optional[Payload]
    energy: float
    if_applied: WorkerState
    if_not: WorkerState


def first_state(layout: Layout, rules: Rules) -> WorkerState:
    """Return the initial state of a worker."""
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
        The worker's raw integers of the round (``rng.ROUNDING``); only mode laq8 draws from it.
    bytes_up : int
        Mode lowrank: the largest payload in bytes, from the round plan.

    Raises
    ------
    CodecError
        If the update is not finite; the state does not change.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # encode() rejects non-finite values
        whole = update if state.residual is None else update + state.residual
        outgoing = whole if state.mirror is None else whole - state.mirror
    size = energy(outgoing[: layout.n_trained])
    if rules.is_laq:
        return _propose_laq(state, outgoing, size, round_index, threshold, layout, rules)
    kept = None if state.residual is None else _without_statistics(whole, layout)
    if_not = WorkerState(kept, state.mirror, state.clock + 1, state.fresh)
    if not state.fresh and may_skip(size, threshold, state.clock, round_index, rules):
        return Proposal(None, size, if_applied=if_not, if_not=if_not)

    mirror, has_residual = state.mirror, state.residual is not None
    residual = np.empty_like(whole) if has_residual and mirror is None else None
    payload = QUANTIZERS[rules.codec_up].encode(outgoing, layout, noise, residual, bytes_up)
    if mirror is not None:
        mirror = plus(mirror, rules.codec_up, payload, layout)
        residual = _without_statistics(_difference(whole, mirror), layout) if has_residual else None
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
    """Encode first: LAQ's rule needs the encoded innovation, and its error now and at the last upload."""
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
    """Return the difference, new, block by block."""
    difference = np.empty_like(minuend)
    for part in blocks(minuend.size):
        np.subtract(minuend[part], subtrahend[part], out=difference[part])
    return difference


def _without_statistics(vector: Vector, layout: Layout) -> Vector:
    """Return the vector with all that is not trained set to zero; the same array if everything is trained."""
    if layout.n_params > layout.n_trained:
        vector = vector.copy()
        vector[layout.n_trained :] = 0.0
    return vector
