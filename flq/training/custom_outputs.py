"""Checks that the outputs of a user's own model are logits, or probabilities whose logits are known."""

from typing import Any, List, Tuple

import numpy as np

from ..errors import DataError
from ..reasons import reason_of
from .datasets import Shape
from .keras_outputs import activation_of, changed_activation, traced_outputs
from .keras_setup import import_tensorflow

PROBABILITY_ERROR = 1e-2  # tolerance of a sum of probabilities; float16 has an error of 1e-3
OF_KERAS = ("train_step", "compute_loss")  # methods by which a model trains itself in fit()
FAR = 1000.0  # factor of weights with which logits leave 0..1


def two_images(input_shape: Shape) -> np.ndarray:
    """Return a ramp from 0 to 1 and its negative, float32 of shape (2,) + input_shape."""
    ramp = np.linspace(0.0, 1.0, int(np.prod(input_shape)), dtype=np.float32).reshape(input_shape)
    return np.stack([ramp, np.float32(1.0) - ramp])


def check_outputs(name: str, model: Any, images: np.ndarray, outputs: Any, n_classes: int) -> None:
    """Raise DataError if a model has other outputs than one logit or probability per class.

    Parameters
    ----------
    name : str
        Of the model.
    images : ndarray of shape (2, height, width, channels)
    outputs : tf.Tensor
        Of the model for the images, in inference.
    """
    shape = tuple(getattr(outputs, "shape", ()))
    is_binary = n_classes == 2 and shape == (2, 1)
    if shape != (2, n_classes) and not is_binary:
        raise _wrong_outputs(name, shape, n_classes)
    try:
        graphs = [traced_outputs(model, images, training) for training in (True, False)]
    except Exception as error:  # Keras does not specify what a model raises
        raise DataError(
            failed(name, "the model does not run on batches of any size", error).detail,
            hint="within a model, tf.shape(x)[0] is the size of the batch",
        ) from error
    _check_end(name, np.asarray(outputs, np.float64), graphs, is_binary)


def _check_end(name: str, values: np.ndarray, graphs: Any, is_binary: bool) -> None:
    """Reject probabilities that are not made by a softmax or sigmoid at the end.

    Parameters
    ----------
    values : ndarray of shape (2, n_outputs)
        The outputs for two images, in inference.
    graphs : list of 2 tf.Tensor
        The outputs within the graphs of training and inference.
    is_binary : bool
        Whether there is one output for two classes.
    """
    in_training, in_inference = [activation_of(graph) for graph in graphs]
    if is_binary and in_inference != "Sigmoid":
        raise _wrong_outputs(name, values.shape, 2)
    if not _are_shares(values):
        return
    changed = [changed_activation(graph) for graph in graphs if activation_of(graph) is None]
    if any(changed):
        raise DataError(
            "model %s changes its probabilities%s: no operation, such as Dropout or a clip, may follow its %s"
            % (name, "" if in_inference is None else " in training", next(filter(None, changed)).lower()),
            hint="return the logits instead, or move that operation before the last layer",
        )
    if in_inference is None and np.abs(values.sum(axis=1) - 1.0).max() < PROBABILITY_ERROR:
        raise DataError(
            "model %s gives probabilities without a softmax at its end: they are not negative and sum to 1; "
            "expected logits" % name,
            hint="return the logits instead, or the logarithm of the probabilities",
        )


def remarks_on(model: Any, input_shape: Shape) -> List[str]:
    """Return notes on what FLQ does not use of a user's model, and on outputs that hardly are logits."""
    keras, notes = import_tensorflow().keras, []
    own = [name for name in OF_KERAS if getattr(type(model), name, None) is not getattr(keras.Model, name, None)]
    if own:
        notes.append("the model's own %s is not used: FLQ minimizes the cross-entropy" % " and ".join(own))
    loss = getattr(model, "loss", None)
    if loss is not None:
        words = loss if isinstance(loss, str) else getattr(loss, "name", None) or type(loss).__name__
        notes.append(
            "compile() of the model (loss %s) is not used: FLQ minimizes the cross-entropy with model.local_optimizer"
            % words
        )
    if _is_bounded(model, two_images(input_shape)):
        notes.append(
            "all outputs of the model lie in 0..1, and no softmax or sigmoid was found at its end: FLQ takes them as "
            "logits, with which a model hardly learns"
        )
    return notes


def _is_bounded(model: Any, images: np.ndarray) -> bool:
    """Return whether outputs stay in 0..1 with weights that are far larger, and no activation explains it."""
    if not _are_shares(np.asarray(model(images, training=False), np.float64)):
        return False
    if activation_of(traced_outputs(model, images, False)) is not None:
        return False
    before = [(variable, variable.numpy()) for variable in model.trainable_variables]
    for variable, value in before:
        variable.assign(value * FAR)
    values = np.asarray(model(images, training=False), np.float64)
    for variable, value in before:
        variable.assign(value)
    return _are_shares(values) and values.max() > 0.0


def _are_shares(values: np.ndarray) -> bool:
    return bool(0.0 <= values.min() <= values.max() <= 1.0 + PROBABILITY_ERROR)


def _wrong_outputs(name: str, shape: Tuple[int, ...], n_classes: int) -> DataError:
    return DataError(
        "model %s must give one logit per class, shape (batch, %d), got %s for a batch of 2"
        % (name, n_classes, shape or "several outputs"),
        hint="for two classes it may give one output behind a sigmoid" if n_classes == 2 and shape == (2, 1) else "",
    )


def failed(name: str, what: str, error: BaseException) -> DataError:
    """Return the error of a call of the user's code."""
    return DataError("model %s: %s: %s" % (name, what, reason_of(error)))
