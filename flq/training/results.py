"""What local training and evaluation give back."""

from typing import NamedTuple, Optional

from ..core.layout import Vector


class HeldBack(NamedTuple):
    """How good the shared copy is on samples that a worker keeps for that, before it trains.

    Attributes
    ----------
    loss : float
        Mean cross-entropy; NaN or infinite for a model that has diverged.
    accuracy : float
        Fraction in [0, 1].
    n_samples : int
        How many they are, 1 or more.
    """

    loss: float
    accuracy: float
    n_samples: int


class LocalUpdate(NamedTuple):
    """Outcome of one worker's local training in one round.

    Attributes
    ----------
    update : ndarray of shape (n_params,), float32
        With ``flq_algorithm.update`` delta the shared copy minus the local model after training,
        which acts like a gradient; with gradient the mean gradient of one minibatch at the
        shared copy, the L2 term included. In both, moving statistics are shared minus local. A
        new array that belongs to the caller.
    loss : float
        Mean over the local steps of the loss before each step.
    n_steps : int
        Local steps taken; 1 for a gradient.
    held_back : HeldBack or None
        None unless ``dataset.partition`` is local.
    n_trained : int
        Samples in these steps, as often as they were used; 0 where nobody counts them.
    """

    update: Vector
    loss: float
    n_steps: int
    held_back: Optional[HeldBack] = None
    n_trained: int = 0


class Evaluation(NamedTuple):
    """How good a model is.

    Attributes
    ----------
    loss : float or None
        Mean over the test set, or the distance from the optimum for the quadratic problem.
        May be NaN or infinite for a model that has diverged; None where there is no test set.
    accuracy : float or None
        Fraction in [0, 1]; None where the problem has no classes, or no test set.
    """

    loss: Optional[float]
    accuracy: Optional[float]
