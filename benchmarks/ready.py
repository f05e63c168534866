"""Ready vectors, which the workers of all contestants send in every round."""

import numpy as np


def ready_vector(size: int, worker_id: int) -> np.ndarray:
    """Return a worker's update, float32 (size,): Gaussian, similar to gradients."""
    return np.random.default_rng(worker_id).standard_normal(size, np.float32) * np.float32(0.01)
