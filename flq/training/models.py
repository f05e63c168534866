"""The built-in models, one function and one table row each.

A function defines the layers of a model once. ``layer_shapes.Shapes`` computes names and shapes of the
parameters from it, so that the master knows the layout without building the model;
``keras_models.KerasLayers`` builds the network. Both name the layers by kind and count: conv_1, conv_2,
dense_1. A user's own model, ``package.module:function``, is not in the table: only Keras knows its layout.

Example
-------
>>> layout_of_model("mlp", (28, 28, 1), 10).n_params
159010
"""

from typing import Any, Callable, Dict

from ..core.layout import Layout
from ..core.settings import Settings
from ..errors import DataError
from .datasets import Shape, dataset_source
from .layer_shapes import Shapes

MLP_UNITS = 200
CNN_FILTERS = (32, 64)  # of the two convolutions of each stage
CNN_SMALL_FILTERS = (16, 32)
CNN_UNITS = 128  # of both cnns
CNN_MIN_SIDE = 4  # pixels; both halve the image twice
RESNET_STEM = 16  # filters of the convolution before the blocks
RESNET_FILTERS = (16, 32, 64)  # of each stage
RESNET_BLOCKS = 3  # per stage; 20 layers with weights = 2 * 3 * 3 + the first convolution + the dense layer


def is_custom(name: str) -> bool:
    """Return whether a model's name is that of a user's function, ``package.module:function``."""
    return ":" in name


def model_layout(settings: Settings) -> Layout:
    """Return the parameter layout of a built-in ``model.name`` on ``dataset.name``, without TensorFlow.

    Raises
    ------
    DataError
        If the data set is unknown, or the model does not fit it.
    """
    source = dataset_source(settings)
    return layout_of_model(settings.model.name, source.input_shape, source.n_classes)


def layout_of_model(name: str, input_shape: Shape, n_classes: int) -> Layout:
    """Return the parameter layout of a built-in model.

    Raises
    ------
    DataError
        If the images are too small for it.
    """
    layers = Shapes()
    MODELS[name](layers, tuple(input_shape), n_classes)
    return layers.layout()


def logreg(layers: Any, x: Any, n_classes: int) -> Any:
    """Multinomial logistic regression: flatten - dense n_classes."""
    return layers.dense(layers.flatten(x), n_classes)


def mlp(layers: Any, x: Any, n_classes: int) -> Any:
    """Multilayer perceptron: flatten - dense 200 ReLU - dense n_classes."""
    x = layers.dense(layers.flatten(x), MLP_UNITS, "relu")
    return layers.dense(x, n_classes)


def cnn(layers: Any, x: Any, n_classes: int) -> Any:
    """Convolutional network of two stages with 32 and 64 filters.

    Two (conv 3x3 ReLU - conv 3x3 ReLU - max-pool 2) with padding "same" - dense 128 ReLU - dense
    n_classes.
    """
    _require_sides("cnn", layers.shape(x))
    for filters in CNN_FILTERS:
        x = layers.conv(x, filters, 3, activation="relu")
        x = layers.conv(x, filters, 3, activation="relu")
        x = layers.max_pool(x, 2)
    x = layers.dense(layers.flatten(x), CNN_UNITS, "relu")
    return layers.dense(x, n_classes)


def cnn_small(layers: Any, x: Any, n_classes: int) -> Any:
    """Small convolutional network of two stages with 16 and 32 filters.

    Two (conv 5x5 ReLU - max-pool 2) - dense 128 ReLU - dense n_classes. Padding is "valid", and
    "same" for images with fewer than 16 pixels on a side.
    """
    shape = _require_sides("cnn_small", layers.shape(x))
    padding = "valid" if min(shape[:2]) >= 16 else "same"
    for filters in CNN_SMALL_FILTERS:
        x = layers.conv(x, filters, 5, padding=padding, activation="relu")
        x = layers.max_pool(x, 2)
    x = layers.dense(layers.flatten(x), CNN_UNITS, "relu")
    return layers.dense(x, n_classes)


def resnet20(layers: Any, x: Any, n_classes: int) -> Any:
    """ResNet with 20 layers for small images.

    Convolution - 9 blocks of (conv - norm - ReLU - conv - norm, plus the shortcut, ReLU) - mean
    over the image - dense n_classes. Shortcuts are of option A, without parameters: where the
    image is halved they take every other pixel and pad the new channels with zeros. Convolutions
    have no bias, since the batch normalization after each has one.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2.
    """

    def conv_norm(x: Any, filters: int, stride: int = 1) -> Any:
        return layers.norm(layers.conv(x, filters, 3, stride, use_bias=False))

    x = layers.relu(conv_norm(x, RESNET_STEM))
    for stage, filters in enumerate(RESNET_FILTERS):
        for block in range(RESNET_BLOCKS):
            stride = 2 if stage and not block else 1
            inner = layers.relu(conv_norm(x, filters, stride))
            inner = conv_norm(inner, filters)
            x = layers.relu(layers.add(inner, layers.pad_channels(layers.subsample(x, stride), filters)))
    return layers.dense(layers.global_mean(x), n_classes)


def _require_sides(name: str, shape: Shape) -> Shape:
    if min(shape[:2]) < CNN_MIN_SIDE:
        is_row = tuple(shape[1:]) == (1, 1)  # as CSV files have them
        got = "rows of %d features" % shape[0] if is_row else "%d x %d" % tuple(shape[:2])
        raise DataError(
            "model %s needs images of at least %d x %d pixels, got %s" % (name, CNN_MIN_SIDE, CNN_MIN_SIDE, got),
            hint="set model.name to mlp or logreg, which take any shape",
        )
    return shape


MODELS: Dict[str, Callable[[Any, Any, int], Any]] = {
    "logreg": logreg,
    "mlp": mlp,
    "cnn": cnn,
    "cnn_small": cnn_small,
    "resnet20": resnet20,
}
