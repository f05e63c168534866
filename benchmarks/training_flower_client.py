"""A Flower client over gRPC that trains with FLQ's own trainer, so that it does the work of an FLQ worker.

    python -m benchmarks.training_flower_client PORT WORKER_ID SETTINGS     (with the Python of Flower's environment)

SETTINGS is a file with FLQ's resolved settings. Prints what it has used (benchmarks.peak.report).
"""

import json
import sys
from typing import Any, Dict, Tuple

import numpy as np

from benchmarks.flower_client import Noted, take_part
from flq.training.trainer import build_trainer


class Trains(Noted):
    """Trains in each round."""

    def __init__(self, settings: Dict[str, Any], worker_id: int) -> None:
        super().__init__()
        self._trainer = build_trainer(settings, worker_id)

    def answer(self, model: np.ndarray) -> Tuple[np.ndarray, int]:
        """Return the local model after training, and on how many samples."""
        learnt = self._trainer.local_update(model, len(self.cpu_marks) + 1)
        return model - learnt.update, self._trainer.n_samples


def main() -> None:
    """Take part in all rounds."""
    with open(sys.argv[3], encoding="utf-8") as file:
        settings = json.load(file)
    take_part(int(sys.argv[1]), Trains(settings, int(sys.argv[2])))


if __name__ == "__main__":
    main()
