"""The memory of TensorFlow alone: trains the same model on the same batches, without master, vectors or memories."""

import json
import sys

import flq.worker.program  # noqa: F401  imports what a worker does
from flq.core.schedule import learning_rate
from flq.core.settings import settings_from_json
from flq.training.keras_task import KerasTask

if __name__ == "__main__":
    settings = settings_from_json(json.loads(sys.argv[2]))  # as from a master: a worker does not import config
    task = KerasTask(settings)
    share = task.open(0)
    train = share.network.function(share.brought[0], share.batch_size, share.prior)
    for k in range(1, int(sys.argv[1]) + 1):
        train(*share.brought, task._batches(share, k), learning_rate(settings.model, k))
