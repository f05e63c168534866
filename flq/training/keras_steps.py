"""TensorFlow functions for a worker's computation in a round: local steps, or one gradient.

A function is traced once per batch size and serves all workers: a worker's samples, their order in a
round and the learning rate are tensors. (With ``model.logit_adjustment`` each worker has its own
functions.) The optimizer's state is a loop variable, so no state is carried from round to round.
"""

from typing import Any, List, Optional

import numpy as np

from ..core.settings import Settings
from .keras_batches import Samples
from .keras_models import cross_entropy
from .keras_outputs import activation_of, logits_of
from .keras_setup import import_tensorflow
from .local_optimizers import local_optimizer

LOSS_SCALE = 1024.0  # with mixed precision: lifts small gradients into float16's range


class Gradient:
    """The gradient of the training loss for a minibatch.

    The loss is the mean cross-entropy, with ``prior`` added to the logits, plus the layers' own losses
    (``model.losses``), plus l2/2 |v|^2 over all trained variables v, biases included. The gradient of the
    last term is added in float32 without a tape.

    With mixed precision a fixed loss scale of 1024 is used: an adaptive scale would be state, and a
    round could no longer be reproduced from its settings. An overflow makes the gradients
    non-finite, which encoding the update reports.

    A variable on which the loss does not depend, such as that of an unused layer or behind a
    ``stop_gradient``, has gradient zero.

    Parameters
    ----------
    model : tf.keras.Model
    variables : list of tf.Variable
        The trained variables.
    n_classes : int
    settings : Settings
    mixed : bool
        Whether the model computes in float16.

    Attributes
    ----------
    unused : list of int
        Positions of the variables on which the loss does not depend, once the gradient has been traced.
    activation : str or None
        The softmax or sigmoid at the end of the model, once the gradient has been traced.
    """

    def __init__(self, model: Any, variables: Any, n_classes: int, settings: Settings, mixed: bool) -> None:
        self.variables, self._n_classes = variables, n_classes
        self._model, self._l2 = model, settings.model.l2
        self._scale = LOSS_SCALE if mixed else 1.0
        self.unused: List[int] = []
        self.activation: Optional[str] = None

    def of(self, images: Any, labels: Any, prior: Optional[np.ndarray]) -> Any:
        """Return (loss, gradients in the variables' order) as tensors; ``prior`` as of :func:`log_prior`."""
        tf = import_tensorflow()
        with tf.GradientTape() as tape:
            outputs = self._model(images, training=True)
            logits = logits_of(outputs, self._n_classes)
            if prior is not None:
                logits += prior
            loss = tf.reduce_mean(cross_entropy(logits, labels, self._n_classes))
            if self._model.losses:
                loss += tf.add_n([tf.cast(term, tf.float32) for term in self._model.losses])
            scaled = loss * self._scale if self._scale != 1.0 else loss
        # Not with unconnected_gradients: TensorFlow cannot make zeros like a variable of Keras 3.
        self.activation = activation_of(outputs)
        gradients = tape.gradient(scaled, self.variables)
        self.unused = [i for i, gradient in enumerate(gradients) if gradient is None]
        gradients = [
            tf.zeros(variable.shape) if gradient is None else tf.convert_to_tensor(gradient)
            for variable, gradient in zip(self.variables, gradients)
        ]
        if self._scale != 1.0:
            gradients = [gradient * (1.0 / self._scale) for gradient in gradients]
        if self._l2:
            loss += 0.5 * self._l2 * sum_of_squares(self.variables)
            gradients = [gradient + self._l2 * variable for gradient, variable in zip(gradients, self.variables)]
        return loss, gradients


def log_prior(labels: np.ndarray, n_classes: int, strength: float) -> Optional[np.ndarray]:
    """Return the logit adjustment of a worker in training: strength * log of its share of each class.

    A worker with mostly shoes learns to answer "shoe" to everything, which harms the mean over workers with
    different classes. With the class shares added to its logits, the model does not need to learn them. One is
    added to each count, so that the logarithm of an absent class is finite.

    Source: Menon et al. 2021, arXiv:2007.07314, eq. (10), with the class shares of each worker instead of those of
    the whole data set, as in Zhang et al. 2022, arXiv:2209.00189.

    Parameters
    ----------
    labels : ndarray of shape (n,), int64
        Of the worker's samples.
    strength : float
        ``model.logit_adjustment``.

    Returns
    -------
    ndarray of shape (n_classes,), float32, or None
        None if ``strength`` is 0.
    """
    if not strength:
        return None
    counts = np.bincount(labels, minlength=n_classes) + 1.0
    return (strength * np.log(counts / counts.sum())).astype(np.float32)


def sum_of_squares(arrays: Any) -> Any:
    """Return the sum of squares of all elements of all tensors, float32."""
    tf = import_tensorflow()
    return tf.add_n([tf.reduce_sum(tf.square(array)) for array in arrays])


def worker_specs(images: Any) -> List[Any]:
    """Return the signature of a worker's arguments of a function: any number of images and labels, and scale."""
    tf = import_tensorflow()
    return [
        tf.TensorSpec([None] + list(images.shape[1:]), images.dtype),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([], tf.float32),
    ]


def gradient_function(gradient: Gradient, images: Any, batch_size: int, prior: Optional[np.ndarray]) -> Any:
    """Return the TensorFlow function (*worker's arguments, batch (batch_size,)) -> (loss, float64; list of gradients).

    Parameters
    ----------
    images : tf.Tensor
        Of any worker, for shape and type.
    prior : ndarray of shape (n_classes,), or None
        A constant of the function, not an argument: TensorFlow may add a constant in another order.
    """
    tf = import_tensorflow()

    @tf.function(input_signature=worker_specs(images) + [tf.TensorSpec([batch_size], tf.int32)])
    def one_gradient(images: Any, labels: Any, scale: Any, batch: Any) -> Any:
        x, y = Samples(images, labels, scale).read(batch)
        loss, gradients = gradient.of(x, y, prior)
        return tf.cast(loss, tf.float64), gradients

    return one_gradient


def round_function(
    gradient: Gradient,
    images: Any,
    batch_size: int,
    prior: Optional[np.ndarray],
    settings: Settings,
    n_ahead: int,
    n_at_a_time: int,
) -> Any:
    """Return the TensorFlow function of a round: (*worker's arguments, batches, lr) -> mean loss, float64.

    ``batches`` has shape (n_steps, batch_size). The function updates the variables with
    ``model.local_optimizer``. ``model.mu`` adds the term mu/2 |v - w|^2 to the loss, where w are the values of
    the variables before the first step.

    Source of that term: Li et al. 2020 (FedProx), arXiv:1812.06127, eq. (2).

    Parameters
    ----------
    images : tf.Tensor
        Of any worker, for shape and type.
    prior : ndarray of shape (n_classes,), or None
        A constant of the function, as in :func:`gradient_function`.
    n_ahead, n_at_a_time : int
        As for :class:`Samples`.
    """
    tf = import_tensorflow()
    optimizer, mu, variables = local_optimizer(settings.model), settings.model.mu, gradient.variables

    def step(images: Any, labels: Any, lr: Any, t: Any, start: Any, slots: Any) -> Any:
        loss, gradients = gradient.of(images, labels, prior)
        if mu:
            drifts = [variable - value for variable, value in zip(variables, start)]
            loss += 0.5 * mu * sum_of_squares(drifts)
            gradients = [of_loss + mu * drift for of_loss, drift in zip(gradients, drifts)]
        rate = tf.cast(optimizer.rate(lr, t), tf.float32)
        moved = []
        for variable, of_loss, remembered in zip(variables, gradients, slots):
            direction, remembered = optimizer.direction(of_loss, remembered, tf.sqrt)
            variable.assign_sub(rate * direction)
            moved.append(remembered)
        return tf.cast(loss, tf.float64), moved

    @tf.function(
        input_signature=worker_specs(images)
        + [tf.TensorSpec([None, batch_size], tf.int32), tf.TensorSpec([], tf.float64)]
    )
    def train(images: Any, labels: Any, scale: Any, batches: Any, lr: Any) -> Any:
        n_steps = tf.shape(batches)[0]
        batch = Samples(images, labels, scale, n_ahead, n_at_a_time).reader(batches)
        start = [tf.identity(variable) for variable in variables] if mu else []
        slots = [tuple(tf.zeros(variable.shape) for _ in range(optimizer.n_slots)) for variable in variables]

        def body(i: Any, total: Any, slots: Any) -> Any:
            x, y = batch(i)
            loss, moved = step(x, y, lr, tf.cast(i + 1, tf.float64), start, slots)
            return i + 1, total + loss, moved

        _, total, _ = tf.while_loop(
            lambda i, total, slots: i < n_steps,
            body,
            (tf.constant(0), tf.constant(0.0, tf.float64), slots),
            parallel_iterations=1,
        )
        return total / tf.cast(n_steps, tf.float64)

    return train
