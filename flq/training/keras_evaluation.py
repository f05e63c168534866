"""Computes mean cross-entropy and accuracy of a Keras model over labelled images."""

from typing import Any

import numpy as np

from .keras_models import cross_entropy, scaled
from .keras_outputs import logits_of
from .keras_setup import import_tensorflow
from .task import Metrics

BATCH = 500  # samples at a time; fixed, since it affects the rounding


def mean_metrics(sums: Any, x: np.ndarray, y: np.ndarray) -> Metrics:
    """Return loss and accuracy over all samples.

    Parameters
    ----------
    sums : callable
        As :func:`sums_function` returns it.
    x : ndarray of shape (n, height, width, channels), uint8 or float32
    y : ndarray of shape (n,), int64
    """
    loss, n_correct = 0.0, 0
    for start in range(0, len(y), BATCH):
        part = slice(start, start + BATCH)
        loss_sum, correct_sum = sums(x[part], y[part])
        loss += float(loss_sum)
        n_correct += int(correct_sum)
    return {"loss": loss / len(y), "accuracy": n_correct / len(y)}


def sums_function(model: Any, x: np.ndarray, scale: float, n_classes: int) -> Any:
    """Return the TensorFlow function (images, labels) -> (sum of losses, number of correct answers).

    Parameters
    ----------
    model : tf.keras.Model
        Evaluated with the values that its variables have at the time.
    x : ndarray
        Some images, for their shape and type.
    scale : float
        The pixel value that means 1.
    """
    tf = import_tensorflow()
    images_spec = tf.TensorSpec([None] + list(x.shape[1:]), x.dtype)

    @tf.function(input_signature=[images_spec, tf.TensorSpec([None], tf.int64)])
    def sums(images: Any, labels: Any) -> Any:
        logits = logits_of(model(scaled(images, scale), training=False), n_classes)
        losses = tf.cast(cross_entropy(logits, labels, n_classes), tf.float64)
        correct = tf.equal(tf.argmax(logits, axis=1), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.int32))

    return sums
