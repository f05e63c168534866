"""The seam between federated learning and what is learnt.

A trainer has ``n_samples``, ``layout`` and ``local_update(shared, round_index)``, which
returns a LocalUpdate and leaves ``shared`` as it was. An evaluator has ``layout``,
``evaluate(vector)``, which returns an Evaluation, and ``save_keras(vector, path)``.
Nothing above knows whether Keras or numpy is behind them. TensorFlow starts when a Keras
trainer or evaluator is built, not before; ``check(settings)`` says without it whether they can be.

Example
-------
>>> import numpy as np
>>> settings = {"system": {"total_workers": 2, "seed": 42},
...             "dataset": {"name": "digits"},
...             "model": {"name": "quadratic", "lr": 0.1, "l2": 0.0, "local_epochs": 1,
...                       "local_steps": 0, "dim": 8}}
>>> trainer = build_trainer(settings, worker_id=1)
>>> trainer.local_update(np.zeros(8, np.float32), round_index=1).n_steps
1
"""

from typing import Any, Callable, Dict, NamedTuple, Type, Union

from ..errors import DataError
from .datasets import load_dataset
from .keras_evaluator import KerasEvaluator
from .keras_trainer import KerasTrainer
from .partition import partition
from .quadratic import QuadraticEvaluator, QuadraticTrainer, check_problem
from .results import Evaluation, LocalUpdate

__all__ = ["Evaluation", "Evaluator", "LocalUpdate", "Trainer", "build_evaluator", "build_trainer", "check"]

Trainer = Union[KerasTrainer, QuadraticTrainer]
Evaluator = Union[KerasEvaluator, QuadraticEvaluator]


class Engine(NamedTuple):
    """The two classes that train and evaluate a kind of model, and what refuses impossible settings."""

    trainer: Type[Any]
    evaluator: Type[Any]
    check: Callable[[Dict[str, Any]], None]


def _check_shards(settings: Dict[str, Any]) -> None:
    """Deal the training samples out, to see whether there are enough."""
    partition(load_dataset(settings).y_train, settings)


KERAS = Engine(KerasTrainer, KerasEvaluator, _check_shards)

ENGINES = {
    "mlp": KERAS,
    "cnn_small": KERAS,
    "quadratic": Engine(QuadraticTrainer, QuadraticEvaluator, check_problem),
}  # one line for each of models.MODELS


def build_trainer(settings: Dict[str, Any], worker_id: int) -> Trainer:
    """Build the trainer of one worker.

    Parameters
    ----------
    settings : dict
        Sections system, dataset and model of the configuration.
    worker_id : int
        0..total_workers-1.

    Raises
    ------
    DataError
        If data set, model, partition or worker id do not exist, or do not go together.
    """
    n_workers = settings["system"]["total_workers"]
    if not 0 <= worker_id < n_workers:
        raise DataError("worker_id must be in 0..%d, got %r" % (n_workers - 1, worker_id))
    return _engine(settings).trainer(settings, worker_id)


def build_evaluator(settings: Dict[str, Any]) -> Evaluator:
    """Build what evaluates the global model; settings and errors as for :func:`build_trainer`."""
    return _engine(settings).evaluator(settings)


def check(settings: Dict[str, Any]) -> None:
    """Find out whether workers can be built with these settings; numpy only, for the master before it serves.

    Raises
    ------
    DataError
        As :func:`build_trainer`, but for what only TensorFlow knows.
    """
    _engine(settings).check(settings)


def _engine(settings: Dict[str, Any]) -> Engine:
    name = settings["model"]["name"]
    if name not in ENGINES:
        raise DataError("model.name must be one of %s, got %r" % (", ".join(sorted(ENGINES)), name))
    return ENGINES[name]
