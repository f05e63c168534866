"""The built-in models as numpy sees them: names and shapes of their parameters.

The master knows a model by its layout and never builds it; the Keras side is in
``keras_models`` and a test holds the two together. A layout lists what is trained, in the
order of the layers, and then the moving statistics of batch normalisation. A user's own
model, ``package.module:function``, has no layout here: only Keras knows it.

Example
-------
>>> mlp_layout({}, (28, 28, 1), 10).n_params
159010
"""

from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from ..core.layout import Layout, Tensor
from ..errors import DataError
from .datasets import Shape, dataset_source

MLP_UNITS = 200
CNN_SMALL_KERNEL = 5  # pixels; side of both convolutions' windows
CNN_SMALL_FILTERS = (16, 32)
CNN_KERNEL = 3
CNN_FILTERS = (32, 64)  # of the two convolutions of each stage
CNN_UNITS = 128  # of both cnns
CNN_MIN_SIDE = 4  # pixels; both halve the image twice
RESNET_KERNEL = 3
RESNET_BLOCKS = 3  # per stage; 20 layers with weights = 2 * 3 * 3, the first convolution and the dense layer


def is_custom(name: str) -> bool:
    """Say whether a model's name means a user's function, ``package.module:function``."""
    return ":" in name


def model_layout(settings: Dict[str, Any]) -> Layout:
    """Return the parameter layout of a built-in ``model.name`` on ``dataset.name``; no TensorFlow.

    Raises
    ------
    DataError
        If the data set is unknown, or model and data set do not go together.
    """
    source = dataset_source(settings)
    return MODELS[settings["model"]["name"]](settings, source.input_shape, source.n_classes)


def logreg_layout(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Layout:
    """Return the layout of flatten - dense classes: multinomial logistic regression."""
    height, width, channels = input_shape
    return Layout(_dense("dense_1", height * width * channels, n_classes))


def mlp_layout(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Layout:
    """Return the layout of flatten - dense 200 ReLU - dense classes."""
    height, width, channels = input_shape
    return Layout(_dense("dense_1", height * width * channels, MLP_UNITS) + _dense("dense_2", MLP_UNITS, n_classes))


def cnn_layout(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Layout:
    """Return the layout of FLQ's own CNN.

    Two stages of (conv 3x3 ReLU - conv 3x3 ReLU - max-pool 2) with 32 and 64 filters and
    padding "same" - dense 128 ReLU - dense classes.

    Raises
    ------
    DataError
        If the images have fewer than 4 pixels a side.
    """
    height, width, channels = _wide_enough("cnn", input_shape)
    tensors: Tuple[Tensor, ...] = ()
    for stage, filters in enumerate(CNN_FILTERS):
        tensors += _conv("conv_%d" % (2 * stage + 1), CNN_KERNEL, channels, filters)
        tensors += _conv("conv_%d" % (2 * stage + 2), CNN_KERNEL, filters, filters)
        height, width, channels = height // 2, width // 2, filters
    return Layout(
        tensors + _dense("dense_1", height * width * channels, CNN_UNITS) + _dense("dense_2", CNN_UNITS, n_classes)
    )


def cnn_small_layout(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Layout:
    """Return the layout of two (conv 5x5 ReLU - max-pool 2) stages - dense 128 ReLU - dense classes.

    Raises
    ------
    DataError
        If the images have fewer than 4 pixels a side.
    """
    height, width, channels = _wide_enough("cnn_small", input_shape)
    lost = CNN_SMALL_KERNEL - 1 if cnn_small_padding(input_shape) == "valid" else 0
    tensors: Tuple[Tensor, ...] = ()
    for stage, filters in enumerate(CNN_SMALL_FILTERS, start=1):
        tensors += _conv("conv_%d" % stage, CNN_SMALL_KERNEL, channels, filters)
        height, width, channels = (height - lost) // 2, (width - lost) // 2, filters
    return Layout(
        tensors + _dense("dense_1", height * width * channels, CNN_UNITS) + _dense("dense_2", CNN_UNITS, n_classes)
    )


def cnn_small_padding(input_shape: Shape) -> str:
    """Return the padding of cnn_small: "valid", or "same" for images too small to lose a border twice."""
    return "valid" if min(input_shape[:2]) >= 16 else "same"


class Block(NamedTuple):
    """One residual block of resnet20: two convolutions, the first with this stride."""

    filters: int
    stride: int


RESNET_STEM = 16  # filters of the convolution before the blocks
RESNET_PLAN: List[Block] = [
    Block(filters, 2 if first and stage else 1)
    for stage, filters in enumerate((16, 32, 64))
    for first in [True] + [False] * (RESNET_BLOCKS - 1)
]


def resnet20_layout(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Layout:
    """Return the layout of the ResNet with 20 layers for small images.

    Convolution - 9 blocks of (conv - norm - ReLU - conv - norm, plus the shortcut, ReLU) - mean
    over the image - dense classes. Shortcuts are of option A: they have no parameters; where
    the image is halved they take every other pixel and fill the new channels with zeros.
    Convolutions have no bias, since the batch normalisation after each has one.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2.
    """
    filters = [RESNET_STEM] + [block.filters for block in RESNET_PLAN for _ in range(2)]
    trained: Tuple[Tensor, ...] = ()
    statistics: Tuple[Tensor, ...] = ()
    for i, (n_inputs, n_outputs) in enumerate(zip([input_shape[2]] + filters, filters), start=1):
        trained += _conv("conv_%d" % i, RESNET_KERNEL, n_inputs, n_outputs)[:1]
        trained += tuple(Tensor("norm_%d/%s" % (i, role), (n_outputs,)) for role in ("gamma", "beta"))
        statistics += tuple(
            Tensor("norm_%d/%s" % (i, role), (n_outputs,)) for role in ("moving_mean", "moving_variance")
        )
    trained += _dense("dense_1", filters[-1], n_classes)
    return Layout(trained + statistics, len(statistics))


def _wide_enough(name: str, input_shape: Shape) -> Shape:
    if min(input_shape[:2]) < CNN_MIN_SIDE:
        raise DataError(
            "model %s needs images of at least %d x %d pixels, got %d x %d"
            % ((name, CNN_MIN_SIDE, CNN_MIN_SIDE) + tuple(input_shape[:2])),
            hint="logreg and mlp take any shape",
        )
    return input_shape


def _conv(name: str, kernel: int, n_inputs: int, n_outputs: int) -> Tuple[Tensor, Tensor]:
    return (Tensor(name + "/kernel", (kernel, kernel, n_inputs, n_outputs)), Tensor(name + "/bias", (n_outputs,)))


def _dense(name: str, n_inputs: int, n_outputs: int) -> Tuple[Tensor, Tensor]:
    return (Tensor(name + "/kernel", (n_inputs, n_outputs)), Tensor(name + "/bias", (n_outputs,)))


MODELS: Dict[str, Callable[[Dict[str, Any], Shape, int], Layout]] = {
    "logreg": logreg_layout,
    "mlp": mlp_layout,
    "cnn": cnn_layout,
    "cnn_small": cnn_small_layout,
    "resnet20": resnet20_layout,
}
