"""Evaluation of a Keras model on the test set."""

import os
from contextlib import suppress
from typing import Any, Dict, Optional

from ..core.layout import Vector
from ..errors import DataError
from .datasets import Dataset, dataset_source, load_dataset
from .keras_models import build_keras_model, cross_entropy, layout_of, scaled, set_vector, vector_of
from .keras_setup import import_tensorflow, set_up_tensorflow
from .models import is_custom
from .results import Evaluation

BATCH = 500  # test samples at a time; fixed, since the size of a batch decides the rounding
FILE_ENDINGS = (".keras", ".h5")


class KerasEvaluator:
    """The test set and a model to run over it.

    With ``dataset.partition`` local the data are the workers': there is no test set here, and
    evaluations are empty.

    Attributes
    ----------
    layout : Layout
        Of the vectors that are evaluated.
    start : ndarray of shape (n_params,), float32, or None
        The values with which a user's own model was built; None for the others.
    """

    def __init__(self, settings: Dict[str, Any]) -> None:
        set_up_tensorflow(settings)
        is_local = settings["dataset"]["partition"] == "local"
        source = dataset_source(settings) if is_local else load_dataset(settings)
        self._model = build_keras_model(settings, source.input_shape, source.n_classes)
        self.layout = layout_of(self._model)
        self.start: Optional[Vector] = None
        if is_custom(settings["model"]["name"]):
            self.start = vector_of(self._model, self.layout)
        self._test = None if is_local else LabelledImages(source, self._model)

    def evaluate(self, vector: Vector) -> Evaluation:
        """Return mean cross-entropy and accuracy over the whole test set; None for both without one.

        Parameters
        ----------
        vector : ndarray of shape (n_params,), float32
        """
        if self._test is None:
            return Evaluation(loss=None, accuracy=None)
        set_vector(self._model, vector, self.layout)
        return self._test.evaluate()

    def save_keras(self, vector: Vector, path: str) -> None:
        """Write the model with these parameters as a Keras file; the old file stays until it is whole.

        Parameters
        ----------
        vector : ndarray of shape (n_params,), float32
        path : str
            Ends in ``.keras`` (a file in Keras 3's format needs TensorFlow 2.12 or newer, before
            it is HDF5 as well) or in ``.h5`` (HDF5; not for a user's model made of classes).

        Raises
        ------
        DataError
            If the path ends otherwise.
        OSError
            If the file cannot be written.
        """
        ending = os.path.splitext(path)[1]
        if ending not in FILE_ENDINGS:
            raise DataError("a Keras file must end in %s, got %r" % (" or ".join(FILE_ENDINGS), os.path.basename(path)))
        set_vector(self._model, vector, self.layout)
        partial = path + ".partial" + ending
        try:
            self._model.save(partial)
            with open(partial, "rb+") as stream:
                os.fsync(stream.fileno())  # the bytes before the name: a power cut leaves a whole file
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise


class LabelledImages:
    """Images as they are stored, and a TensorFlow function that runs a model over them in parts.

    Parameters
    ----------
    dataset : Dataset
        Of which the test part is used.
    model : tf.keras.Model
        Evaluated with the values that its variables have at the time.
    """

    def __init__(self, dataset: Dataset, model: Any) -> None:
        self._images, self._labels = dataset.x_test, dataset.y_test
        self._sums = _sums_function(model, dataset)

    def evaluate(self) -> Evaluation:
        """Return mean cross-entropy and accuracy over all images."""
        loss, n_correct = 0.0, 0
        for start in range(0, len(self._labels), BATCH):
            part = slice(start, start + BATCH)
            loss_sum, correct_sum = self._sums(self._images[part], self._labels[part])
            loss += float(loss_sum)
            n_correct += int(correct_sum)
        return Evaluation(loss / len(self._labels), n_correct / len(self._labels))


def _sums_function(model: Any, dataset: Dataset) -> Any:
    """Return the TensorFlow function (images, labels) -> (sum of losses, number of correct answers)."""
    tf = import_tensorflow()
    images_spec = tf.TensorSpec([None] + list(dataset.input_shape), dataset.x_test.dtype)

    @tf.function(input_signature=[images_spec, tf.TensorSpec([None], tf.int64)])
    def sums(images: Any, labels: Any) -> Any:
        logits = tf.cast(model(scaled(images, dataset.white), training=False), tf.float32)
        losses = tf.cast(cross_entropy(logits, labels, dataset.n_classes), tf.float64)
        correct = tf.equal(tf.argmax(logits, axis=1), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(correct, tf.int32))

    return sums
