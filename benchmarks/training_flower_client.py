"""A Flower client over gRPC that trains with FLQ's trainer, and so does the same work as an FLQ worker.

    python -m benchmarks.training_flower_client PORT WORKER_ID SETTINGS     (with the Python of Flower's environment)

SETTINGS is a file with FLQ's resolved settings. Prints its resource usage (benchmarks.peak.report).
"""

import json
import sys
from typing import Tuple

import numpy as np

from benchmarks.flower_client import take_part
from flq.training.frameworks import build_trainer


def main() -> None:
    """Take part in all rounds."""
    with open(sys.argv[3], encoding="utf-8") as file:
        trainer = build_trainer(json.load(file), int(sys.argv[2]))

    def answer(model: np.ndarray, round_index: int) -> Tuple[np.ndarray, int]:
        """Return the local model after training, and the number of samples."""
        return model - trainer.local_update(model, round_index).update, trainer.n_samples

    take_part(int(sys.argv[1]), answer)


if __name__ == "__main__":
    main()
