"""Evaluation of a Keras model on the test set."""

import os
from typing import Any, Dict

from ..core.params import Vector, unflatten
from .datasets import load_dataset
from .keras_models import build_keras_model, cross_entropy
from .keras_setup import import_tensorflow, set_up_tensorflow
from .models import model_layout
from .results import Evaluation

BATCH = 500  # test samples at a time; fixed, since the size of a batch decides the rounding


class KerasEvaluator:
    """The test set and a model to run over it.

    Attributes
    ----------
    layout : Layout
        Of the vectors that are evaluated.
    """

    def __init__(self, settings: Dict[str, Any]) -> None:
        set_up_tensorflow(settings)
        dataset = load_dataset(settings)
        self.layout = model_layout(settings)
        self._images, self._labels = dataset.x_test, dataset.y_test
        self._model = build_keras_model(settings, dataset.input_shape, dataset.n_classes)
        self._sums = _sums_function(self._model, dataset.n_classes)

    def evaluate(self, vector: Vector) -> Evaluation:
        """Return mean cross-entropy and accuracy over the whole test set.

        Parameters
        ----------
        vector : ndarray of shape (n_params,), float32
        """
        self._model.set_weights(unflatten(vector, self.layout))
        loss, n_correct = 0.0, 0
        for start in range(0, len(self._labels), BATCH):
            part = slice(start, start + BATCH)
            loss_sum, correct_sum = self._sums(self._images[part], self._labels[part])
            loss += float(loss_sum)
            n_correct += int(correct_sum)
        return Evaluation(loss / len(self._labels), n_correct / len(self._labels))

    def save_keras(self, vector: Vector, path: str) -> None:
        """Write the model with these parameters as a Keras file; the old file stays until it is whole.

        Parameters
        ----------
        vector : ndarray of shape (n_params,), float32
        path : str
            Ends in ``.keras`` (needs TensorFlow 2.12 or newer).

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        self._model.set_weights(unflatten(vector, self.layout))
        partial = path + ".partial.keras"
        self._model.save(partial)
        with open(partial, "rb+") as stream:
            os.fsync(stream.fileno())  # the bytes before the name: a power cut leaves a whole file
        os.replace(partial, path)


def _sums_function(model: Any, n_classes: int) -> Any:
    """Return the TensorFlow function (images, labels) -> (sum of losses, number of correct answers)."""
    tf = import_tensorflow()
    shape = [None] + list(model.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32), tf.TensorSpec([None], tf.int64)])
    def sums(images: Any, labels: Any) -> Any:
        logits = model(images, training=False)
        losses = tf.cast(cross_entropy(logits, labels, n_classes), tf.float64)
        correct = tf.equal(tf.argmax(logits, axis=1), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.int32))

    return sums
