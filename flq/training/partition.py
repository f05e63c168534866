"""Partitions the training samples among the workers.

A partition is a function of (labels, settings): every worker computes all of it and takes its
own part, so no indices are sent. It uses raw integers, ``math`` and integer cuts only, so it is
the same with every version of numpy. Each sample is used exactly once, and every worker gets at
least one batch.

With partition local there is no partition: each worker has its own files, trains on their
training samples and evaluates on the rest.

Example
-------
>>> from flq.core.settings import DatasetSettings, SystemSettings
>>> settings = Settings(system=SystemSettings(total_workers=2), dataset=DatasetSettings(batch_size=1))
>>> sorted(len(shard) for shard in partition(np.array([0, 1, 0, 1, 1]), settings))
[2, 3]
"""

import math
from typing import Callable, Dict, List, NamedTuple

import numpy as np

from ..core import rng
from ..core.settings import Settings
from ..errors import DataError
from .datasets import Dataset, Shape

LOCAL = "local"  # each worker has its own files
MAX_DRAWS = 10  # draws of the Dirichlet split before samples are moved between workers


class WorkerSamples(NamedTuple):
    """One worker's samples.

    Attributes
    ----------
    x, y : ndarray of shape (n, height, width, channels), uint8 or float32; (n,), int64
        Samples for training.
    held_x, held_y : ndarray of shape (m, height, width, channels), like x; (m,), int64
        Samples held out for evaluation. Empty, m = 0, unless ``dataset.partition`` is local.
    """

    x: np.ndarray
    y: np.ndarray
    held_x: np.ndarray
    held_y: np.ndarray


def worker_share(dataset: Dataset, shards: List[np.ndarray], worker_id: int) -> WorkerSamples:
    """Return one worker's samples: a copy of its part of the training samples, none held out.

    With ``dataset.partition`` local, ``dataset`` is the worker's own, and it gets all of it; the test
    part is held out.

    Parameters
    ----------
    shards : list of ndarray
        As returned by :func:`partition`; empty with partition local.
    """
    if not shards:
        return WorkerSamples(dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)
    own = shards[worker_id]
    return WorkerSamples(dataset.x_train[own], dataset.y_train[own], dataset.x_test[:0], dataset.y_test[:0])


def no_samples(input_shape: Shape) -> WorkerSamples:
    """Return a share without samples."""
    x, y = np.zeros((0,) + tuple(input_shape), np.float32), np.zeros(0, np.int64)
    return WorkerSamples(x, y, x, y)


def partition(labels: np.ndarray, settings: Settings) -> List[np.ndarray]:
    """Partition the training samples among the workers.

    Parameters
    ----------
    labels : ndarray of shape (n,), int
        Class of each training sample.
    settings : Settings
        Uses system.seed, system.total_workers, dataset.partition, dataset.batch_size,
        dataset.dir_alpha (non_iid), dataset.shards_per_worker (shards).

    Returns
    -------
    list of ndarray, int64
        Sorted sample indices, one array per worker.

    Raises
    ------
    DataError
        If the partition is unknown or local, there is less than one batch per worker, or there
        are fewer samples than shards.
    """
    name, n_workers = settings.dataset.partition, settings.system.total_workers
    batch_size = _least(settings)
    if name == LOCAL:
        raise DataError("with dataset.partition local each worker has its own files, there is nothing to partition")
    if name not in PARTITIONS:
        raise DataError("dataset.partition must be one of %s, got %r" % (", ".join(sorted(PARTITIONS) + [LOCAL]), name))
    if len(labels) < n_workers * batch_size:
        raise DataError(
            "%d training samples are fewer than system.total_workers * dataset.batch_size = %d * %d"
            % (len(labels), n_workers, batch_size),
            hint="use fewer workers or smaller batches",
        )
    bits = rng.stream(settings.system.seed, rng.PARTITION)
    return [np.sort(shard) for shard in PARTITIONS[name](labels, settings, bits)]


def _least(settings: Settings) -> int:
    """Return a worker's minimum number of samples: a batch, or 1 if a batch is all of its samples."""
    return settings.dataset.batch_size or 1


def _iid(labels: np.ndarray, settings: Settings, bits: np.random.Philox) -> List[np.ndarray]:
    """Distribute a random order evenly: sizes differ by one at most."""
    n_workers = settings.system.total_workers
    order = rng.permutation(len(labels), bits)
    return [order[worker_id::n_workers] for worker_id in range(n_workers)]


def _non_iid(labels: np.ndarray, settings: Settings, bits: np.random.Philox) -> List[np.ndarray]:
    """Divide each class by shares from a symmetric Dirichlet distribution over the workers.

    Small ``dir_alpha`` gives each worker few classes. A draw that leaves a worker with less
    than a batch is repeated with the next numbers of the stream; after MAX_DRAWS draws, samples
    are moved between the workers of the last one.

    Source: Hsu et al. 2019, arXiv:1909.06335, in the per-class form of Yurochkin et al.
    2019, arXiv:1905.12022, which uses each sample exactly once.
    """
    n_workers, n_min = settings.system.total_workers, _least(settings)
    for _ in range(MAX_DRAWS):
        shards = _dirichlet_split(labels, n_workers, settings.dataset.dir_alpha, bits)
        if min(len(shard) for shard in shards) >= n_min:
            return shards
    # Shuffled, so that the moved samples are a cross-section of the giver's classes.
    return _filled_up([shard[rng.permutation(len(shard), bits)] for shard in shards], n_min)


def _dirichlet_split(labels: np.ndarray, n_workers: int, alpha: float, bits: np.random.Philox) -> List[np.ndarray]:
    """Return one draw of the split, of any sizes."""
    parts: List[List[np.ndarray]] = [[] for _ in range(n_workers)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        members = members[rng.permutation(len(members), bits)]
        shares = _dirichlet(alpha, n_workers, bits)
        cuts = [int(len(members) * math.fsum(shares[:worker_id])) for worker_id in range(1, n_workers)]
        for worker_id, part in enumerate(np.split(members, cuts)):
            parts[worker_id].append(part)
    return [np.concatenate(part) for part in parts]


def _shards(labels: np.ndarray, settings: Settings, bits: np.random.Philox) -> List[np.ndarray]:
    """Sort the samples by class, cut them into equal shards, and give each worker some at random.

    Shard sizes differ by one at most. A worker gets about ``shards_per_worker`` classes. If
    rounding leaves a worker with less than a batch, samples are moved to it.

    Source: McMahan et al. 2017, arXiv:1602.05629, section 3 (200 shards, 2 for each of 100
    workers).
    """
    n_workers, n_each = settings.system.total_workers, settings.dataset.shards_per_worker
    n_shards = n_workers * n_each
    if n_shards > len(labels):
        raise DataError(
            "system.total_workers * dataset.shards_per_worker = %d * %d shards are more than %d training "
            "samples" % (n_workers, n_each, len(labels)),
            hint="use fewer shards per worker",
        )
    cuts = [i * len(labels) // n_shards for i in range(1, n_shards)]
    pieces = np.split(np.argsort(labels, kind="stable"), cuts)
    order = rng.permutation(n_shards, bits)
    shards = [
        np.concatenate([pieces[i] for i in order[n_each * worker_id : n_each * (worker_id + 1)]])
        for worker_id in range(n_workers)
    ]
    return _filled_up(shards, _least(settings))


def _filled_up(shards: List[np.ndarray], n_min: int) -> List[np.ndarray]:
    """Move samples from the largest shards until every shard has ``n_min`` of them."""
    for taker in range(len(shards)):
        while len(shards[taker]) < n_min:
            giver = max(range(len(shards)), key=lambda worker_id: len(shards[worker_id]))
            n_moved = min(n_min - len(shards[taker]), len(shards[giver]) - n_min)
            shards[taker] = np.concatenate([shards[taker], shards[giver][-n_moved:]])
            shards[giver] = shards[giver][:-n_moved]
    return shards


def _dirichlet(alpha: float, size: int, bits: np.random.Philox) -> List[float]:
    """Draw shares that sum to 1 from the symmetric Dirichlet distribution.

    They are normalized gamma variates, computed as logarithms: at alpha = 0.01 most variates
    underflow to zero.
    """
    logs = [_log_gamma_variate(alpha, bits) for _ in range(size)]
    weights = [math.exp(value - max(logs)) for value in logs]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _log_gamma_variate(alpha: float, bits: np.random.Philox) -> float:
    """Draw the logarithm of a Gamma(alpha, 1) variate.

    Source: Marsaglia and Tsang 2000, doi:10.1145/358407.358414: rejection for shape
    alpha + 1, then Gamma(alpha) = Gamma(alpha + 1) * U^(1/alpha). Normals by Box-Muller.
    """
    d = alpha + 1.0 - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        normal = math.sqrt(-2.0 * math.log(_uniform(bits))) * math.cos(2.0 * math.pi * _uniform(bits))
        v = (1.0 + c * normal) ** 3
        if v > 0.0 and math.log(_uniform(bits)) < 0.5 * normal**2 + d - d * v + d * math.log(v):
            return math.log(d * v) + math.log(_uniform(bits)) / alpha


def _uniform(bits: np.random.Philox) -> float:
    """Draw from the open interval (0, 1): 53 bits of a raw integer, plus half a step."""
    return ((int(bits.random_raw()) >> 11) + 0.5) * 2.0**-53


PARTITIONS: Dict[str, Callable[..., List[np.ndarray]]] = {"iid": _iid, "non_iid": _non_iid, "shards": _shards}
