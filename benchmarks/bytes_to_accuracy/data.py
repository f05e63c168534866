"""Fashion-MNIST with a validation set, and one partition for all seeds.

5,000 of the 60,000 training images, drawn with a fixed seed, are the validation set, on which settings are chosen; the
test set is for reporting. The workers hold the other 55,000.

In FLQ, ``system.seed`` determines the partition as well as the start values and the order of the samples. Here the
partition is always that of PARTITION_SEED, so the seeds of a table differ in start values and order only, as in the
study that the numbers are compared with.
"""

import os
from typing import Callable, Dict, List

import numpy as np

from flq.config_file import load_config
from flq.core import rng
from flq.core.settings import Settings
from flq.training.datasets import load_dataset, resolve_dataset
from flq.training.keras_task import KerasShare, KerasTask
from flq.training.partition import partition
from flq.training.task import LocalUpdate

N_VALIDATION = 5000
SPLIT_SEED = 2026
PARTITION_SEED = 42


def prepared(folder: str) -> Dict[str, str]:
    """Return the data files "validation" and "test": the same 55,000 training images, and either set for evaluation."""
    os.makedirs(folder, exist_ok=True)
    paths = {part: os.path.join(folder, "fashion_mnist_%s.npz" % part) for part in ("validation", "test")}
    if not all(os.path.exists(path) for path in paths.values()):
        whole = load_dataset(resolve_dataset(load_config(None, ["dataset=fashion_mnist"])))
        order = rng.permutation(len(whole.y_train), rng.stream(SPLIT_SEED, rng.HELD_BACK))
        held, kept = np.sort(order[:N_VALIDATION]), np.sort(order[N_VALIDATION:])
        parts = {"validation": (whole.x_train[held], whole.y_train[held]), "test": (whole.x_test, whole.y_test)}
        for part, (x, y) in parts.items():
            partial = "%s.%d.partial.npz" % (paths[part], os.getpid())
            np.savez(partial, x_train=whole.x_train[kept], y_train=whole.y_train[kept], x_test=x, y_test=y)
            os.replace(partial, paths[part])
    return paths


class FixedPartition(KerasTask):
    """A task that partitions its samples by PARTITION_SEED instead of the run's seed.

    Parameters
    ----------
    settings : dict
    count : callable
        Receives the number of samples of each local training.
    """

    def __init__(self, settings: Settings, count: Callable[[int], None]) -> None:
        super().__init__(settings)
        self._count = count

    def train(self, share: KerasShare, shared: np.ndarray, round_index: int) -> LocalUpdate:
        """Train, and report the number of samples."""
        done = super().train(share, shared, round_index)
        self._count(done.n_trained)
        return done

    def _partition(self, labels: np.ndarray) -> List[np.ndarray]:
        return partition(labels, self.settings._replace(system=self.settings.system._replace(seed=PARTITION_SEED)))
