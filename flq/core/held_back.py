"""The quality of a model on a worker's own held-out samples."""

from typing import NamedTuple


class HeldBack(NamedTuple):
    """Loss and accuracy of the shared copy, before training, on a worker's held-out samples.

    Attributes
    ----------
    loss : float
        Mean cross-entropy, non-finite if the model has diverged.
    accuracy : float
        Fraction in [0, 1].
    n_samples : int
        Number of held-out samples, 1 or more.
    """

    loss: float
    accuracy: float
    n_samples: int
