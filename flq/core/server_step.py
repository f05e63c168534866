"""The master's side of one round: uploads -> aggregate -> model step -> delta frame.

x is the model; w is the copy that the master and all workers share. Workers train on w, the
master steps x, and the downlink is the quantized difference: w := w + D(C(x - w)). What C
loses stays in x - w and is sent later (EF21-P, Gruntkowska et al. 2022, arXiv:2209.15218).
"""

from typing import Collection, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import CodecError
from .aggregate_scaling import scale
from .codecs import QUANTIZERS, Payload, statistics_of
from .layout import Layout, Vector, blocks, energy
from .lazy import movement
from .lowrank_budget import Sizes, sizes
from .schedule import learning_rate
from .server_optimizer import Moments, average, step
from .settings import Rules


class ServerState(NamedTuple):
    """What the master carries from round to round. Arrays are never written to.

    Attributes
    ----------
    model, shared : ndarray of shape (n_params,), float32
        x and w.
    version : int
        Number of delta frames between w^0 and ``shared``.
    energies : tuple of float
        |G|^2 of the last D aggregates, the newest last; statistics do not count.
    moments : Moments
        Of the server optimizer.
    mean : ndarray of shape (n_params,), float32, or None
        Exponential average of x; None where there is none, and before the first step.
    lag : float
        Mode lowrank: |x - w|^2 of what is trained; otherwise 0.
    """

    model: Vector
    shared: Vector
    version: int = 0
    energies: Tuple[float, ...] = ()
    moments: Moments = Moments()
    mean: Optional[Vector] = None
    lag: float = 0.0

    @property
    def result(self) -> Vector:
        """What is saved as the result of the run: the average where there is one, or else x."""
        return self.model if self.mean is None else self.mean


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


def aggregate(
    n_samples: Mapping[int, int],
    uploaded: Collection[int],
    uploads: Mapping[int, Payload],
    mirrors: Mapping[int, Vector],
    layout: Layout,
    rules: Rules,
) -> Optional[Vector]:
    """Return G, float32 (n_params,), or None if there is nothing to apply.

    The weight of worker m is n_m / sum of n over the workers leased when the round opened.
    With memory none or flq the sum is over those that uploaded, so that a missing update changes
    the mean and not the step; with a residual that would amplify what is sent later. With memory
    mirror the sum is over the mirrors of all leased workers, silent ones included. In mode laq all
    weights are 1: its objective is the sum of the workers', not their mean. Moving
    statistics are the mean over those that uploaded, whatever the memory: nothing of them comes
    later. Workers are added in the order of their ids. The sum is then scaled and clipped, if the
    rules ask for it: G is what is really applied, and what the lazy rule's history holds.

    Parameters
    ----------
    n_samples : mapping
        Worker id -> number of samples, over all workers leased when the round opened.
    uploaded : collection of int
        Who has uploaded.
    uploads : mapping
        Worker id -> payload; not read where there are mirrors.
    mirrors : mapping
        Worker id -> mirror g_m after this round's uploads; not read with the other memories.
    """
    members = uploaded if rules.memory in ("none", "flq") else n_samples
    heard = mirrors if rules.memory == "mirror" else uploaded
    if not heard:
        return None
    n_total = sum(n_samples[worker_id] for worker_id in members)
    total = np.zeros(layout.n_params, np.float32)
    weights = {worker_id: 1.0 if rules.is_laq else n_samples[worker_id] / n_total for worker_id in sorted(heard)}
    if not rules.has_mirrors:
        weighted = [(uploads[worker_id], weight) for worker_id, weight in weights.items()]
        QUANTIZERS[rules.codec_up].add_all(total, weighted, layout)
    else:
        for worker_id, weight in weights.items():
            for part in blocks(layout.n_trained):
                total[part] += np.float32(weight) * mirrors[worker_id][part]
    total[layout.n_trained :] = 0.0
    n_heard = sum(n_samples[worker_id] for worker_id in uploaded)
    for worker_id in sorted(uploaded):
        measured = (
            mirrors[worker_id][layout.n_trained :] if rules.has_mirrors else statistics_of(uploads[worker_id], layout)
        )
        total[layout.n_trained :] += np.float32(n_samples[worker_id] / n_heard) * measured
    scale(total[: layout.n_trained], len(uploaded), rules)
    return total


def close_round(
    state: ServerState,
    total: Optional[Vector],
    round_index: int,
    layout: Layout,
    rules: Rules,
    delta: Optional[Payload] = None,
) -> ClosedRound:
    """Step the model by the aggregate, whose memory is used up, and encode the difference.

    Parameters
    ----------
    delta : ndarray of uint8, optional
        What this round has made of the difference before: taken as it is, since the workers have it.

    Raises
    ------
    CodecError
        If the model is no longer finite.
    """
    if total is None:
        return ClosedRound(state._replace(energies=(state.energies + (0.0,))[-rules.depth :]), None)
    size = energy(total[: layout.n_trained])
    if not np.isfinite(size):
        raise CodecError("the aggregate of the round is no longer finite")
    lr = rules.step.lr * (1.0 if rules.lr_by_round is None else learning_rate(rules.lr_by_round, round_index))
    model, moments = step(state.model, total, state.moments, rules.step, lr, layout)
    difference = np.subtract(model, state.shared, out=total)
    if delta is None:
        limit = payload_sizes(state, 1, layout, rules).down
        delta = QUANTIZERS[rules.codec_down].encode(difference, layout, limit=limit)
    shared = total  # a vector less: nobody needs the difference any more
    QUANTIZERS[rules.codec_down].add_to(shared, delta, layout, base=state.shared)
    energies = (state.energies + (size,))[-rules.depth :]
    mean = average(state.mean, model, moments.n_steps, rules.step.ema) if rules.step.ema else None
    lag = energy((model - shared)[: layout.n_trained]) if rules.mode == "lowrank" else 0.0
    return ClosedRound(ServerState(model, shared, state.version + 1, energies, moments, mean, lag), delta)


def threshold(state: ServerState, rules: Rules, n_workers: int) -> float:
    """Return S for the round that opens with this state and so many workers; in mode laq it is S / M^2."""
    return movement(state.energies, rules, n_workers)


def payload_sizes(state: ServerState, n_workers: int, layout: Layout, rules: Rules) -> Sizes:
    """Return the longest payloads of the round that opens with this state and so many workers, in mode lowrank."""
    moved = [size for size in state.energies if size > 0]  # a round without an aggregate says nothing
    return sizes(state.lag, moved[-1] if moved else 0.0, n_workers, layout, rules)


def first_server_state(start: Vector) -> ServerState:
    """Return the state before the first round: x^0 = w^0."""
    return ServerState(model=start, shared=start)
