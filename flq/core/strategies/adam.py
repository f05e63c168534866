"""Adam, Kingma and Ba 2015, arXiv:1412.6980, in the "epsilon hat" form of Keras:

m := b1 m + (1 - b1) G;  v := b2 v + (1 - b2) G^2;  x := x - lr sqrt(1 - b2^t) / (1 - b1^t)  m / (sqrt(v) + epsilon)

With updates of local training it is FedAdam, Reddi et al. 2021, arXiv:2003.00295.
"""

import math
from typing import NamedTuple, Tuple

import numpy as np

from ..layout import Vector
from .strategy import Option, ServerOptimizer, blockwise, zeros


class Options(NamedTuple):
    """b1, b2 and epsilon."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


class Moments(NamedTuple):
    """t, m and v; the vectors are float32 (n_trained,)."""

    n_steps: int
    first: Vector
    second: Vector


ABOUT = {
    "beta_1": Option("Decay of adam's mean, on the master.", 0, lt=1),
    "beta_2": Option("Decay of adam's mean of squares, on the master.", 0, lt=1),
    "epsilon": Option("Adam's epsilon, on the master.", 1e-30, le=1),
}
REFUSES = {"residual": "whose sums of old updates it would divide by the size of new ones"}


def init(n_trained: int) -> Moments:
    """Return zeros."""
    return Moments(0, zeros(n_trained), zeros(n_trained))


def update(total: Vector, state: Moments, model: Vector, lr: float, options: Options) -> Tuple[Vector, Moments]:
    """Step along m / (sqrt(v) + epsilon), with bias correction."""
    b1, b2, t = options.beta_1, options.beta_2, state.n_steps + 1
    first = b1 * state.first + (1.0 - b1) * total
    second = b2 * state.second + (1.0 - b2) * (total * total)
    lr *= math.sqrt(1.0 - b2**t) / (1.0 - b1**t)
    return model - lr * (first / (np.sqrt(second) + options.epsilon)), Moments(t, first, second)


ADAM = ServerOptimizer(init, blockwise(update), Options(), ABOUT, REFUSES)
