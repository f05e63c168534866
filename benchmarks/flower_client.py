"""A Flower client over gRPC: in each round, receives the model and sends a ready float32 vector.

    python -m benchmarks.flower_client PORT WORKER_ID DIM       (with the Python of Flower's environment)

Prints its resource usage (benchmarks.peak.report).
"""

import sys
import time
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from flwr.client import NumPyClient, start_client

from benchmarks.peak import report
from benchmarks.ready import ready_vector

Answer = Callable[[np.ndarray, int], Tuple[np.ndarray, int]]  # model, round -> vector, its number of samples


class Noted(NumPyClient):
    """Answers in each round, and records the CPU seconds used so far."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.cpu_marks: List[float] = []
        self._answer = answer

    def fit(self, parameters: List[np.ndarray], config: Dict[str, Any]) -> Tuple[List[np.ndarray], int, Dict[str, Any]]:
        """Answer, and record the CPU seconds."""
        vector, n_samples = self._answer(parameters[0], len(self.cpu_marks) + 1)
        self.cpu_marks.append(time.process_time())
        return [vector], n_samples, {}


def take_part(port: int, answer: Answer) -> None:
    """Answer in all rounds, and print the resource usage."""
    client = Noted(answer)
    start_client(server_address="127.0.0.1:%d" % port, client=client.to_client(), insecure=True)
    print(report(client.cpu_marks), flush=True)


def main() -> None:
    """Send the same update in all rounds."""
    port, worker_id, dim = map(int, sys.argv[1:4])
    update = ready_vector(dim, worker_id)
    take_part(port, lambda model, round_index: (update, 100))


if __name__ == "__main__":
    main()
