"""Converts a Keras model's variables to and from a parameter vector, for all versions of Keras.

A vector has the trained variables, in Keras' order, then the constants, then the moving statistics:

- Trained variables are those that Keras' optimizer would train.
- Float variables that are not trained, in a layer that is trained (``trainable`` is true for it and
  for all layers that contain it), are statistics if a forward pass in training assigns them, such
  as the moving mean of a batch normalization; otherwise constants, such as the frozen kernel of
  LoRA or a table.
- All other variables are in no vector: those of frozen layers, counters, states of random
  generators.
"""

import re
from typing import AbstractSet, Any, Dict, Iterator, List, Optional, Set, Tuple

import numpy as np

from ..core.layout import Layout, Tensor, Vector, flatten, unflatten
from ..errors import DataError
from .keras_versions import dtype_name, generator_states, own_name, sublayers

Assigned = Optional[AbstractSet[int]]


def weights_of(model: Any, assigned: Assigned = None) -> List[Any]:
    """Return the variables that make up the vector, in its order.

    Parameters
    ----------
    model : tf.keras.Model
        Built, so that the shapes of its variables are known.
    assigned : set of int, optional
        The ids of variables that training may assign, as of :func:`keras_constants.assigned_in_training`; None = all.
    """
    others = untrained_of(model)
    constants = [variable for variable in others if assigned is not None and id(variable) not in assigned]
    return trained_of(model) + constants + statistics_of(model, assigned)


def trained_of(model: Any) -> List[Any]:
    """Return the trained variables, in Keras' order."""
    return list(model.trainable_weights)


def statistics_of(model: Any, assigned: Assigned = None) -> List[Any]:
    """Return the variables of the moving statistics, in Keras' order."""
    return [variable for variable in untrained_of(model) if assigned is None or id(variable) in assigned]


def untrained_of(model: Any) -> List[Any]:
    """Return the float variables of trained layers that are not trained, in Keras' order."""
    in_trained_layers = {id(variable) for _, variable in _named_variables(model, only_trained=True)}
    return [
        variable
        for variable in model.non_trainable_weights
        if id(variable) in in_trained_layers and dtype_name(variable).startswith("float")
    ]


def counters_of(model: Any) -> List[Any]:
    """Return the integer variables that a user's layers may use as counters; they are in no vector."""
    states = {id(variable) for variable in generator_states(model)}
    return [
        variable
        for variable in model.non_trainable_weights
        if id(variable) not in states and not dtype_name(variable).startswith("float")
    ]


def layout_of(model: Any, assigned: Assigned = None) -> Layout:
    """Return the layout of a model's vector; ``assigned`` as for :func:`weights_of`.

    A tensor's name is made of the names of its layers and its own, joined by slashes:
    "block/dense_1/kernel". Names that Keras makes, such as "dense_7", count the layers of the
    process; here counts begin at 1 in each model or layer, so that every process has the same
    names.

    Raises
    ------
    DataError
        If nothing can be trained, or a variable is not float32.
    """
    n_trained, variables = len(trained_of(model)), weights_of(model, assigned)
    if not n_trained:
        raise DataError("the Keras model has nothing to train, expected at least one trainable variable")
    names = {id(variable): name for name, variable in _named_variables(model)}
    for variable in variables:
        if dtype_name(variable) != "float32":
            raise DataError(
                "the variables of a model must be float32, got %s for %s" % (dtype_name(variable), names[id(variable)])
            )
    n_statistics = len(statistics_of(model, assigned))
    return Layout(
        tuple(Tensor(names[id(variable)], tuple(int(extent) for extent in variable.shape)) for variable in variables),
        n_statistics,
        len(variables) - n_trained - n_statistics,
    )


def vector_of(model: Any, layout: Layout, assigned: Assigned = None) -> Vector:
    """Copy a model's variables into a new vector (n_params,), float32."""
    return flatten([np.asarray(variable.numpy()) for variable in weights_of(model, assigned)], layout)


def set_vector(model: Any, vector: Vector, layout: Layout, assigned: Assigned = None) -> None:
    """Set a model's variables to the values of a vector (n_params,), float32."""
    for variable, array in zip(weights_of(model, assigned), unflatten(vector, layout)):
        variable.assign(array)


def seed_random_layers(model: Any, bits: np.random.Philox) -> None:
    """Set the generator states of dropout and other random layers from raw integers of ``bits``.

    Keras 3 has them as variables. The generators of Keras 2 are not variables and cannot be set
    within a traced function.
    """
    for variable in generator_states(model):  # two integers of 32 bits, whatever their type
        raw = bits.random_raw(int(np.prod(variable.shape))) >> np.uint64(32)
        variable.assign(raw.astype(dtype_name(variable)).reshape(variable.shape))


def _named_variables(model: Any, only_trained: bool = False) -> Iterator[Tuple[str, Any]]:
    """Yield (unique name, variable); ``only_trained`` skips frozen layers and the layers within them."""
    names: Set[str] = set()
    seen: Set[int] = set()

    def walk(layer: Any, prefix: str) -> Iterator[Tuple[str, Any]]:
        if only_trained and not layer.trainable:
            return
        inner = [sublayer for sublayer in sublayers(layer) if sublayer.weights]
        within = {id(variable) for sublayer in inner for variable in sublayer.weights}
        for variable in layer.weights:
            if id(variable) not in within and id(variable) not in seen:
                seen.add(id(variable))
                yield _unique(prefix + own_name(variable), names), variable
        for name, sublayer in _names_of(inner, own_names=hasattr(layer, "layers")):
            for pair in walk(sublayer, prefix + name + "/"):
                yield pair

    return walk(model, "")


def _names_of(layers: List[Any], own_names: bool) -> Iterator[Tuple[str, Any]]:
    """Yield (name, layer): the name that the user gave it, otherwise its class and a count from 1.

    Keras makes the names of layers within a layer that is not a model ("forward_lstm_3"):
    ``own_names`` is false there, and no name counts as given.
    """
    counts: Dict[str, int] = {}
    for layer in layers:
        kind, base = type(layer).__name__.lower(), re.sub(r"_\d+$", "", layer.name)
        made_up = base.replace("_", "") == kind or base in ("model", "functional")
        if own_names and not made_up:
            yield layer.name, layer
        else:
            stem = base if made_up else kind
            stem = "model" if stem == "functional" else stem  # Keras 3's word for Keras 2's
            counts[stem] = counts.get(stem, 0) + 1
            yield "%s_%d" % (stem, counts[stem]), layer


def _unique(name: str, names: Set[str]) -> str:
    """Return the name, with a count if it is in ``names``, and add it there."""
    free, count = name, 1
    while free in names:
        count += 1
        free = "%s_%d" % (name, count)
    names.add(free)
    return free
