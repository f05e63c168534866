"""A convex problem in numpy alone: tests and large simulations need no TensorFlow.

Worker m of M minimises f_m(x) = 1/2 (x - c_m)^T diag(a_m) (x - c_m) with curvature a_m in
[1, 10] and centre c_m in [-1, 1), drawn from (seed, m); weights are n_m / n with
n_m = 100 + 10 m. The optimum of the weighted sum is known in closed form. Gradient descent
converges for model.lr < 0.2.

A worker descends like the Keras trainer, with the same local optimizers, schedules and
proximal term, but over exact gradients: there are no minibatches.

All arithmetic on the parameters is elementwise float32, block by block, so ten million of
them need a few vectors of memory and give the same bits on every machine.
"""

from typing import Any, Dict, List, Tuple

import numpy as np

from ..core import rng
from ..core.layout import BLOCK, Vector, blocks
from ..core.schedule import learning_rate
from ..errors import DataError
from .local_optimizers import local_optimizer
from .models import model_layout
from .results import Evaluation, LocalUpdate


def n_samples_of(worker_id: int) -> int:
    """Return the worker's number of samples: invented, different for each, so that weights differ."""
    return 100 + 10 * worker_id


def check_problem(settings: Dict[str, Any]) -> None:
    """Find out whether there is a problem of these settings, without drawing it.

    Raises
    ------
    DataError
        If model.l2 is not 0: the optimum in closed form has no such term.
    """
    if settings["model"]["l2"]:
        raise DataError("model.l2 must be 0 for the quadratic problem, got %r" % (settings["model"]["l2"],))


def problem(settings: Dict[str, Any], worker_id: int) -> Tuple[Vector, Vector]:
    """Draw a worker's curvature a_m in [1, 10] and centre c_m in [-1, 1).

    Raises
    ------
    DataError
        If :func:`check_problem` refuses the settings.
    """
    check_problem(settings)
    model = settings["model"]
    bits = rng.stream(settings["system"]["seed"], rng.PROBLEM, 0, worker_id)
    curvature = rng.uniform(model["dim"], bits)
    curvature *= np.float32(4.5)
    curvature += np.float32(5.5)
    return curvature, rng.uniform(model["dim"], bits)


class QuadraticTrainer:
    """One worker's f_m and gradient descent on it.

    Attributes
    ----------
    n_samples : int
        The worker's weight, 100 + 10 * worker_id.
    layout : Layout
        Of the vectors that go in and out.
    notes : list of str
        Empty: there is no device to say anything about.
    """

    def __init__(self, settings: Dict[str, Any], worker_id: int) -> None:
        self.n_samples = n_samples_of(worker_id)
        self.layout = model_layout(settings)
        self.notes: List[str] = []
        self._curvature, self._centre = problem(settings, worker_id)
        self._model = settings["model"]
        self._takes_steps = settings["flq_algorithm"]["update"] == "delta"
        self._n_steps = self._model["local_steps"] or self._model["local_epochs"]
        self._optimizer = local_optimizer(self._model)

    def local_update(self, shared: Vector, round_index: int) -> LocalUpdate:
        """Take ``local_steps`` (or ``local_epochs``) full gradient steps; ``shared`` is not modified.

        With ``flq_algorithm.update`` gradient it takes none, and the update is the gradient at
        ``shared``.

        Parameters
        ----------
        shared : ndarray of shape (n_params,), float32
        round_index : int
            From 1; picks the learning rate. Gradients are exact, nothing is drawn.

        Returns
        -------
        LocalUpdate
            Its loss is the mean over the steps of (f_m(x) + mu/2 |x - shared|^2) / dim before
            the step.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # whoever encodes the update finds out
            if self._takes_steps:
                return self._descend(shared, learning_rate(self._model, round_index))
            return self._slope(shared)

    def _descend(self, shared: Vector, lr: float) -> LocalUpdate:
        update = np.empty_like(shared)
        buffer, mu = np.empty(BLOCK, np.float32), np.float32(self._model["mu"])
        rates = [np.float32(self._optimizer.rate(lr, t)) for t in range(1, self._n_steps + 1)]
        total = 0.0
        # Coordinates do not interact: a block takes all its steps while it is in the cache.
        for part in blocks(shared.size):
            local, gradient = update[part], buffer[: part.stop - part.start]
            slots = tuple(np.zeros_like(gradient) for _ in range(self._optimizer.n_slots))
            np.copyto(local, shared[part])
            for rate in rates:
                total += self._gradient(local, part, gradient)
                if mu:
                    drift = local - shared[part]
                    gradient += mu * drift
                    total += 0.5 * float(mu) * float(np.add.reduce(drift * drift, dtype=np.float64))
                direction, slots = self._optimizer.direction(gradient, slots, np.sqrt)
                np.multiply(direction, rate, out=gradient)
                local -= gradient
            np.subtract(shared[part], local, out=local)
        return LocalUpdate(
            update, total / (self._n_steps * shared.size), self._n_steps, n_trained=self._n_steps * self.n_samples
        )

    def _slope(self, shared: Vector) -> LocalUpdate:
        update = np.empty_like(shared)
        total = sum(self._gradient(shared[part], part, update[part]) for part in blocks(shared.size))
        return LocalUpdate(update, total / shared.size, 1, n_trained=self.n_samples)

    def _gradient(self, x: Vector, part: slice, out: Vector) -> float:
        """Write the gradient at a block ``x`` of the parameters to ``out``; return its part of f_m."""
        offset = x - self._centre[part]
        np.multiply(offset, self._curvature[part], out=out)
        offset *= out
        return 0.5 * float(np.add.reduce(offset, dtype=np.float64))


class QuadraticEvaluator:
    """The weighted sum of all workers' f_m, as a distance from its optimum.

    With A = sum of w_m a_m and x* = (sum of w_m a_m c_m) / A, the sum minus its smallest
    value is 1/2 (x - x*)^T diag(A) (x - x*); both are kept in float64.

    Attributes
    ----------
    layout : Layout
        Of the vectors that are evaluated.
    """

    def __init__(self, settings: Dict[str, Any]) -> None:
        self.layout = model_layout(settings)
        n_workers = settings["system"]["total_workers"]
        n_total = sum(n_samples_of(worker_id) for worker_id in range(n_workers))
        self._curvature = np.zeros(self.layout.n_params, np.float64)
        self._optimum = np.zeros(self.layout.n_params, np.float64)
        for worker_id in range(n_workers):
            curvature, centre = problem(settings, worker_id)
            weight = n_samples_of(worker_id) / n_total
            for part in blocks(curvature.size):
                # dtype: before numpy 2 an array times a scalar stays float32, whatever the scalar.
                weighted = np.multiply(curvature[part], weight, dtype=np.float64)
                self._curvature[part] += weighted
                self._optimum[part] += weighted * centre[part]
        self._optimum /= self._curvature

    def evaluate(self, vector: Vector) -> Evaluation:
        """Return (objective minus optimum) / dim as loss; there is no accuracy.

        Parameters
        ----------
        vector : ndarray of shape (n_params,), float32
        """
        total = 0.0
        for part in blocks(vector.size):
            offset = vector[part] - self._optimum[part]
            total += 0.5 * float(np.add.reduce(self._curvature[part] * offset * offset))
        return Evaluation(total / vector.size, None)

    def save_keras(self, vector: Vector, path: str) -> None:
        """Refuse: there is no Keras model.

        Raises
        ------
        DataError
            Always.
        """
        raise DataError("the quadratic problem has no Keras model to save as %s" % path)
