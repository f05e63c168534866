"""Randomness: the same on every machine and version, and different for every purpose."""

import itertools
import math
import zlib

import numpy as np
import pytest

from flq.core import rng
from flq.core.layout import BLOCK, Layout, Tensor

MASK = 2**64 - 1


def philox(key, counter, n_words):
    """Philox4x64-10 as Salmon et al. 2011 write it, in Python's integers; the counter is raised before each block."""
    words = []
    counter = sum(word << (64 * i) for i, word in enumerate(counter))
    while len(words) < n_words:
        counter = (counter + 1) % 2**256
        c0, c1, c2, c3 = [(counter >> (64 * i)) & MASK for i in range(4)]
        k0, k1 = key
        for _ in range(10):
            first, second = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
            c0, c1, c2, c3 = (second >> 64) ^ c1 ^ k0, second & MASK, (first >> 64) ^ c3 ^ k1, first & MASK
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
        words += [c0, c1, c2, c3]
    return words[:n_words]


@pytest.mark.parametrize(
    "seed, purpose, round_index, worker_id",
    [(42, rng.START, 0, 0), (0, rng.BATCHES, 7, 3), (2**63 - 1, rng.PROBLEM, 0, 4095)],
)
def test_streams_are_philox_with_key_and_counter_as_documented(seed, purpose, round_index, worker_id):
    raw = rng.stream(seed, purpose, round_index, worker_id).random_raw(11)
    assert raw.tolist() == philox((seed, purpose), (0, 0, round_index, worker_id), 11)


def test_streams_differ_in_each_of_seed_purpose_round_and_worker():
    keys = list(itertools.product((1, 2), (rng.BATCHES, rng.PARTITION), (1, 2), (1, 2)))
    heads = {tuple(rng.stream(*key).random_raw(2).tolist()) for key in keys}
    assert len(heads) == len(keys) == 16


def test_purposes_have_numbers_of_their_own():
    assert [rng.START, rng.BATCHES, rng.PARTITION, rng.PROBLEM] == [1, 2, 3, 4]


def test_a_stream_made_again_is_the_same():
    assert rng.stream(5, 2, 3, 4).random_raw(9).tolist() == rng.stream(5, 2, 3, 4).random_raw(9).tolist()


def test_permutation_sorts_the_raw_integers():
    raw = rng.stream(1, rng.BATCHES).random_raw(100).tolist()
    order = rng.permutation(100, rng.stream(1, rng.BATCHES))
    assert order.dtype == np.int64
    assert order.tolist() == sorted(range(100), key=raw.__getitem__)


def test_uniform_values_are_the_top_24_bits():
    values = rng.uniform(1000, rng.stream(3, rng.PROBLEM))
    raw = rng.stream(3, rng.PROBLEM).random_raw(1000).tolist()
    assert values.dtype == np.float32
    assert values.tolist() == [(word >> 40) * 2.0**-23 - 1.0 for word in raw]  # exact in float32
    assert -1.0 <= values.min() < -0.99 and 0.99 < values.max() < 1.0


def test_uniform_values_do_not_depend_on_the_blocks():
    whole = rng.uniform(BLOCK + 5, rng.stream(3, rng.PROBLEM))
    raw = rng.stream(3, rng.PROBLEM).random_raw(BLOCK + 5)[-5:]
    assert whole[-5:].tolist() == [(word >> 40) * 2.0**-23 - 1.0 for word in raw.tolist()]


MLP = Layout(
    (
        Tensor("dense_1/kernel", (64, 200)),
        Tensor("dense_1/bias", (200,)),
        Tensor("dense_2/kernel", (200, 10)),
        Tensor("dense_2/bias", (10,)),
    )
)


@pytest.mark.parametrize(
    "layout, seed, crc",
    [
        (MLP, 42, "50d31d24"),
        (MLP, 43, "ba80f31b"),
        (Layout((Tensor("conv", (5, 5, 1, 16)), Tensor("bias", (16,)))), 42, "10185080"),
    ],
)
def test_start_values_are_golden(layout, seed, crc):
    assert "%08x" % zlib.crc32(rng.start_values(layout, seed).tobytes()) == crc


def test_kernels_start_within_glorots_bound_and_the_rest_at_zero():
    start = rng.start_values(MLP, 42)
    kernel_1, bias_1, kernel_2, bias_2 = [start[part] for part in MLP.slices()]
    for kernel, fans in ((kernel_1, 264), (kernel_2, 210)):
        limit = math.sqrt(6 / fans)
        assert 0.99 * limit < np.abs(kernel).max() <= limit * (1 + 1e-7)
        assert abs(kernel.mean()) < 0.05 * limit
        assert kernel.std() == pytest.approx(limit / math.sqrt(3), rel=0.03)
    assert not bias_1.any() and not bias_2.any()


def test_vectors_and_scalars_start_at_zero():
    assert not rng.start_values(Layout((Tensor("a", (7,)), Tensor("s", ()))), 42).any()
