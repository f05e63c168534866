"""Momentum: v := momentum v + G;  x := x - lr v.

With updates of local training it is FedAvgM, Hsu et al. 2019, arXiv:1909.06335.
"""

from typing import NamedTuple, Tuple

from ..layout import Vector
from .strategy import Option, ServerOptimizer, blockwise, zeros


class Options(NamedTuple):
    """Decay of v."""

    momentum: float = 0.7


class Velocity(NamedTuple):
    """v, float32 (n_trained,)."""

    velocity: Vector


def init(n_trained: int) -> Velocity:
    """Return v = 0."""
    return Velocity(zeros(n_trained))


def update(total: Vector, state: Velocity, model: Vector, lr: float, options: Options) -> Tuple[Vector, Velocity]:
    """Step along v."""
    velocity = options.momentum * state.velocity + total
    return model - lr * velocity, Velocity(velocity)


MOMENTUM = ServerOptimizer(
    init, blockwise(update), Options(), {"momentum": Option("Momentum of the server optimizer momentum.", 0, lt=1)}
)
