"""The problem of benchmarks.laq_table: multinomial logistic regression on MNIST with ten workers."""

import math
from typing import List, Tuple

import numpy as np

from flq.core.layout import Vector
from flq.core.settings import Settings
from flq.training.datasets import load_dataset

N_WORKERS, N_CLASSES, L2, STEP = 10, 10, 0.01, 0.02


class Problem:
    """f_m(v): the mean cross-entropy of worker m's samples plus L2 / 2 |v|^2, for several models v at once.

    A model is the kernel (784, 10), row by row, followed by the bias, which is the kernel's row for a pixel that is
    always 1. The workers get consecutive samples, in the order of the file.
    """

    def __init__(self, settings: Settings) -> None:
        data = load_dataset(settings)
        images = _with_ones(data.x_train, data.scale)
        self.parts = list(zip(np.split(images, N_WORKERS), np.split(data.y_train, N_WORKERS)))
        self.tests = _with_ones(data.x_test, data.scale), data.y_test

    def gradients(self, models: List[Vector]) -> Tuple[np.ndarray, np.ndarray]:
        """Return the gradients, float32 (n_models, n_workers, n_params), and losses, float64 (n_models, n_workers)."""
        stacked = np.stack(models)
        kernels = np.concatenate([model.reshape(-1, N_CLASSES).T for model in models])
        penalties = np.array([L2 / 2 * float(model.astype(np.float64) @ model) for model in models])
        gradients = np.empty((len(models), N_WORKERS, stacked.shape[1]), np.float32)
        losses = np.empty((len(models), N_WORKERS))
        for m, (images, labels) in enumerate(self.parts):
            n, places = len(images), np.arange(len(images))
            logits = (kernels @ images.T).reshape(len(models), N_CLASSES, n)
            right = logits[:, labels, places]
            shares = np.exp(logits, out=logits)  # the penalty keeps logits small: no overflow
            sums = shares.sum(axis=1)
            losses[:, m] = (np.log(sums) - right).mean(axis=1, dtype=np.float64) + penalties
            sums *= np.float32(n)
            shares /= sums[:, np.newaxis]
            shares[:, labels, places] -= np.float32(1 / n)
            by_class = (shares.reshape(-1, n) @ images).reshape(len(models), N_CLASSES, -1)
            gradients[:, m] = by_class.transpose(0, 2, 1).reshape(len(models), -1)
            gradients[:, m] += np.float32(L2) * stacked
        return gradients, losses

    def accuracy(self, model: Vector) -> float:
        """Return the accuracy on the test set."""
        images, labels = self.tests
        return float(((images @ model.reshape(-1, N_CLASSES)).argmax(axis=1) == labels).mean())


def _with_ones(images: np.ndarray, scale: float) -> np.ndarray:
    """Return the images as rows, float32 in 0..1, with an additional pixel that is 1."""
    rows = np.ones((len(images), images[0].size + 1), np.float32)
    np.divide(images.reshape(len(images), -1), np.float32(scale), out=rows[:, :-1])
    return rows


def smallest_loss(problem: Problem, model: Vector, n_steps: int = 500) -> float:
    """Continue from GD's last model with Nesterov's momentum and the same step length; return the loss."""
    step = STEP * N_WORKERS
    momentum = np.float32((1 - math.sqrt(L2 * step)) / (1 + math.sqrt(L2 * step)))
    before, ahead, smallest = model, model, math.inf
    for _ in range(n_steps):
        gradients, losses = problem.gradients([ahead])
        smallest = min(smallest, float(losses.mean()))
        after = ahead - np.float32(step) * gradients[0].mean(axis=0)
        before, ahead = after, after + momentum * (after - before)
    return smallest
