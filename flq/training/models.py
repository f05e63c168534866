"""The built-in models as numpy sees them: names and shapes of their parameters.

The master knows a model by its layout and never builds it; the Keras side is in
``keras_models`` and a test holds the two together. Order and shapes are those of Keras'
``model.get_weights()``.

Example
-------
>>> mlp_layout({}, (28, 28, 1), 10).n_params
159010
"""

from typing import Any, Callable, Dict, Tuple

from ..core.params import Layout, Tensor
from ..errors import DataError
from .datasets import Shape, dataset_source

MLP_UNITS = 200
CNN_KERNEL = 5          # pixels; side of both convolutions' windows
CNN_FILTERS = (16, 32)
CNN_UNITS = 128
QUADRATIC_TENSORS = 4


def model_layout(settings: Dict[str, Any]) -> Layout:
    """Return the parameter layout of ``model.name`` on ``dataset.name``; no TensorFlow.

    Raises
    ------
    DataError
        If the model or the data set is unknown, or ``model.dim`` is too small.
    """
    name, source = settings["model"]["name"], dataset_source(settings)
    if name not in MODELS:
        raise DataError("model.name must be one of %s, got %r" % (", ".join(sorted(MODELS)), name))
    return MODELS[name](settings, source.input_shape, source.n_classes)


def mlp_layout(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Layout:
    """Return the layout of flatten - dense 200 ReLU - dense classes."""
    height, width, channels = input_shape
    return Layout(_dense("dense_1", height * width * channels, MLP_UNITS)
                  + _dense("dense_2", MLP_UNITS, n_classes))


def cnn_small_layout(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Layout:
    """Return the layout of two (conv 5x5 ReLU - max-pool 2) stages - dense 128 ReLU - dense classes."""
    height, width, channels = input_shape
    lost = CNN_KERNEL - 1 if cnn_padding(input_shape) == "valid" else 0
    tensors: Tuple[Tensor, ...] = ()
    for stage, filters in enumerate(CNN_FILTERS, start=1):
        tensors += (Tensor("conv_%d/kernel" % stage, (CNN_KERNEL, CNN_KERNEL, channels, filters)),
                    Tensor("conv_%d/bias" % stage, (filters,)))
        height, width, channels = (height - lost) // 2, (width - lost) // 2, filters
    return Layout(tensors + _dense("dense_1", height * width * channels, CNN_UNITS)
                  + _dense("dense_2", CNN_UNITS, n_classes))


def cnn_padding(input_shape: Shape) -> str:
    """Return the padding of cnn_small: "valid", or "same" for images too small to lose a border twice."""
    return "valid" if min(input_shape[:2]) >= 16 else "same"


def quadratic_layout(settings: Dict[str, Any], input_shape: Shape, n_classes: int) -> Layout:
    """Return ``model.dim`` parameters in four vectors whose sizes differ by one at most.

    Raises
    ------
    DataError
        If ``model.dim`` is less than 4.
    """
    dim = settings["model"]["dim"]
    if dim < QUADRATIC_TENSORS:
        raise DataError("model.dim must be at least %d, got %r" % (QUADRATIC_TENSORS, dim))
    size, larger = divmod(dim, QUADRATIC_TENSORS)
    return Layout(tuple(Tensor("part_%d" % (i + 1), (size + (i < larger),)) for i in range(QUADRATIC_TENSORS)))


def _dense(name: str, n_inputs: int, n_outputs: int) -> Tuple[Tensor, Tensor]:
    return (Tensor(name + "/kernel", (n_inputs, n_outputs)), Tensor(name + "/bias", (n_outputs,)))


MODELS: Dict[str, Callable[[Dict[str, Any], Shape, int], Layout]] = {
    "mlp": mlp_layout,
    "cnn_small": cnn_small_layout,
    "quadratic": quadratic_layout,
}
