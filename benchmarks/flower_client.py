"""A Flower client over gRPC: takes the model, sends a float32 vector that is ready, round after round.

    python -m benchmarks.flower_client PORT WORKER_ID DIM       (with the Python of Flower's environment)

Prints what it has used (benchmarks.peak.report).
"""

import sys
import time
from typing import Any, Dict, List, Tuple

import numpy as np
from flwr.client import NumPyClient, start_client

from benchmarks.peak import report
from benchmarks.ready import ready_vector


class Noted(NumPyClient):
    """Notes the CPU seconds that it had used when it answered."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu_marks: List[float] = []

    def answer(self, model: np.ndarray) -> Tuple[np.ndarray, int]:
        """Return a vector, and how many samples it stands for."""
        raise NotImplementedError

    def fit(self, parameters: List[np.ndarray], config: Dict[str, Any]) -> Tuple[List[np.ndarray], int, Dict[str, Any]]:
        """Answer, and note."""
        vector, n_samples = self.answer(parameters[0])
        self.cpu_marks.append(time.process_time())
        return [vector], n_samples, {}


class Ready(Noted):
    """Has learnt its update already."""

    def __init__(self, dim: int, worker_id: int) -> None:
        super().__init__()
        self._update = ready_vector(dim, worker_id)

    def answer(self, model: np.ndarray) -> Tuple[np.ndarray, int]:
        """Return the same update in every round."""
        return self._update, 100


def take_part(port: int, client: Noted) -> None:
    """Answer in all rounds, and say what that took."""
    start_client(server_address="127.0.0.1:%d" % port, client=client.to_client(), insecure=True)
    print(report(client.cpu_marks), flush=True)


def main() -> None:
    """Take part in all rounds."""
    port, worker_id, dim = map(int, sys.argv[1:4])
    take_part(port, Ready(dim, worker_id))


if __name__ == "__main__":
    main()
