"""Takes the logits of a model that ends in a softmax or a sigmoid.

The loss is computed from logits. Where a model's graph ends in a softmax or a sigmoid, its input is taken, which
rounds better than the logarithm of its output. That covers an ``activation``, a layer and a call of TensorFlow, in
models of every kind; a reshape may follow. One output behind a sigmoid is that of a model for two classes.

Both training and evaluation look at their own graph, as a model may apply a softmax in inference only.
"""

from typing import Any, List, Optional, Tuple

from .keras_setup import import_tensorflow

ACTIVATIONS = ("Softmax", "Sigmoid")
RESHAPING = ("Reshape", "Squeeze", "ExpandDims")
SAME_VALUES = ("Identity", "Cast") + RESHAPING
# Operations as of Dropout, a clip or a mean, that make other numbers of probabilities, but no logits.
CHANGING = ("Mul", "RealDiv", "AddV2", "Add", "AddN", "Sub", "Maximum", "Minimum", "ClipByValue", "Select", "SelectV2")
CONSTANT = ("Const", "Fill", "ZerosLike")


def activation_of(outputs: Any) -> Optional[str]:
    """Return "Softmax" or "Sigmoid" if that made a tensor of a graph; otherwise None."""
    operation, _ = _last_operation(outputs)
    return operation.type if _is_activation(operation, outputs) else None


def logits_of(outputs: Any, n_classes: int) -> Any:
    """Return the logits behind the outputs of a model within a TensorFlow function.

    Parameters
    ----------
    outputs : tf.Tensor of shape (n, n_classes), or (n, 1) behind a sigmoid

    Returns
    -------
    tf.Tensor of shape (n, n_classes), float32
    """
    tf = import_tensorflow()
    operation, is_reshaped = _last_operation(outputs)
    logits = outputs
    if _is_activation(operation, outputs):
        logits = operation.inputs[0]
        if is_reshaped:
            logits = tf.ensure_shape(tf.reshape(logits, tf.shape(outputs)), outputs.shape)
    logits = tf.cast(logits, tf.float32)
    if outputs.shape[-1] == 1 and n_classes == 2:  # the sigmoid of z is the second share of the softmax of (0, z)
        logits = tf.concat([tf.zeros_like(logits), logits], axis=1)
    return logits


def changed_activation(outputs: Any) -> Optional[str]:
    """Return the activation whose values, and no others, later operations change; otherwise None."""
    found: List[str] = []
    waiting, seen = [outputs], set()
    while waiting:
        tensor = waiting.pop()
        operation = tensor.op
        if tensor.dtype.is_bool or operation.type in CONSTANT or "Random" in operation.type:
            continue  # the mask or the noise of a random layer
        if operation.type in ACTIVATIONS:
            found.append(operation.type)
        elif operation.type not in SAME_VALUES + CHANGING:
            return None
        elif operation.name not in seen:
            seen.add(operation.name)
            waiting += list(operation.inputs)[: 1 if operation.type in SAME_VALUES else None]
    return found[0] if found else None


def traced_outputs(model: Any, images: Any, training: bool) -> Any:
    """Return the outputs of a model as a tensor of a graph for any number of images."""
    tf = import_tensorflow()
    found = []

    @tf.function(input_signature=[tf.TensorSpec([None] + list(images.shape[1:]), images.dtype)])
    def forward(images: Any) -> Any:
        outputs = model(images, training=training)
        found.append(outputs)
        return outputs

    forward.get_concrete_function()
    return found[-1]


def _is_activation(operation: Any, outputs: Any) -> bool:
    """Return whether an operation makes probabilities of classes, which ``outputs`` hold, perhaps reshaped."""
    if operation.type == "Softmax":  # over the classes: a reshape may have mixed them with another axis
        return operation.inputs[0].shape[-1] == outputs.shape[-1]
    return operation.type in ACTIVATIONS


def _last_operation(outputs: Any) -> Tuple[Any, bool]:
    """Return the last operation that computes values, and whether a reshape follows it."""
    operation, is_reshaped = outputs.op, False
    while operation.type in SAME_VALUES:
        is_reshaped = is_reshaped or operation.type in RESHAPING
        operation = operation.inputs[0].op
    return operation, is_reshaped
