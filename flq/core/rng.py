"""Randomness as a function of (seed, round, worker, purpose); no generator is stored.

Philox is a counter-based generator: the key is (seed, purpose), the counter starts at (worker, round), so any stream
can be reproduced at any time on any machine. Where both ends must agree, only raw integers are used: they are the same
in every version of numpy, which its distributions need not be.
"""

import numpy as np

from .layout import Layout, Vector, blocks, glorot_limit

# Purposes. A number is never reused for another purpose.
START = 1  # initial model
BATCHES = 2  # order of the samples in a worker's round
PARTITION = 3  # which samples belong to which worker
PROBLEM = 4  # the quadratic problem of a worker
ROUNDING = 5  # stochastic rounding of a worker's update
HELD_BACK = 6  # test samples of a data set without a test set
LAYERS = 7  # random layers, such as dropout, in a worker's round
GRANTS = 8  # random order of grants
SKETCH = 9  # start of the subspace iteration for a wide matrix

ONES = ("/gamma", "/moving_variance")  # tensors of batch normalisation that start at one


def stream(seed: int, purpose: int, round_index: int = 0, worker_id: int = 0) -> np.random.Philox:
    """Return the bit generator of one purpose, round and worker."""
    return np.random.Philox(
        key=np.array([seed, purpose], np.uint64), counter=np.array([0, 0, round_index, worker_id], np.uint64)
    )


def permutation(size: int, bits: np.random.Philox) -> np.ndarray:
    """Return a random order of ``range(size)``, int64: a stable sort of raw integers."""
    return np.argsort(bits.random_raw(size), kind="stable")


def uniform(size: int, bits: np.random.Philox) -> Vector:
    """Return ``size`` float32 values in [-1, 1): the top 24 bits of raw integers, exactly."""
    values = np.empty(size, np.float32)
    for part in blocks(size):
        raw = bits.random_raw(part.stop - part.start) >> np.uint64(40)
        np.multiply(raw.astype(np.float32), np.float32(2.0**-23), out=values[part])
        values[part] -= np.float32(1.0)
    return values


def start_values(layout: Layout, seed: int) -> Vector:
    """Draw the initial model x^0 = w^0, which both ends derive from the seed.

    Tensors with two axes or more are Glorot uniform; scales and variances of batch normalisation are one, all others
    zero. Elementwise float32 arithmetic on raw integers, so that every machine computes the same bits.

    Returns
    -------
    ndarray of shape (n_params,), float32
    """
    bits = stream(seed, START)
    vector = np.zeros(layout.n_params, np.float32)
    for part, tensor in zip(layout.slices(), layout.tensors):
        if len(tensor.shape) >= 2:
            np.multiply(uniform(tensor.size, bits), np.float32(glorot_limit(tensor.shape)), out=vector[part])
        elif tensor.name.endswith(ONES):
            vector[part] = 1.0
    return vector
