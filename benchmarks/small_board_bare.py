"""What TensorFlow takes by itself: the same model trained on the same batches, without master, vectors or memories."""

import json
import sys

import flq.worker.program  # noqa: F401  what a worker imports
from flq.core.schedule import learning_rate
from flq.training.keras_trainer import KerasTrainer

if __name__ == "__main__":
    settings = json.loads(sys.argv[2])  # as from a master: what reads a configuration is none of a worker's
    trainer = KerasTrainer(settings, 0)
    for k in range(1, int(sys.argv[1]) + 1):
        trainer._train(trainer._batches(k), learning_rate(settings["model"], k))
