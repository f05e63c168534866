"""The frameworks, one table row each; makes the task of a model.

Example
-------
>>> import numpy as np
>>> from flq.core.settings import ModelSettings
>>> task = make_task(Settings(model=ModelSettings(name="quadratic", dim=8)))
>>> task.layout.n_params
8
>>> sorted(task.evaluate(task.start()))
['loss']
"""

from typing import Callable, Collection, List, NamedTuple

from ..core.settings import Settings
from ..errors import DataError
from . import keras_task, quadratic
from .models import MODELS, is_custom
from .task import Task, Trainer


class Framework(NamedTuple):
    """The names of its models, the function that makes a task, and the ending of the files that it exports, if any."""

    models: Collection[str]
    task: Callable[[Settings], Task]
    file_ending: str = ""


FRAMEWORKS = {
    "keras": Framework(MODELS, keras_task.KerasTask, ".keras"),
    "numpy": Framework(quadratic.MODELS, quadratic.QuadraticTask),
}


def make_task(settings: Settings) -> Task:
    """Return the task of ``model.name``.

    Raises
    ------
    DataError
        If there is no model of that name.
    """
    return framework_of(settings.model.name).task(settings)


def framework_of(name: str) -> Framework:
    """Return the framework of a model; a user's own model is a Keras model.

    Raises
    ------
    DataError
        If there is no model of that name.
    """
    if is_custom(name):
        return FRAMEWORKS["keras"]
    for framework in FRAMEWORKS.values():
        if name in framework.models:
            return framework
    names = ", ".join(sorted(model_names()))
    raise DataError("model.name must be one of %s or package.module:function, got %r" % (names, name))


def model_names() -> List[str]:
    """Return the names of all built-in models."""
    return [name for framework in FRAMEWORKS.values() for name in framework.models]


def build_trainer(settings: Settings, worker_id: int) -> Trainer:
    """Return the trainer of a worker with its own task, for a process with one worker.

    Raises
    ------
    DataError
        As :func:`make_task` and :class:`Trainer`.
    """
    return Trainer(make_task(settings), worker_id)
