"""A user's own model: ``model.name`` is ``package.module:function``.

``function(input_shape, n_classes)`` gets (height, width, channels) and the number of classes
and returns a tf.keras.Model, compiled or not, from float32 images (batch, height, width,
channels), with pixels in [0, 1], to logits (batch, n_classes). A softmax or sigmoid at its end is
recognized, see :mod:`keras_outputs`: the loss takes the logits before it. The run starts from the
values that the function returns on the master. Workers use only its architecture and the
variables of frozen layers, which are never sent. Variables of other layers that training does not
assign, such as the frozen kernels of LoRA, are sent once, in the first keyframe. Random initial
values are drawn from ``system.seed``.

Python looks for the module in the current folder, FLQ's folder and PYTHONPATH. Importing it runs
its code, so the owner of a worker has to allow it, see :func:`require_allowed`.

Example
-------
>>> parse_model_name("shop.models:tiny")
('shop.models', 'tiny')
"""

import importlib
import importlib.util
import os
import sys
import sysconfig
from typing import Any, Callable, Optional, Tuple

from ..core.settings import Settings
from ..errors import DataError
from .custom_outputs import check_outputs, failed, two_images
from .datasets import Shape
from .keras_setup import import_tensorflow
from .keras_versions import set_seed
from .keras_weights import layout_of

EXAMPLE = "package.module:function, for instance my_models:small_cnn"

ModelFunction = Callable[[Shape, int], Any]


def parse_model_name(name: str) -> Tuple[str, str]:
    """Return (module, function) of a user's model.

    Raises
    ------
    DataError
        If the name is not of that form.
    """
    module, colon, function = name.partition(":")
    if not colon or not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise DataError("a model of your own must be named as %s, got %r" % (EXAMPLE, name))
    return module, function


def require_allowed(name: str, allowed: Optional[str]) -> None:
    """Reject a user's model that this machine's owner has not allowed.

    Parameters
    ----------
    name : str
        The model that the master names.
    allowed : str or None
        The model that the owner allows on the command line.

    Raises
    ------
    DataError
        If they differ.
    """
    if name != allowed:
        raise DataError(
            "the master asks for model %s, whose code would run here; allowed is %s" % (name, allowed or "none"),
            hint="if you know this code, start the worker with --model %s" % name,
        )


def load_model_function(name: str) -> ModelFunction:
    """Import and return the function of a user's model.

    Raises
    ------
    DataError
        If the name is malformed, the module is missing, belongs to Python itself or cannot
        be imported, or has no such function.
    """
    module_name, function_name = parse_model_name(name)
    top = module_name.split(".")[0]
    if _is_of_python(top):
        raise DataError("model %s: %s belongs to Python itself, expected a module of your own" % (name, top))
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # Python itself looks in the folder of the program, not in the current one
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise failed(name, "module %s cannot be imported" % module_name, error) from error
        raise DataError(
            "model %s: there is no module %s" % (name, error.name),
            hint="start in the folder that holds it, or add that folder to PYTHONPATH",
        ) from None
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        raise failed(name, "module %s cannot be imported" % module_name, error) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise DataError("model %s: module %s has no function %s" % (name, module_name, function_name))
    return function


def build_custom_model(settings: Settings, input_shape: Shape, n_classes: int) -> Any:
    """Call the user's function; validate and return its model.

    Python, numpy and TensorFlow are seeded with ``system.seed`` before, so that random initial
    values, and random variables of frozen layers, are the same in every process with the same
    versions. (Before version 2.7 only TensorFlow is seeded.)

    Raises
    ------
    DataError
        If the function cannot be loaded or fails, or its result is not a Keras model, takes
        images of another shape, does not return one logit or probability per class (or, for two
        classes, one probability), or has nothing to train.
    """
    tf, name = import_tensorflow(), settings.model.name
    height, width, channels = input_shape
    shape, function = (height, width, channels), load_model_function(name)
    set_seed(tf, settings.system.seed)
    try:
        model = function(shape, n_classes)
    except Exception as error:  # the function is the user's
        raise failed(name, "%s(%r, %d) fails" % (parse_model_name(name)[1], shape, n_classes), error) from error
    if not isinstance(model, tf.keras.Model):
        raise DataError(
            "model %s must return a tf.keras.Model, got %s.%s" % (name, type(model).__module__, type(model).__name__)
        )
    _check_shapes(tf, name, model, shape, n_classes)
    layout_of(model)
    return model


def _check_shapes(tf: Any, name: str, model: Any, input_shape: Shape, n_classes: int) -> None:
    """Run the model on two images, which also builds a subclassed model; check its output.

    It runs in training too: a layer may create its variables then. The values are restored afterwards.
    """
    images = two_images(input_shape)
    declared = getattr(model, "input_shape", None) if model.built else None
    if isinstance(declared, tuple) and not _agree(declared[1:], input_shape):
        raise DataError("model %s takes input of shape %r, expected %r" % (name, declared[1:], input_shape))
    try:
        outputs = model(tf.constant(images), training=False)
        before = [(variable, variable.numpy()) for variable in model.variables]
        model(tf.constant(images), training=True)
        for variable, value in before:
            variable.assign(value)
    except Exception as error:  # Keras does not specify what a model raises for input of a wrong shape
        raise failed(name, "the model does not run on images of shape %r" % (input_shape,), error) from error
    check_outputs(name, model, images, outputs, n_classes)


def _agree(declared: Tuple[Optional[int], ...], shape: Shape) -> bool:
    """Return whether a declared shape, in which None is any extent, admits another."""
    return len(declared) == len(shape) and all(one is None or one == other for one, other in zip(declared, shape))


def _is_of_python(top: str) -> bool:
    """Return whether a top-level module comes with Python, without importing it."""
    if top == "__main__" or top in sys.builtin_module_names:
        return True  # the running program has no spec
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return False
    if spec.origin == "frozen":
        return True
    library = os.path.realpath(sysconfig.get_path("stdlib"))
    inside = os.path.relpath(os.path.realpath(spec.origin), library).split(os.sep)[0]
    return inside not in (os.pardir, "site-packages", "dist-packages")  # installed packages may be inside it
