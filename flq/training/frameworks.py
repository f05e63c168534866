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
    """The names of its models, and the function that makes a task."""

    models: Collection[str]
    task: Callable[[Settings], Task]


FRAMEWORKS = {
    "keras": Framework(MODELS, keras_task.KerasTask),
    "numpy": Framework(quadratic.MODELS, quadratic.QuadraticTask),
}


def make_task(settings: Settings) -> Task:
    """Return the task of ``model.name``; a user's own model is a Keras model.

    Raises
    ------
    DataError
        If there is no model of that name.
    """
    name = settings.model.name
    if is_custom(name):
        return FRAMEWORKS["keras"].task(settings)
    for framework in FRAMEWORKS.values():
        if name in framework.models:
            return framework.task(settings)
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
