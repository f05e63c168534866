"""Flower's gRPC server for a run with training; prints the marks of all rounds as JSON.

    python -m benchmarks.training_flower_server SETTINGS MODELS       (with the Python of Flower's environment)

SETTINGS is a file with FLQ's resolved settings, which determine start values, workers and rounds. MODELS is the output
file of the models: float32 (rounds, parameters), written after the last round.
"""

import json
import sys
from typing import Any, List

import numpy as np
from flwr.common import parameters_to_ndarrays

from benchmarks.flower_server import Noted, serve
from flq.core.settings import settings_from_json
from flq.training.frameworks import make_task


class Keeps(Noted):
    """Keeps the model of each round."""

    def __init__(self, start: np.ndarray, n_workers: int) -> None:
        super().__init__(start, n_workers)
        self.models: List[np.ndarray] = []

    def aggregate_fit(self, server_round: int, results: List[Any], failures: List[Any]) -> Any:
        """Average, mark the end of the round, and keep the model."""
        averaged = super().aggregate_fit(server_round, results, failures)
        self.models.append(parameters_to_ndarrays(averaged[0])[0])
        return averaged


def main() -> None:
    """Serve all rounds."""
    with open(sys.argv[1], encoding="utf-8") as file:
        settings = settings_from_json(json.load(file))
    strategy = Keeps(make_task(settings).start(), settings.system.total_workers)
    serve(strategy, settings.system.max_rounds)
    np.save(sys.argv[2], np.stack(strategy.models))


if __name__ == "__main__":
    main()
