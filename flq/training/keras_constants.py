"""Finds out which variables of a model a forward pass in training may assign.

The others are constants: they need no place in the updates. A pass is traced, and the operations of its graph are
read. A variable that goes into anything else than a reading operation, such as a loop or a nested function, counts
as assigned.
"""

from typing import Any, FrozenSet, Sequence

from .keras_setup import import_tensorflow
from .keras_weights import untrained_of

READING = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape", "VarIsInitializedOp")


def assigned_in_training(model: Any, input_shape: Sequence[int]) -> FrozenSet[int]:
    """Return the ids of the untrained variables that training may assign.

    Parameters
    ----------
    model : tf.keras.Model
        Built.
    input_shape : sequence of int
        Of one sample.
    """
    variables = untrained_of(model)
    if not variables:
        return frozenset()  # no need to trace
    tf = import_tensorflow()

    @tf.function(input_signature=[tf.TensorSpec([None] + list(input_shape), tf.float32)])
    def forward(images: Any) -> Any:
        return model(images, training=True)

    graph = forward.get_concrete_function().graph
    within = {id(outside): inside.name for outside, inside in graph.captures}
    written = {
        tensor.name
        for operation in graph.get_operations()
        if operation.type not in READING
        for tensor in operation.inputs
        if tensor.dtype == tf.resource
    }
    return frozenset(id(variable) for variable in variables if within.get(id(_handle_of(variable))) in written)


def _handle_of(variable: Any) -> Any:
    """Return the resource of a variable; Keras 3 wraps TensorFlow's variables."""
    return variable.handle if hasattr(variable, "handle") else variable.value.handle
