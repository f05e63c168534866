"""Takes the logits of a model that ends in a softmax or a sigmoid.

The loss is computed from logits. Where the last operation of a model's graph is a softmax or a sigmoid, its input
is taken, which rounds better than the logarithm of its output. That covers an ``activation``, a layer and a call of
TensorFlow, in models of every kind. One output behind a sigmoid is that of a model for two classes.

Both training and evaluation look at their own graph, as a model may apply a softmax in inference only.
"""

from typing import Any, Optional

from .keras_setup import import_tensorflow

ACTIVATIONS = ("Softmax", "Sigmoid")
SAME_VALUES = ("Identity", "Cast")


def activation_of(outputs: Any) -> Optional[str]:
    """Return "Softmax" or "Sigmoid" if that made a tensor of a graph; otherwise None."""
    kind = _last_operation(outputs).type
    return kind if kind in ACTIVATIONS else None


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
    logits = outputs if activation_of(outputs) is None else _last_operation(outputs).inputs[0]
    logits = tf.cast(logits, tf.float32)
    if outputs.shape[-1] == 1 and n_classes == 2:  # the sigmoid of z is the second share of the softmax of (0, z)
        logits = tf.concat([tf.zeros_like(logits), logits], axis=1)
    return logits


def traced_activation(model: Any, images: Any) -> Optional[str]:
    """Return the activation at the end of a model, as :func:`activation_of`; it is traced for that."""
    tf = import_tensorflow()
    found = []

    @tf.function(input_signature=[tf.TensorSpec([None] + list(images.shape[1:]), images.dtype)])
    def forward(images: Any) -> Any:
        outputs = model(images, training=False)
        found.append(activation_of(outputs))
        return outputs

    forward.get_concrete_function()
    return found[-1]


def _last_operation(outputs: Any) -> Any:
    operation = outputs.op
    while operation.type in SAME_VALUES:
        operation = operation.inputs[0].op
    return operation
