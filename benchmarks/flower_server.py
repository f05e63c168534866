"""Flower's gRPC server without evaluation; prints the marks of all rounds as JSON.

python -m benchmarks.flower_server DIM ROUNDS WORKERS       (with the Python of Flower's environment)
"""

import json
import sys
from typing import Any, List

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerConfig, start_server
from flwr.server.strategy import FedAvg

from benchmarks.peak import mark
from benchmarks.processes import free_port


class Noted(FedAvg):
    """Federated averaging of all workers that marks the end of each round."""

    def __init__(self, start: np.ndarray, n_workers: int) -> None:
        super().__init__(
            fraction_fit=1.0,
            fraction_evaluate=0.0,
            min_fit_clients=n_workers,
            min_available_clients=n_workers,
            initial_parameters=ndarrays_to_parameters([start]),
        )
        self.marks: List[Any] = []

    def aggregate_fit(self, server_round: int, results: List[Any], failures: List[Any]) -> Any:
        """Average, and mark the end of the round."""
        if failures or len(results) < self.min_fit_clients:
            raise RuntimeError("round %d has %d answers and %d failures" % (server_round, len(results), len(failures)))
        averaged = super().aggregate_fit(server_round, results, failures)
        self.marks.append(mark(0, 0))  # the forwarder counts bytes
        return averaged


def serve(strategy: Noted, n_rounds: int) -> None:
    """Serve all rounds, and print the marks."""
    port = free_port()
    print("ready on http://127.0.0.1:%d" % port, flush=True)  # almost ready; clients retry
    start_server(server_address="127.0.0.1:%d" % port, config=ServerConfig(num_rounds=n_rounds), strategy=strategy)
    print(json.dumps(strategy.marks), flush=True)


def main() -> None:
    """Serve all rounds of ready vectors."""
    dim, n_rounds, n_workers = map(int, sys.argv[1:4])
    serve(Noted(np.zeros(dim, np.float32), n_workers), n_rounds)


if __name__ == "__main__":
    main()
