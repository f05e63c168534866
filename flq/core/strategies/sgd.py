"""Gradient descent: x := x - lr G. With lr 1 it is federated averaging, McMahan et al. 2017, arXiv:1602.05629."""

from typing import Tuple

from ..layout import Vector
from .strategy import Empty, ServerOptimizer, blockwise, stateless


def update(total: Vector, state: Empty, model: Vector, lr: float, options: Empty) -> Tuple[Vector, Empty]:
    """Step along G."""
    return model - lr * total, state


SGD = ServerOptimizer(stateless, blockwise(update))
