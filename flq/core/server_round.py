"""The master's side of one round: uploads -> aggregate -> model step -> delta frame.

x is the model; w is the copy that the master and all workers share. Workers train on w, the
master steps x, and the downlink is the quantized difference: w := w + D(C(x - w)). What C
loses stays in x - w and is sent later (EF21-P, Gruntkowska et al. 2022, arXiv:2209.15218).
"""

from typing import Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import CodecError
from .lazy import movement
from .params import Layout, Vector, blocks, energy
from .quantize import QUANTIZERS, Payload, plus
from .rules import Rules
from .scale import scale


class ServerState(NamedTuple):
    """What the master carries from round to round. Arrays are never written to.

    Attributes
    ----------
    model, shared : ndarray of shape (n_params,), float32
        x and w.
    version : int
        Number of delta frames between w^0 and ``shared``.
    energies : tuple of float
        |G|^2 of the last D aggregates, the newest last.
    """

    model: Vector
    shared: Vector
    version: int = 0
    energies: Tuple[float, ...] = ()


class ClosedRound(NamedTuple):
    """What closing a round leads to.

    Attributes
    ----------
    state : ServerState
    delta : ndarray of shape (n_bytes,), uint8, or None
        Payload of the delta frame; None when the model has not moved.
    """

    state: ServerState
    delta: Optional[Payload]


def aggregate(n_samples: Mapping[int, int], uploads: Mapping[int, Payload], mirrors: Mapping[int, Vector],
              layout: Layout, rules: Rules) -> Optional[Vector]:
    """Return G, float32 (n_params,), or None if there is nothing to apply.

    The weight of worker m is n_m / sum of n over the workers leased when the round opened.
    With memory none the sum is over those that uploaded, so that a missing update changes the
    mean and not the step; with a residual that would amplify what is sent later. With memory
    mirror the sum is over the mirrors of all leased workers, silent ones included.
    Workers are added in the order of their ids. The sum is then scaled and clipped, if the rules
    ask for it: G is what is really applied, and what the lazy rule's history holds.

    Parameters
    ----------
    n_samples : mapping
        Worker id -> number of samples, over all workers leased when the round opened.
    uploads : mapping
        Worker id -> payload; empty with memory mirror.
    mirrors : mapping
        Worker id -> mirror g_m after this round's uploads; empty with the other memories.
    """
    members = uploads if rules.memory == "none" else n_samples
    n_total = sum(n_samples[worker_id] for worker_id in members)
    total = np.zeros(layout.n_params, np.float32)
    for worker_id in sorted(uploads):
        QUANTIZERS[rules.bits_up].add_to(total, uploads[worker_id], layout, n_samples[worker_id] / n_total)
    for worker_id in sorted(mirrors):
        weight = np.float32(n_samples[worker_id] / n_total)
        for part in blocks(total.size):
            total[part] += weight * mirrors[worker_id][part]
    if not uploads and not mirrors:
        return None
    scale(total, len(uploads), rules)
    return total


def close_round(state: ServerState, total: Optional[Vector], layout: Layout, rules: Rules) -> ClosedRound:
    """Step the model by the aggregate (sgd: x := x - server_lr G) and encode the difference.

    Raises
    ------
    CodecError
        If the model is no longer finite.
    """
    if total is None:
        return ClosedRound(state._replace(energies=(state.energies + (0.0,))[-rules.depth:]), None)
    model = np.empty_like(state.model)
    difference = np.empty_like(state.model)
    for part in blocks(model.size):
        np.multiply(total[part], np.float32(-rules.server_lr), out=model[part])
        model[part] += state.model[part]
        np.subtract(model[part], state.shared[part], out=difference[part])
    size = energy(total)
    if not np.isfinite(size):
        raise CodecError("the aggregate of the round is no longer finite")
    delta = QUANTIZERS[rules.bits_down].encode(difference, layout)
    shared = plus(state.shared, rules.bits_down, delta, layout)
    energies = (state.energies + (size,))[-rules.depth:]
    return ClosedRound(ServerState(model, shared, state.version + 1, energies), delta)


def threshold(state: ServerState, rules: Rules) -> float:
    """Return S for the round that opens with this state."""
    return movement(state.energies, rules)


def first_server_state(start: Vector) -> ServerState:
    """Return the state before the first round: x^0 = w^0."""
    return ServerState(model=start, shared=start)
