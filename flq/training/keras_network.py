"""A Keras model and its traced functions: one for all workers of a task."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..core.layout import Vector
from ..core.settings import Settings
from .custom_outputs import remarks_on
from .datasets import Source
from .keras_config import compute_policy
from .keras_constants import assigned_in_training
from .keras_evaluation import mean_metrics, sums_function
from .keras_models import build_keras_model
from .keras_setup import Device, import_tensorflow
from .keras_steps import Gradient, gradient_function, round_function
from .keras_weights import counters_of, layout_of, set_vector, vector_of, weights_of
from .models import is_custom
from .task import Metrics


class Network:
    """A model, the layout of its vector, and the functions that train and evaluate it.

    A function is traced when it is first needed, once per batch size and prior. The samples of all shares of
    a task have the same shape, type and scale.

    Parameters
    ----------
    settings : Settings
    source : Source
        Shape of a sample, and number of classes.
    device : Device
    mixed : bool
        Whether the model computes in float16.

    Attributes
    ----------
    model : tf.keras.Model
    layout : Layout
    start : ndarray of shape (n_params,), float32
        The initial values of a user's own model; empty for the others.
    n_classes : int
    remarks : list of str
        Notes on a user's own model.
    """

    def __init__(self, settings: Settings, source: Source, device: Device, mixed: bool) -> None:
        is_own = is_custom(settings.model.name)
        with compute_policy(import_tensorflow().keras, mixed, is_own):
            self.model = build_keras_model(settings, source.input_shape, source.n_classes)
        # Training a built-in model assigns all that is not trained.
        self._assigned = assigned_in_training(self.model, source.input_shape) if is_own else None
        self.layout, self.n_classes = layout_of(self.model, self._assigned), source.n_classes
        self.start: Vector = self.vector() if is_own else np.zeros(0, np.float32)
        self.remarks = remarks_on(self.model, source.input_shape) if is_own else []
        self._settings = settings
        # Without a GPU prefetching gains little. With one thread a pipeline took 14 ms to start in each
        # round, while 11 steps of mlp on the digits take 3 ms in total.
        jetson = settings.jetson_optimization
        self._ahead = jetson.prefetch_size if device.n_gpus else 0, jetson.num_parallel_calls
        trained = weights_of(self.model)[: len(self.layout.trained.tensors)]
        self._gradient = Gradient(self.model, trained, source.n_classes, settings, mixed)
        self._functions: Dict[Tuple[int, bytes], Any] = {}
        self._sums: Optional[Any] = None

    def function(self, images: Any, batch_size: int, prior: Optional[np.ndarray]) -> Any:
        """Return the function for batches of this size: a round's steps, or one gradient, depending on ``update``."""
        key = _key(batch_size, prior)
        if key not in self._functions:
            self._functions[key] = (
                round_function(self._gradient, images, batch_size, prior, self._settings, *self._ahead)
                if self._settings.flq_algorithm.update == "delta"
                else gradient_function(self._gradient, images, batch_size, prior)
            )
        return self._functions[key]

    def forget(self, batch_size: int, prior: Optional[np.ndarray]) -> None:
        """Free a function's memory; it is traced again if another worker needs it."""
        self._functions.pop(_key(batch_size, prior), None)

    def unused(self) -> List[str]:
        """Return the names of the trained tensors on which the loss does not depend; none before the first training."""
        return [self.layout.tensors[i].name for i in self._gradient.unused]

    @property
    def activation(self) -> Optional[str]:
        """The softmax or sigmoid at the end of the model; None before the first training."""
        return self._gradient.activation

    def metrics(self, x: np.ndarray, y: np.ndarray, scale: float) -> Metrics:
        """Return the metrics of the model with its present values."""
        if self._sums is None:
            self._sums = sums_function(self.model, x, scale, self.n_classes)
        return mean_metrics(self._sums, x, y)

    def vector(self) -> Vector:
        """Return the values of the variables as a new vector."""
        return vector_of(self.model, self.layout, self._assigned)

    def set(self, vector: Vector, counters: Sequence[np.ndarray] = ()) -> None:
        """Set the variables to the values of a vector and of a worker's counters."""
        set_vector(self.model, vector, self.layout, self._assigned)
        for variable, value in zip(counters_of(self.model), counters):
            variable.assign(value)

    def counters(self) -> List[np.ndarray]:
        """Return the values of the model's counters."""
        return [np.array(variable.numpy()) for variable in counters_of(self.model)]


def _key(batch_size: int, prior: Optional[np.ndarray]) -> Tuple[int, bytes]:
    return batch_size, b"" if prior is None else prior.tobytes()
