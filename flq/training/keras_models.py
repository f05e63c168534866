"""Builds the built-in models in Keras (TensorFlow 2.4 and newer, Keras 2 and 3).

They return logits, without softmax. Kernels are initialized with zeros: a model's values always
come from a parameter vector, never from Keras' initializers. ``models`` defines the layers.
"""

from typing import Any

import numpy as np

from ..core.settings import Settings
from ..errors import DataError
from .custom_model import build_custom_model
from .datasets import Shape
from .keras_setup import import_tensorflow
from .layer_shapes import Names
from .models import MODELS, is_custom

NORM_MOMENTUM, NORM_EPSILON = 0.9, 1e-5  # of resnet20's batch normalization, as in He et al. 2016


def build_keras_model(settings: Settings, input_shape: Shape, n_classes: int) -> Any:
    """Build the Keras model that ``model.name`` names.

    Returns
    -------
    tf.keras.Model
        From float32 images (batch, height, width, channels) to logits (batch, n_classes).

    Raises
    ------
    DataError
        If there is no Keras model of that name, a user's model cannot be used, or TensorFlow is
        missing.
    """
    keras = import_tensorflow().keras
    name = settings.model.name
    if is_custom(name):
        return build_custom_model(settings, input_shape, n_classes)
    if name not in MODELS:
        raise DataError(
            "model.name must be one of %s to be built with Keras, got %r" % (", ".join(sorted(MODELS)), name)
        )
    inputs = keras.Input(shape=tuple(input_shape))
    return keras.Model(inputs, MODELS[name](KerasLayers(keras.layers), inputs, n_classes), name=name)


def cross_entropy(logits: Any, labels: Any, n_classes: int) -> Any:
    """Return the softmax cross-entropy of each sample.

    It is composed of elementwise operations and row sums, because the fused operation has no
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


def scaled(images: Any, scale: float) -> Any:
    """Return the model's input for images: float32(images) / float32(scale).

    Parameters
    ----------
    images : tf.Tensor of shape (batch, height, width, channels), uint8 or float32
    scale : float
        The pixel value that means 1.
    """
    return import_tensorflow().cast(images, "float32") / np.float32(scale)


class KerasLayers:
    """Applies Keras layers; has the methods of :class:`layer_shapes.Shapes`."""

    def __init__(self, layers: Any) -> None:
        self._layers, self._names = layers, Names()

    def shape(self, x: Any) -> Shape:
        """Return the shape of one sample of ``x``."""
        return tuple(x.shape[1:])

    def flatten(self, x: Any) -> Any:
        """Flatten each sample."""
        return self._layers.Flatten()(x)

    def dense(self, x: Any, units: int, activation: str = "linear") -> Any:
        """Apply a dense layer."""
        name = self._names.next("dense")
        return self._layers.Dense(units, activation=activation, kernel_initializer="zeros", name=name)(x)

    def conv(self, x: Any, filters: int, kernel: int, stride: int = 1, padding: str = "same", **options: Any) -> Any:
        """Apply a convolution."""
        name = self._names.next("conv")
        layer = self._layers.Conv2D(
            filters, kernel, strides=stride, padding=padding, kernel_initializer="zeros", name=name, **options
        )
        return layer(x)

    def norm(self, x: Any) -> Any:
        """Apply a batch normalization."""
        name = self._names.next("norm")
        return self._layers.BatchNormalization(momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON, name=name)(x)

    def max_pool(self, x: Any, size: int) -> Any:
        """Apply max-pooling; an incomplete square at the border is dropped."""
        return self._layers.MaxPooling2D(size)(x)

    def subsample(self, x: Any, stride: int) -> Any:
        """Take every ``stride``-th pixel, with a layer that Keras files can hold."""
        return x if stride == 1 else self._layers.MaxPooling2D(1, strides=stride)(x)

    def pad_channels(self, x: Any, n_channels: int) -> Any:
        """Pad with channels of zeros, with a layer that Keras files can hold."""
        n_new = n_channels - x.shape[-1]
        if not n_new:
            return x
        # With (height, width, channels) taken as (channels, height, width), this pads the last axis only.
        return self._layers.ZeroPadding2D(((0, 0), (0, n_new)), data_format="channels_first")(x)

    def relu(self, x: Any) -> Any:
        """Apply a ReLU."""
        return self._layers.ReLU()(x)

    def add(self, x: Any, y: Any) -> Any:
        """Add two tensors of the same shape."""
        return self._layers.Add()([x, y])

    def global_mean(self, x: Any) -> Any:
        """Average over the image."""
        return self._layers.GlobalAveragePooling2D()(x)
