"""The built-in models as Keras builds them (TensorFlow 2.4 and newer, Keras 2 and 3).

They return logits, without softmax. Kernels begin at zero: a model's values always come from
a parameter vector, never from Keras' own initializers. The order and names of variables are
those of ``models``.
"""

from typing import Any, Callable, Dict

import numpy as np

from ..errors import DataError
from . import models
from .custom_model import build_custom_model
from .datasets import Shape
from .keras_setup import import_tensorflow
from .keras_weights import layout_of, set_vector, vector_of, weights_of

__all__ = ["build_keras_model", "cross_entropy", "layout_of", "scaled", "set_vector", "vector_of", "weights_of"]

NORM_MOMENTUM, NORM_EPSILON = 0.9, 1e-5  # of resnet20's batch normalisation, as He et al. 2016 had them


def build_keras_model(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Any:
    """Build the Keras model that ``model.name`` names.

    Returns
    -------
    tf.keras.Model
        From float32 images (batch, height, width, channels) to logits (batch, n_classes).

    Raises
    ------
    DataError
        If there is no Keras model of that name, a user's model can not be used, or there is
        no TensorFlow.
    """
    keras = import_tensorflow().keras
    name = settings["model"]["name"]
    if models.is_custom(name):
        return build_custom_model(settings, input_shape, n_classes)
    if name not in KERAS_MODELS:
        raise DataError(
            "model.name must be one of %s to be built with Keras, got %r" % (", ".join(sorted(KERAS_MODELS)), name)
        )
    inputs = keras.Input(shape=tuple(input_shape))
    return keras.Model(inputs, KERAS_MODELS[name](keras.layers, inputs, n_classes), name=name)


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


def scaled(images: Any, white: float) -> Any:
    """Return what the model gets for images: float32(images) / float32(white), as a TensorFlow graph.

    Parameters
    ----------
    images : tf.Tensor of shape (batch, height, width, channels), uint8 or float32
    white : float
        The pixel value that means 1.
    """
    return import_tensorflow().cast(images, "float32") / np.float32(white)


def _logreg(layers: Any, x: Any, n_classes: int) -> Any:
    return _dense(layers, layers.Flatten()(x), n_classes, "dense_1")


def _mlp(layers: Any, x: Any, n_classes: int) -> Any:
    x = _dense(layers, layers.Flatten()(x), models.MLP_UNITS, "dense_1", activation="relu")
    return _dense(layers, x, n_classes, "dense_2")


def _cnn(layers: Any, x: Any, n_classes: int) -> Any:
    for stage, filters in enumerate(models.CNN_FILTERS):
        for i in (1, 2):
            x = _conv(layers, x, filters, models.CNN_KERNEL, "conv_%d" % (2 * stage + i), activation="relu")
        x = layers.MaxPooling2D(2)(x)
    x = _dense(layers, layers.Flatten()(x), models.CNN_UNITS, "dense_1", activation="relu")
    return _dense(layers, x, n_classes, "dense_2")


def _cnn_small(layers: Any, x: Any, n_classes: int) -> Any:
    padding = models.cnn_small_padding(x.shape[1:])
    for stage, filters in enumerate(models.CNN_SMALL_FILTERS, start=1):
        x = _conv(layers, x, filters, models.CNN_SMALL_KERNEL, "conv_%d" % stage, padding=padding, activation="relu")
        x = layers.MaxPooling2D(2)(x)
    x = _dense(layers, layers.Flatten()(x), models.CNN_UNITS, "dense_1", activation="relu")
    return _dense(layers, x, n_classes, "dense_2")


def _resnet20(layers: Any, x: Any, n_classes: int) -> Any:
    def conv_norm(x: Any, filters: int, stride: int, i: int) -> Any:
        x = _conv(layers, x, filters, models.RESNET_KERNEL, "conv_%d" % i, strides=stride, use_bias=False)
        return layers.BatchNormalization(momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON, name="norm_%d" % i)(x)

    x = layers.ReLU()(conv_norm(x, models.RESNET_STEM, 1, 1))
    for number, block in enumerate(models.RESNET_PLAN, start=1):
        inner = layers.ReLU()(conv_norm(x, block.filters, block.stride, 2 * number))
        inner = conv_norm(inner, block.filters, 1, 2 * number + 1)
        x = layers.ReLU()(layers.Add()([inner, _shortcut(layers, x, block)]))
    return _dense(layers, layers.GlobalAveragePooling2D()(x), n_classes, "dense_1")


def _shortcut(layers: Any, x: Any, block: models.Block) -> Any:
    """Take every ``stride``-th pixel and fill up with channels of zeros, by layers that any Keras file can hold."""
    if block.stride > 1:
        x = layers.MaxPooling2D(1, strides=block.stride)(x)
    n_new = block.filters - x.shape[-1]
    if n_new:
        # As if (height, width, channels) were (channels, height, width): pads nothing but the last axis.
        x = layers.ZeroPadding2D(((0, 0), (0, n_new)), data_format="channels_first")(x)
    return x


def _conv(layers: Any, x: Any, filters: int, kernel: int, name: str, padding: str = "same", **options: Any) -> Any:
    return layers.Conv2D(filters, kernel, padding=padding, kernel_initializer="zeros", name=name, **options)(x)


def _dense(layers: Any, x: Any, units: int, name: str, **options: Any) -> Any:
    return layers.Dense(units, kernel_initializer="zeros", name=name, **options)(x)


KERAS_MODELS: Dict[str, Callable[[Any, Any, int], Any]] = {
    "logreg": _logreg,
    "mlp": _mlp,
    "cnn": _cnn,
    "cnn_small": _cnn_small,
    "resnet20": _resnet20,
}
