"""Hides the differences between versions of TensorFlow, from 2.4 on, and Keras 2 and 3.

============================  =========================  =====================================
what                          older                      newer
============================  =========================  =====================================
deterministic operations      an environment variable    ``enable_op_determinism``, TensorFlow 2.8
one seed for all generators   TensorFlow's only          ``set_random_seed``, TensorFlow 2.7
name of a variable            "sequential/dense/bias:0"  "bias", Keras 3
type of a variable            a ``tf.DType``             a text, Keras 3
states of random layers       cannot be set              variables, Keras 3
============================  =========================  =====================================
"""

import os
from typing import Any, List

GENERATOR_STATE = "seed_generator_state"


def has_deterministic_gpus(tf: Any) -> bool:
    """Return whether all operations can be made deterministic, on a GPU too."""
    return hasattr(tf.config.experimental, "enable_op_determinism")


def make_deterministic(tf: Any) -> None:
    """Make TensorFlow use deterministic operations, as far as this version has them."""
    if has_deterministic_gpus(tf):
        tf.config.experimental.enable_op_determinism()
    else:
        os.environ["TF_DETERMINISTIC_OPS"] = "1"


def set_seed(tf: Any, seed: int) -> None:
    """Seed the generators that initializers use: Python's, numpy's and TensorFlow's, or TensorFlow's only."""
    if hasattr(tf.keras.utils, "set_random_seed"):
        tf.keras.utils.set_random_seed(seed % 2**32)  # a seed of numpy has 32 bits
    else:
        tf.random.set_seed(seed)


def own_name(variable: Any) -> str:
    """Return a variable's name without those of its layers."""
    return variable.name.split("/")[-1].split(":")[0]


def dtype_name(variable: Any) -> str:
    """Return a variable's type as text, such as float32."""
    dtype = variable.dtype
    return dtype if isinstance(dtype, str) else dtype.name


def generator_states(model: Any) -> List[Any]:
    """Return the generator states of dropout and other random layers; none before Keras 3."""
    return [variable for variable in model.variables if own_name(variable) == GENERATOR_STATE]


def sublayers(layer: Any) -> List[Any]:
    """Return the layers directly within a layer.

    Only models have a public list of them, which leaves out the cells and wrapped layers of other
    layers. All versions use this private method internally.
    """
    return list(layer._flatten_layers(recursive=False, include_self=False))
