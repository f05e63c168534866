"""The weighted mean, G = sum of w_m u_m: federated averaging, McMahan et al. 2017, arXiv:1602.05629."""

from typing import Tuple

import numpy as np

from ..layout import Vector
from .contributions import Contributions
from .strategy import Aggregator, Empty, stateless


def update(contributions: Contributions, state: Empty, options: Empty) -> Tuple[Vector, Empty]:
    """Add the updates by their weights."""
    total = np.zeros(contributions.layout.n_params, np.float32)
    contributions.add_to(total, contributions.weights)
    return total, state


MEAN = Aggregator(stateless, update)
