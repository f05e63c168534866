"""A convex problem in numpy, for tests and large simulations without TensorFlow.

Worker m of M minimizes f_m(x) = 1/2 (x - c_m)^T diag(a_m) (x - c_m) with curvature a_m in
[1, 10] and centre c_m in [-1, 1), drawn from (seed, m); weights are n_m / n with
n_m = 100 + 10 m. The optimum of the weighted sum is known in closed form. Gradient descent
converges for model.lr < 0.2.

A worker uses the local optimizers, schedules and proximal term of Keras tasks, but exact
gradients: there are no minibatches.

All arithmetic on the parameters is elementwise float32, block by block, so ten million
parameters need a few vectors of memory, and the bits are the same on every machine.
"""

from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

from ..core import rng
from ..core.layout import BLOCK, Layout, Tensor, Vector, blocks
from ..core.schedule import learning_rate
from ..core.settings import Settings
from ..errors import DataError
from .local_optimizers import local_optimizer
from .task import LocalUpdate, Metric, Metrics, Task

MODELS = ("quadratic",)
N_TENSORS = 4


def n_samples_of(worker_id: int) -> int:
    """Return the worker's nominal number of samples, different for each, so that weights differ."""
    return 100 + 10 * worker_id


def quadratic_layout(dim: int) -> Layout:
    """Return the layout of ``dim`` parameters in four vectors whose sizes differ by one at most.

    Raises
    ------
    DataError
        If ``dim`` is less than 4.
    """
    if dim < N_TENSORS:
        raise DataError("model.dim must be at least %d, got %r" % (N_TENSORS, dim))
    size, larger = divmod(dim, N_TENSORS)
    return Layout(tuple(Tensor("part_%d" % (i + 1), (size + (i < larger),)) for i in range(N_TENSORS)))


def problem(settings: Settings, worker_id: int) -> Tuple[Vector, Vector]:
    """Draw a worker's curvature a_m in [1, 10] and centre c_m in [-1, 1)."""
    model = settings.model
    bits = rng.stream(settings.system.seed, rng.PROBLEM, 0, worker_id)
    curvature = rng.uniform(model.dim, bits)
    curvature *= np.float32(4.5)
    curvature += np.float32(5.5)
    return curvature, rng.uniform(model.dim, bits)


class QuadraticShare(NamedTuple):
    """One worker's f_m or, for the master, the weighted sum of all workers' minus its minimum.

    With A = sum of w_m a_m and x* = (sum of w_m a_m c_m) / A, the latter is
    1/2 (x - x*)^T diag(A) (x - x*).

    Attributes
    ----------
    n_samples : int
        The worker's weight, 100 + 10 * worker_id.
    curvature, centre : ndarray of shape (dim,), float32; float64 for the master
    """

    n_samples: int
    curvature: np.ndarray
    centre: np.ndarray


class QuadraticTask(Task):
    """Gradient descent on each worker's f_m."""

    main_metric = Metric("loss", higher_is_better=False)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.layout = quadratic_layout(settings.model.dim)
        self._model = settings.model
        self._master: Optional[QuadraticShare] = None

    def check(self) -> None:
        """Raise DataError for model.l2 > 0, which the optimum in closed form does not include."""
        if self._model.l2:
            raise DataError("model.l2 must be 0 for the quadratic problem, got %r" % (self._model.l2,))

    def start(self) -> Vector:
        """Return x^0, drawn from the seed."""
        return rng.start_values(self.layout, self.settings.system.seed)

    def open(self, worker_id: Optional[int]) -> QuadraticShare:
        """Return the problem of a worker, or the sum of all problems."""
        self.check()
        if worker_id is not None:
            return QuadraticShare(n_samples_of(worker_id), *problem(self.settings, worker_id))
        if self._master is None:
            self._master = self._sum()
        return self._master

    def train(self, share: QuadraticShare, shared: Vector, round_index: int) -> LocalUpdate:
        """Take ``local_steps`` (or ``local_epochs``) full gradient steps; ``shared`` is not modified.

        With ``flq_algorithm.update`` gradient there are no steps: the update is the gradient at
        ``shared``.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # encoding rejects a non-finite update
            if self.settings.flq_algorithm.update == "delta":
                return self._descend(share, shared, learning_rate(self._model, round_index))
            return self._slope(share, shared)

    def evaluate(self, vector: Vector, share: Any = None) -> Metrics:
        """Return (objective minus optimum) / dim as loss, for the sum of all workers' problems."""
        if share is not None:
            return {}
        whole, total = self.open(None), 0.0
        for part in blocks(vector.size):
            offset = vector[part] - whole.centre[part]
            total += 0.5 * float(np.add.reduce(whole.curvature[part] * offset * offset))
        return {"loss": total / vector.size}

    def export(self, vector: Vector, path: str) -> None:
        """Raise DataError: there is no Keras model."""
        raise DataError("the quadratic problem has no Keras model to save as %s" % path)

    def _sum(self) -> QuadraticShare:
        """Return the weighted sum of all workers' problems."""
        n_workers = self.settings.system.total_workers
        n_total = sum(n_samples_of(worker_id) for worker_id in range(n_workers))
        curvature_sum = np.zeros(self.layout.n_params, np.float64)
        optimum = np.zeros(self.layout.n_params, np.float64)
        for worker_id in range(n_workers):
            curvature, centre = problem(self.settings, worker_id)
            weight = n_samples_of(worker_id) / n_total
            for part in blocks(curvature.size):
                # dtype is needed: before numpy 2 a float32 array times a float64 scalar is float32.
                weighted = np.multiply(curvature[part], weight, dtype=np.float64)
                curvature_sum[part] += weighted
                optimum[part] += weighted * centre[part]
        optimum /= curvature_sum
        return QuadraticShare(n_total, curvature_sum, optimum)

    def _descend(self, share: QuadraticShare, shared: Vector, lr: float) -> LocalUpdate:
        optimizer, n_steps = local_optimizer(self._model), self._model.local_steps or self._model.local_epochs
        update = np.empty_like(shared)
        buffer, mu = np.empty(BLOCK, np.float32), np.float32(self._model.mu)
        rates = [np.float32(optimizer.rate(lr, t)) for t in range(1, n_steps + 1)]
        total = 0.0
        # Coordinates are independent, so a block takes all steps while it is in the cache.
        for part in blocks(shared.size):
            local, gradient = update[part], buffer[: part.stop - part.start]
            slots = tuple(np.zeros_like(gradient) for _ in range(optimizer.n_slots))
            np.copyto(local, shared[part])
            for rate in rates:
                total += _gradient(share, local, part, gradient)
                if mu:
                    drift = local - shared[part]
                    gradient += mu * drift
                    total += 0.5 * float(mu) * float(np.add.reduce(drift * drift, dtype=np.float64))
                direction, slots = optimizer.direction(gradient, slots, np.sqrt)
                np.multiply(direction, rate, out=gradient)
                local -= gradient
            np.subtract(shared[part], local, out=local)
        return LocalUpdate(update, total / (n_steps * shared.size), n_steps, n_trained=n_steps * share.n_samples)

    def _slope(self, share: QuadraticShare, shared: Vector) -> LocalUpdate:
        update = np.empty_like(shared)
        total = sum(_gradient(share, shared[part], part, update[part]) for part in blocks(shared.size))
        return LocalUpdate(update, total / shared.size, 1, n_trained=share.n_samples)


def _gradient(share: QuadraticShare, x: Vector, part: slice, out: Vector) -> float:
    """Write the gradient at a block ``x`` of the parameters to ``out``; return its part of f_m."""
    offset = x - share.centre[part]
    np.multiply(offset, share.curvature[part], out=out)
    offset *= out
    return 0.5 * float(np.add.reduce(offset, dtype=np.float64))
