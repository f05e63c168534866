"""The strategies: aggregators turn contributions into G, server optimizers step the model x along it.

Both are values of pure functions (strategy.py), one idea per file with its source. A new one is a file and a row
below: its settings, validation, docs and contract tests follow from the row. contributions.py has their input.
"""

from typing import Dict

from .adam import ADAM
from .contributions import Contributions
from .mean import MEAN
from .momentum import MOMENTUM
from .plain_sum import SUM
from .sgd import SGD
from .strategy import Aggregator, Option, ServerOptimizer, join_state, options_of, split_state

__all__ = [
    "AGGREGATORS",
    "SERVER_OPTIMIZERS",
    "Aggregator",
    "Contributions",
    "Option",
    "ServerOptimizer",
    "join_state",
    "options_of",
    "split_state",
]

AGGREGATORS: Dict[str, Aggregator] = {
    "mean": MEAN,  # by shares of the samples
    "sum": SUM,  # without weights: mode laq
}

SERVER_OPTIMIZERS: Dict[str, ServerOptimizer] = {
    "sgd": SGD,  # FedAvg
    "momentum": MOMENTUM,  # FedAvgM
    "adam": ADAM,  # FedAdam
}
