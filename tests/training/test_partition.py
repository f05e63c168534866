"""The partition: each sample once, a batch for every worker, the same everywhere."""

import zlib

import numpy as np
import pytest
from factory import settings_with

from flq.core import rng
from flq.errors import DataError
from flq.training.datasets import load_dataset
from flq.training.partition import PARTITIONS, _filled_up, _log_gamma_variate, partition, worker_share


def labels_of(n, n_classes=10):
    return np.arange(n) % n_classes


def crc_of(shards):
    return zlib.crc32(b"".join(shard.astype("<i8").tobytes() + b"|" for shard in shards))


@pytest.mark.parametrize("name", sorted(PARTITIONS))
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.5, 100.0])
@pytest.mark.parametrize("n_workers", [1, 4, 20])
def test_each_sample_is_used_once_and_each_worker_has_a_batch(name, alpha, n_workers):
    shards = partition(labels_of(1437), settings_with(partition=name, dir_alpha=alpha, total_workers=n_workers))
    assert len(shards) == n_workers
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(1437))
    assert min(len(shard) for shard in shards) >= 32
    assert all(shard.dtype == np.int64 and (np.diff(shard) > 0).all() for shard in shards)


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_exactly_one_batch_per_worker_is_enough(name):
    shards = partition(labels_of(128), settings_with(partition=name, dir_alpha=0.1))
    assert [len(shard) for shard in shards] == [32, 32, 32, 32]


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_less_than_one_batch_per_worker_is_refused(name):
    with pytest.raises(DataError, match=r"127 training samples are fewer than .* = 4 \* 32"):
        partition(labels_of(127), settings_with(partition=name))


def test_unknown_partition_is_refused_by_name():
    with pytest.raises(DataError, match="dataset.partition must be one of iid, non_iid, shards, local, got 'noniid'"):
        partition(labels_of(500), settings_with(partition="noniid"))


def test_iid_sizes_differ_by_one_at_most():
    sizes = [len(shard) for shard in partition(labels_of(1437), settings_with())]
    assert sizes == [360, 359, 359, 359]


def test_smaller_alpha_leaves_workers_with_fewer_classes():
    labels = labels_of(6000)

    def largest_class_share(**changes):
        shards = partition(labels, settings_with(**changes))
        return np.mean([np.bincount(labels[shard]).max() / len(shard) for shard in shards])

    shares = [largest_class_share(partition="non_iid", dir_alpha=alpha) for alpha in (0.1, 1.0, 1000.0)]
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.13


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_the_seed_decides_the_partition(name):
    first, again, other = [
        crc_of(partition(labels_of(500), settings_with(partition=name, seed=seed))) for seed in (1, 1, 2)
    ]
    assert first == again != other


@pytest.mark.parametrize(
    "changes, crc",
    [
        ({}, 3513840173),
        ({"partition": "non_iid"}, 2262060734),
        ({"partition": "non_iid", "dir_alpha": 0.1, "total_workers": 20, "seed": 7}, 4136326320),  # filled up
        ({"partition": "non_iid", "dir_alpha": 10.0, "total_workers": 8}, 4000907047),
        ({"partition": "shards"}, 561566106),
        ({"partition": "shards", "total_workers": 7, "shards_per_worker": 5, "seed": 7}, 3170048307),
    ],
)
def test_partition_is_the_same_under_every_numpy(changes, crc):
    settings = settings_with(**changes)
    assert crc_of(partition(load_dataset(settings).y_train, settings)) == crc


def test_filling_up_takes_from_the_largest():
    shards = [np.array([0]), np.arange(10, 16), np.arange(20, 24)]
    filled = _filled_up(shards, 3)
    assert [shard.tolist() for shard in filled] == [[0, 14, 15], [10, 11, 12, 13], [20, 21, 22, 23]]


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_gamma_variates_have_mean_and_variance_alpha(alpha):
    bits = rng.stream(7, rng.PARTITION)
    n = 20000
    values = np.exp([_log_gamma_variate(alpha, bits) for _ in range(n)])
    # Five standard errors; the fourth central moment of Gamma(alpha, 1) is 3 alpha^2 + 6 alpha.
    assert abs(values.mean() - alpha) < 5 * (alpha / n) ** 0.5
    assert abs(values.var() - alpha) < 5 * ((2 * alpha**2 + 6 * alpha) / n) ** 0.5


@pytest.mark.parametrize("n_each", [1, 2, 3])
def test_a_worker_with_few_shards_sees_few_classes(n_each):
    labels = np.arange(1000) // 100  # as many shards as classes, or some more: most cuts lie within a class
    shards = partition(labels, settings_with(partition="shards", total_workers=10, shards_per_worker=n_each))
    assert max(len(np.unique(labels[shard])) for shard in shards) <= n_each + 1
    assert [len(shard) for shard in shards] == pytest.approx([100] * 10, abs=n_each)


def test_shards_are_pieces_of_the_samples_sorted_by_class():
    labels = labels_of(120, n_classes=3)
    shards = partition(labels, settings_with(partition="shards", total_workers=3, shards_per_worker=2, batch_size=4))
    in_order = np.argsort(labels, kind="stable").tolist()
    pieces = [sorted(in_order[start : start + 20]) for start in range(0, 120, 20)]
    dealt = [[i for i, piece in enumerate(pieces) if set(piece) <= set(shard.tolist())] for shard in shards]
    assert sorted(sum(dealt, [])) == [0, 1, 2, 3, 4, 5] and [len(own) for own in dealt] == [2, 2, 2]
    assert sorted(sum(dealt, [])) != sum(dealt, [])  # at random


def test_rounding_leaves_no_worker_with_less_than_a_batch():
    for seed in range(20):  # 12 shards of 10 or 11 samples
        shards = partition(labels_of(128), settings_with(partition="shards", shards_per_worker=3, seed=seed))
        assert [len(shard) for shard in shards] == [32] * 4


def test_more_shards_than_samples_are_refused():
    settings = settings_with(partition="shards", total_workers=2, shards_per_worker=51)
    with pytest.raises(DataError, match=r"shards_per_worker = 2 \* 51 shards are more than 101 training samples"):
        partition(labels_of(101), settings)
    settings = settings_with(settings, shards_per_worker=50)
    assert sum(len(shard) for shard in partition(labels_of(101), settings)) == 101


def test_local_deals_nothing_out():
    with pytest.raises(DataError, match="partition local each worker has its own files"):
        partition(labels_of(500), settings_with(partition="local"))


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_a_share_is_the_workers_part_of_the_training_samples(name):
    settings = settings_with(partition=name)
    dataset = load_dataset(settings)
    shards = partition(dataset.y_train, settings)
    for worker_id, shard in enumerate(shards):
        share = worker_share(dataset, shards, worker_id)
        assert np.array_equal(share.x, dataset.x_train[shard]) and np.array_equal(share.y, dataset.y_train[shard])
        assert share.x.dtype == np.uint8 and len(share.held_x) == len(share.held_y) == 0
        assert share.x.base is None  # not a view that keeps the whole data set in memory


def test_a_local_share_is_everything_and_holds_the_test_part_back():
    dataset = load_dataset(settings_with())
    share = worker_share(dataset, [], 99)
    assert share.x is dataset.x_train and share.y is dataset.y_train
    assert share.held_x is dataset.x_test and share.held_y is dataset.y_test
