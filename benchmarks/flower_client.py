"""A Flower client over gRPC: takes the model, sends a float32 vector that is ready, round after round.

    python -m benchmarks.flower_client PORT WORKER_ID DIM       (with the Python of Flower's environment)

Prints the CPU seconds that it had used in each round, as JSON.
"""

import json
import sys
import time
from typing import Any, Dict, List, Tuple

import numpy as np
from flwr.client import NumPyClient, start_client

from benchmarks.ready import ready_vector


class Ready(NumPyClient):
    """Has learnt its update already."""

    def __init__(self, dim: int, worker_id: int) -> None:
        super().__init__()
        self.cpu_marks: List[float] = []
        self._update = ready_vector(dim, worker_id)

    def fit(self, parameters: List[np.ndarray], config: Dict[str, Any]) -> Tuple[List[np.ndarray], int, Dict[str, Any]]:
        """Return the same update in every round."""
        self.cpu_marks.append(time.process_time())
        return [self._update], 100, {}


def main() -> None:
    """Take part in all rounds."""
    port, worker_id, dim = map(int, sys.argv[1:4])
    client = Ready(dim, worker_id)
    start_client(server_address="127.0.0.1:%d" % port, client=client.to_client(), insecure=True)
    print(json.dumps(client.cpu_marks), flush=True)


if __name__ == "__main__":
    main()
