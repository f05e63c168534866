"""The sum without weights, G = sum of u_m: the objective of LAQ, Sun et al. 2019, arXiv:1909.07588."""

from typing import Tuple

import numpy as np

from ..layout import Vector
from .contributions import Contributions
from .strategy import Aggregator, Empty, stateless


def update(contributions: Contributions, state: Empty, options: Empty) -> Tuple[Vector, Empty]:
    """Add the updates."""
    total = np.zeros(contributions.layout.n_params, np.float32)
    contributions.add_to(total, [1.0] * len(contributions.worker_ids))
    return total, state


SUM = Aggregator(stateless, update)
