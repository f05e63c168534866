"""How the master steps the model x along the aggregate G.

========= ==================================================================================
sgd       x := x - lr G
momentum  v := momentum v + G;  x := x - lr v
adam      m := b1 m + (1 - b1) G;  v := b2 v + (1 - b2) G^2;
          x := x - lr sqrt(1 - b2^t) / (1 - b1^t)  m / (sqrt(v) + epsilon)
========= ==================================================================================

Adam is that of Kingma and Ba 2015, arXiv:1412.6980, in the form with "epsilon hat" that Keras
has; on updates of local training it is FedAdam, momentum is FedAvgM (Reddi et al. 2021,
arXiv:2003.00295; Hsu et al. 2019, arXiv:1909.06335). Moving statistics know no step: they take
the weighted mean, x := x - G.

All arithmetic is elementwise float32, block by block.
"""

import math
from typing import NamedTuple, Optional, Tuple

import numpy as np

from ..errors import CodecError
from .layout import BLOCK, Layout, Vector, blocks
from .settings import ServerStep


class Moments(NamedTuple):
    """What an optimizer remembers; arrays are never written to.

    Attributes
    ----------
    first, second : ndarray of shape (n_trained,), float32, or None
        Momentum's v; or adam's m and v. None where the optimizer has none, and before the first step.
    n_steps : int
        Steps taken.
    """

    first: Optional[Vector] = None
    second: Optional[Vector] = None
    n_steps: int = 0


def step(
    model: Vector, total: Vector, moments: Moments, rules: ServerStep, lr: float, layout: Layout
) -> Tuple[Vector, Moments]:
    """Return the model after one step, and the moments; new arrays.

    Parameters
    ----------
    model, total : ndarray of shape (n_params,), float32
        x and G.
    lr : float
        Factor of the step in this round.

    Raises
    ------
    CodecError
        If adam's mean of squares is no longer finite.
    """
    n_trained, n_steps = layout.n_trained, moments.n_steps + 1
    moved = np.empty_like(model)
    np.subtract(model[n_trained:], total[n_trained:], out=moved[n_trained:])
    first = None if rules.optimizer == "sgd" else np.empty(n_trained, np.float32)
    second = np.empty(n_trained, np.float32) if rules.optimizer == "adam" else None
    if rules.optimizer == "adam":
        lr *= math.sqrt(1.0 - rules.beta_2**n_steps) / (1.0 - rules.beta_1**n_steps)
    factor, scratch = np.float32(-lr), np.empty(min(BLOCK, n_trained), np.float32)
    for part in blocks(n_trained):
        direction = total[part]
        if first is not None:
            is_adam = second is not None
            decay, share = (rules.beta_1, 1.0 - rules.beta_1) if is_adam else (rules.momentum, 1.0)
            direction = _decayed(moments.first, direction, decay, share, first, part)
        if second is not None:
            root = scratch[: direction.size]
            np.multiply(total[part], total[part], out=root)
            np.sqrt(_decayed(moments.second, root, rules.beta_2, 1.0 - rules.beta_2, second, part), out=root)
            root += np.float32(rules.epsilon)
            direction = np.divide(direction, root, out=root)
        np.multiply(direction, factor, out=moved[part])
        moved[part] += model[part]
    if second is not None and not np.isfinite(second.max()):
        raise CodecError("the mean of squares of the aggregates is no longer finite")
    return moved, Moments(first, second, n_steps)


def _decayed(before: Optional[Vector], values: Vector, decay: float, share: float, out: Vector, part: slice) -> Vector:
    """Set ``out[part]`` to decay * before[part] + share * values, and return it; before may be None for zeros."""
    target = out[part]
    np.multiply(values, np.float32(share), out=target)
    if before is not None:
        target += np.float32(decay) * before[part]
    return target


def average(before: Optional[Vector], model: Vector, n_steps: int, decay: float) -> Vector:
    """Return the exponential average of the models x^1 .. x^n, new.

    The weights decay^(n-i) are normalised to sum 1, so that the start value plays no part:
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
