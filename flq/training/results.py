"""What local training and evaluation give back."""

from typing import NamedTuple, Optional

from ..core.params import Vector


class LocalUpdate(NamedTuple):
    """Outcome of one worker's local training in one round.

    Attributes
    ----------
    update : ndarray of shape (n_params,), float32
        Shared copy minus the local model after training, so it acts like a gradient. A new
        array that belongs to the caller.
    loss : float
        Mean over the local steps of the loss before each step.
    n_steps : int
        Local steps taken.
    """

    update: Vector
    loss: float
    n_steps: int


class Evaluation(NamedTuple):
    """How good a model is.

    Attributes
    ----------
    loss : float
        Mean over the test set, or the distance from the optimum for the quadratic problem.
        May be NaN or infinite for a model that has diverged.
    accuracy : float or None
        Fraction in [0, 1]; None where the problem has no classes.
    """

    loss: float
    accuracy: Optional[float]
