"""The real master program, which keeps the model of each round instead of evaluating it.

    python -m benchmarks.training_master FOLDER MODELS [flags of flq_master.py]

MODELS is the output file of the models: float32 (rounds, parameters), written after the last round. Prints the marks of
all rounds, like benchmarks.round_master.
"""

import sys
from typing import Any, Callable, List, Sequence

import numpy as np

from benchmarks.round_master import NoEvaluator, serve
from flq.core.layout import Vector
from flq.master.records.round_log import Evaluated

MODELS: List[Vector] = []


class Keeps(NoEvaluator):
    """Replaces the evaluator; keeps each model."""

    def evaluate(self, round_index: int, vectors: Sequence[Vector], done: Callable[[int, Evaluated], Any]) -> None:
        """Keep the model, and mark the round."""
        MODELS.append(vectors[0])
        super().evaluate(round_index, vectors, done)


if __name__ == "__main__":
    exit_code = serve(Keeps, sys.argv[3:], sys.argv[1])
    np.save(sys.argv[2], np.stack(MODELS))
    sys.exit(exit_code)
