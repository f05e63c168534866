"""A convex problem in numpy alone: tests and large simulations need no TensorFlow.

Worker m of M minimises f_m(x) = 1/2 (x - c_m)^T diag(a_m) (x - c_m) with curvature a_m in
[1, 10] and centre c_m in [-1, 1), drawn from (seed, m); weights are n_m / n with
n_m = 100 + 10 m. The optimum of the weighted sum is known in closed form. Gradient descent
converges for model.lr < 0.2.

All arithmetic on the parameters is elementwise float32, block by block, so ten million of
them need a few vectors of memory and give the same bits on every machine.
"""

from typing import Any, Dict, Tuple

import numpy as np

from ..core import draws
from ..core.params import BLOCK, Vector, blocks
from ..errors import DataError
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
    bits = draws.stream(settings["system"]["seed"], draws.PROBLEM, 0, worker_id)
    curvature = draws.uniform(model["dim"], bits)
    curvature *= np.float32(4.5)
    curvature += np.float32(5.5)
    return curvature, draws.uniform(model["dim"], bits)


class QuadraticTrainer:
    """One worker's f_m and gradient descent on it.

    Attributes
    ----------
    n_samples : int
        The worker's weight, 100 + 10 * worker_id.
    layout : Layout
        Of the vectors that go in and out.
    """

    def __init__(self, settings: Dict[str, Any], worker_id: int) -> None:
        self.n_samples = n_samples_of(worker_id)
        self.layout = model_layout(settings)
        self._curvature, self._centre = problem(settings, worker_id)
        self._lr = np.float32(settings["model"]["lr"])
        self._n_steps = settings["model"]["local_steps"] or settings["model"]["local_epochs"]

    def local_update(self, shared: Vector, round_index: int) -> LocalUpdate:
        """Take ``local_steps`` (or ``local_epochs``) full gradient steps; ``shared`` is not modified.

        Parameters
        ----------
        shared : ndarray of shape (n_params,), float32
        round_index : int
            Without effect: gradients are exact, nothing is drawn.

        Returns
        -------
        LocalUpdate
            Its loss is the mean over the steps of f_m(x) / dim before the step.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # whoever encodes the update finds out
            return self._descend(shared)

    def _descend(self, shared: Vector) -> LocalUpdate:
        update = np.empty_like(shared)
        gradient, offset = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        total = 0.0
        # Coordinates do not interact: a block takes all its steps while it is in the cache.
        for part in blocks(shared.size):
            local, size = update[part], part.stop - part.start
            np.copyto(local, shared[part])
            for _ in range(self._n_steps):
                np.subtract(local, self._centre[part], out=offset[:size])
                np.multiply(offset[:size], self._curvature[part], out=gradient[:size])
                offset[:size] *= gradient[:size]
                total += 0.5 * float(np.add.reduce(offset[:size], dtype=np.float64))
                gradient[:size] *= self._lr
                local -= gradient[:size]
            np.subtract(shared[part], local, out=local)
        return LocalUpdate(update, total / (self._n_steps * shared.size), self._n_steps)


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
