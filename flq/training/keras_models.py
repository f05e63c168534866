"""The built-in models as Keras builds them (TensorFlow 2.4 and newer, Keras 2 and 3).

They return logits, without softmax. All variables begin at zero: a model's values always
come from a parameter vector, never from Keras' own initializers.
"""

from typing import Any, Callable, Dict, List

from ..errors import DataError
from .datasets import Shape
from .keras_setup import import_tensorflow
from .models import CNN_FILTERS, CNN_KERNEL, CNN_UNITS, MLP_UNITS, cnn_padding


def build_keras_model(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Any:
    """Build the Keras model that ``model.name`` names.

    Returns
    -------
    tf.keras.Model
        From float32 images (batch, height, width, channels) to logits (batch, n_classes).

    Raises
    ------
    DataError
        If there is no Keras model of that name, or no TensorFlow.
    """
    keras = import_tensorflow().keras
    name = settings["model"]["name"]
    if name not in KERAS_MODELS:
        raise DataError("model.name must be one of %s to be built with Keras, got %r"
                        % (", ".join(sorted(KERAS_MODELS)), name))
    inputs = keras.Input(shape=input_shape)
    return keras.Sequential([inputs] + KERAS_MODELS[name](keras.layers, input_shape, n_classes), name=name)


def cross_entropy(logits: Any, labels: Any, n_classes: int) -> Any:
    """Return the softmax cross-entropy of each sample as a TensorFlow graph.

    Spelled out from elementwise operations and row sums, because the fused operation has no
    deterministic GPU version in TensorFlow 2.4 to 2.6.

    Parameters
    ----------
    logits : tf.Tensor of shape (n, n_classes), float32
    labels : tf.Tensor of shape (n,), int32 or int64

    Returns
    -------
    tf.Tensor of shape (n,), float32
    """
    tf = import_tensorflow()
    return -tf.reduce_sum(tf.one_hot(labels, n_classes) * tf.nn.log_softmax(logits), axis=1)


def _mlp(layers: Any, input_shape: Shape, n_classes: int) -> List[Any]:
    return [layers.Flatten()] + _head(layers, MLP_UNITS, n_classes)


def _cnn_small(layers: Any, input_shape: Shape, n_classes: int) -> List[Any]:
    stack: List[Any] = []
    for stage, filters in enumerate(CNN_FILTERS, start=1):
        stack += [layers.Conv2D(filters, CNN_KERNEL, padding=cnn_padding(input_shape), activation="relu",
                                kernel_initializer="zeros", name="conv_%d" % stage),
                  layers.MaxPooling2D(2)]
    return stack + [layers.Flatten()] + _head(layers, CNN_UNITS, n_classes)


def _head(layers: Any, units: int, n_classes: int) -> List[Any]:
    return [layers.Dense(units, activation="relu", kernel_initializer="zeros", name="dense_1"),
            layers.Dense(n_classes, kernel_initializer="zeros", name="dense_2")]


KERAS_MODELS: Dict[str, Callable[[Any, Shape, int], List[Any]]] = {
    "mlp": _mlp,
    "cnn_small": _cnn_small,
}
