"""Flower's gRPC server, with nothing to evaluate; prints what it noted at the end of each round as JSON.

    python -m benchmarks.flower_server DIM ROUNDS WORKERS       (with the Python of Flower's environment)
"""

import json
import socket
import sys
from typing import Any, List

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerConfig, start_server
from flwr.server.strategy import FedAvg

from benchmarks.peak import mark


class Noted(FedAvg):
    """Federated averaging that notes when a round has its average."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.marks: List[Any] = []

    def aggregate_fit(self, server_round: int, results: List[Any], failures: List[Any]) -> Any:
        """Average, and note."""
        if failures or len(results) < self.min_fit_clients:
            raise RuntimeError("round %d has %d answers and %d failures" % (server_round, len(results), len(failures)))
        averaged = super().aggregate_fit(server_round, results, failures)
        self.marks.append(mark(0, 0))  # who counts bytes stands between
        return averaged


def main() -> None:
    """Serve all rounds."""
    dim, n_rounds, n_workers = map(int, sys.argv[1:4])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    strategy = Noted(fraction_fit=1.0, fraction_evaluate=0.0, min_fit_clients=n_workers,
                     min_available_clients=n_workers,
                     initial_parameters=ndarrays_to_parameters([np.zeros(dim, np.float32)]))
    print("ready on http://127.0.0.1:%d" % port, flush=True)  # nearly; clients try again
    start_server(server_address="127.0.0.1:%d" % port, config=ServerConfig(num_rounds=n_rounds), strategy=strategy)
    print(json.dumps(strategy.marks), flush=True)


if __name__ == "__main__":
    main()
