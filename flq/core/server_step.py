"""The master's side of one round: uploads -> aggregate -> model step -> delta frame.

x is the model; w is the copy that the master and all workers share. Workers train on w, the
master steps x, and the downlink is the quantized difference: w := w + D(C(x - w)). The error of C
stays in x - w and is sent later (EF21-P, Gruntkowska et al. 2022, arXiv:2209.15218).
"""

from typing import Any, Collection, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import CodecError
from .aggregate_scaling import scale
from .codecs import FLOAT32, QUANTIZERS, Payload, exact_payload, statistics_of
from .layout import Layout, Vector, blocks, energy
from .lazy import movement
from .lowrank_budget import Sizes, sizes
from .schedule import learning_rate
from .settings import Rules
from .strategies import AGGREGATORS, SERVER_OPTIMIZERS, Contributions, split_state


class ServerState(NamedTuple):
    """The master's state between rounds. Arrays are never modified.

    Attributes
    ----------
    model, shared : ndarray of shape (n_params,), float32
        x and w.
    version : int
        Number of delta frames between w^0 and ``shared``.
    energies : tuple of float
        |G|^2 of the last D aggregates, newest last, without statistics.
    aggregator, optimizer : NamedTuple or None
        States of the strategies; None before the first step.
    mean : ndarray of shape (n_params,), float32, or None
        Exponential average of x; None if it is off, and before the first step.
    lag : float
        Mode lowrank: |x - w|^2 of the trained part; otherwise 0.
    """

    model: Vector
    shared: Vector
    version: int = 0
    energies: Tuple[float, ...] = ()
    aggregator: Any = None
    optimizer: Any = None
    mean: Optional[Vector] = None
    lag: float = 0.0

    @property
    def result(self) -> Vector:
        """The result of the run: the average if there is one, otherwise x."""
        return self.model if self.mean is None else self.mean


class ClosedRound(NamedTuple):
    """The result of closing a round.

    Attributes
    ----------
    state : ServerState
    delta : ndarray of shape (n_bytes,), uint8, or None
        Payload of the delta frame; None if the model has not moved.
    """

    state: ServerState
    delta: Optional[Payload]


def aggregate(
    state: ServerState,
    n_samples: Mapping[int, int],
    uploaded: Collection[int],
    uploads: Mapping[int, Payload],
    mirrors: Mapping[int, Vector],
    layout: Layout,
    rules: Rules,
) -> Tuple[ServerState, Optional[Vector]]:
    """Return the state with the aggregator's new state, and G, float32 (n_params,), or None.

    G is None if there is nothing to apply.

    The weight of worker m is n_m / sum of n over the workers leased when the round opened.
    With memory none or flq the sum is over the workers that uploaded, so that a missing update changes
    the mean and not the step; with a residual that would amplify later uploads. With memory
    mirror, G adds the mirrors of all leased workers, also of those that skipped. Moving statistics are the
    mean over the workers that uploaded, with any memory and aggregator. Workers are added in
    ascending order of id. The aggregate is then scaled and clipped, if the rules require it: the master applies
    this G, and the lazy rule's history records it.

    Parameters
    ----------
    n_samples : mapping
        Worker id -> number of samples, over all workers leased when the round opened.
    uploaded : collection of int
        The workers that uploaded.
    uploads : mapping
        Worker id -> payload; read with memory none and residual.
    mirrors : mapping
        Worker id -> mirror g_m after this round's uploads; read with memory flq and mirror.
    """
    members = uploaded if rules.memory in ("none", "flq") else n_samples
    heard = sorted(mirrors if rules.memory == "mirror" else uploaded)
    if not heard:
        return state, None
    n_total = sum(n_samples[worker_id] for worker_id in members)
    if rules.has_mirrors:
        codec = QUANTIZERS[FLOAT32]
        sent: Mapping[int, Payload] = {worker_id: exact_payload(mirrors[worker_id]) for worker_id in heard}
    else:
        codec, sent = QUANTIZERS[rules.codec_up], uploads
    contributions = Contributions(
        heard,
        [n_samples[worker_id] / n_total for worker_id in heard],
        [worker_id in uploaded for worker_id in heard],
        [sent[worker_id] for worker_id in heard],
        codec,
        layout,
    )
    aggregator = AGGREGATORS[rules.aggregator]
    before = aggregator.init(layout.n_trained) if state.aggregator is None else state.aggregator
    total, after = aggregator.update(contributions, before, rules.aggregator_options)
    total[layout.n_trained :] = 0.0
    n_heard = sum(n_samples[worker_id] for worker_id in uploaded)
    for worker_id in sorted(uploaded):
        measured = statistics_of(sent[worker_id], layout)
        total[layout.statistics] += np.float32(n_samples[worker_id] / n_heard) * measured
    scale(total[: layout.n_trained], len(uploaded), rules)
    return state._replace(aggregator=after), total


def close_round(
    state: ServerState,
    total: Optional[Vector],
    round_index: int,
    layout: Layout,
    rules: Rules,
    delta: Optional[Payload] = None,
) -> ClosedRound:
    """Step the model along the aggregate and encode the delta frame.

    ``total`` is overwritten. Moving statistics have no step length: x := x - G.

    Parameters
    ----------
    delta : ndarray of uint8, optional
        The delta that this round has made before; it is used as it is, since the workers have it.

    Raises
    ------
    CodecError
        If the aggregate, the model or the optimizer's state is not finite.
    """
    if total is None:
        return ClosedRound(state._replace(energies=(state.energies + (0.0,))[-rules.depth :]), None)
    n_trained = layout.n_trained
    size = energy(total[:n_trained])
    if not np.isfinite(size):
        raise CodecError("the aggregate of the round is no longer finite")
    lr = rules.step.lr * (1.0 if rules.lr_by_round is None else learning_rate(rules.lr_by_round, round_index))
    optimizer = SERVER_OPTIMIZERS[rules.step.optimizer]
    before = optimizer.init(n_trained) if state.optimizer is None else state.optimizer
    trained, after = optimizer.update(total[:n_trained], before, state.model[:n_trained], lr, rules.step.options)
    for name, vector in split_state(after)[1].items():
        if not (np.isfinite(vector.max()) and np.isfinite(vector.min())):
            raise CodecError("%s of server_optimizer %s is no longer finite" % (name, rules.step.optimizer))
    model = trained
    if layout.n_params > n_trained:
        model = np.concatenate([trained, state.model[n_trained:] - total[n_trained:]])
    difference = np.subtract(model, state.shared, out=total)
    if delta is None:
        limit = payload_sizes(state, 1, layout, rules).down
        delta = QUANTIZERS[rules.codec_down].encode(difference, layout, limit=limit)
    shared = total  # reuses the memory of the difference
    QUANTIZERS[rules.codec_down].add_to(shared, delta, layout, base=state.shared)
    energies = (state.energies + (size,))[-rules.depth :]
    version = state.version + 1
    mean = average(state.mean, model, version, rules.step.ema) if rules.step.ema else None
    lag = energy((model - shared)[:n_trained]) if rules.mode == "lowrank" else 0.0
    return ClosedRound(ServerState(model, shared, version, energies, state.aggregator, after, mean, lag), delta)


def average(before: Optional[Vector], model: Vector, n_steps: int, decay: float) -> Vector:
    """Return the exponential average of the models x^1 .. x^n, new.

    The weights decay^(n-i) are normalised to sum 1, so that the initial model does not enter:
    average := average + (1 - decay) / (1 - decay^n) (x - average).

    Parameters
    ----------
    before : ndarray of shape (n_params,), float32, or None
        The average of the first n - 1 models; None with n = 1.
    """
    if before is None:
        return model.copy()
    share = np.float32((1.0 - decay) / (1.0 - decay**n_steps))
    mean = np.empty_like(model)
    for part in blocks(model.size):
        np.subtract(model[part], before[part], out=mean[part])
        mean[part] *= share
        mean[part] += before[part]
    return mean


def threshold(state: ServerState, rules: Rules, n_workers: int) -> float:
    """Return S, in mode laq S / M^2, for the round that opens with this state."""
    return movement(state.energies, rules, n_workers)


def payload_sizes(state: ServerState, n_workers: int, layout: Layout, rules: Rules) -> Sizes:
    """Return mode lowrank's payload sizes for the round that opens with this state."""
    moved = [size for size in state.energies if size > 0]  # rounds without an aggregate do not count
    return sizes(state.lag, moved[-1] if moved else 0.0, n_workers, layout, rules)


def first_server_state(start: Vector) -> ServerState:
    """Return the state before the first round: x^0 = w^0."""
    return ServerState(model=start, shared=start)
