"""The seam between federated learning and what is learnt.

A trainer has ``n_samples``, ``layout``, ``notes`` for the log, and
``local_update(shared, round_index)``, which returns a LocalUpdate and leaves ``shared`` as it
was. An evaluator has ``layout``,
``evaluate(vector)``, which returns an Evaluation, and ``save_keras(vector, path)``.
Nothing above knows whether Keras or numpy is behind them. TensorFlow starts when a Keras
trainer or evaluator is built, not before; ``check(settings)`` says without it whether they can be.

Example
-------
>>> import numpy as np
>>> settings = {"system": {"total_workers": 2, "seed": 42},
...             "dataset": {"name": "digits"},
...             "model": {"name": "quadratic", "dim": 8, "lr": 0.1, "lr_schedule": "constant", "lr_decay": 1.0,
...                       "lr_decay_rounds": 1, "l2": 0.0, "mu": 0.0, "local_optimizer": "sgd", "local_epochs": 1,
...                       "local_steps": 0},
...             "flq_algorithm": {"update": "delta"}}
>>> trainer = build_trainer(settings, worker_id=1)
>>> trainer.local_update(np.zeros(8, np.float32), round_index=1).n_steps
1
"""

from typing import Any, Callable, Dict, NamedTuple, Tuple, Type, Union

from ..core.layout import Layout, Vector
from ..core.rng import start_values
from ..errors import DataError
from .custom_model import keras_start, parse_model_name
from .datasets import dataset_source, load_dataset, require_own_files
from .keras_evaluator import KerasEvaluator
from .keras_trainer import KerasTrainer
from .models import is_custom, model_layout, unknown_model
from .partition import LOCAL, partition
from .quadratic import QuadraticEvaluator, QuadraticTrainer, check_problem
from .results import Evaluation, LocalUpdate

__all__ = ["Evaluation", "Evaluator", "LocalUpdate", "Trainer", "begin", "build_evaluator", "build_trainer", "check"]

Trainer = Union[KerasTrainer, QuadraticTrainer]
Evaluator = Union[KerasEvaluator, QuadraticEvaluator]


class Engine(NamedTuple):
    """The two classes that train and evaluate a kind of model, and what refuses impossible settings."""

    trainer: Type[Any]
    evaluator: Type[Any]
    check: Callable[[Dict[str, Any]], None]


def _check_data(settings: Dict[str, Any]) -> None:
    """Deal the training samples out, to see whether there are enough; with partition local they are elsewhere."""
    if settings["dataset"]["partition"] == LOCAL:
        require_own_files(settings)
        dataset_source(settings)
    else:
        partition(load_dataset(settings).y_train, settings)


KERAS = Engine(KerasTrainer, KerasEvaluator, _check_data)

ENGINES = {
    "logreg": KERAS,
    "mlp": KERAS,
    "cnn": KERAS,
    "cnn_small": KERAS,
    "resnet20": KERAS,
    "quadratic": Engine(QuadraticTrainer, QuadraticEvaluator, check_problem),
}  # one line for each of models.MODELS; a user's own model is a Keras model


def build_trainer(settings: Dict[str, Any], worker_id: int) -> Trainer:
    """Build the trainer of one worker.

    Parameters
    ----------
    settings : dict
        Sections system, dataset, model, flq_algorithm and jetson_optimization of the configuration.
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


def begin(settings: Dict[str, Any]) -> Tuple[Layout, Vector]:
    """Return the parameter layout of ``model.name`` and x^0 = w^0; a user's own model says both, in TensorFlow.

    Returns
    -------
    layout : Layout
    start : ndarray of shape (n_params,), float32
    """
    if is_custom(settings["model"]["name"]):
        return keras_start(settings)
    layout = model_layout(settings)
    return layout, start_values(layout, settings["system"]["seed"])


def check(settings: Dict[str, Any]) -> None:
    """Find out whether workers can be built with these settings; numpy only, for the master before it serves.

    Raises
    ------
    DataError
        As :func:`build_trainer`, but for what only TensorFlow knows; of a user's own model only
        how it is named is looked at.
    """
    if is_custom(settings["model"]["name"]):
        parse_model_name(settings["model"]["name"])
    _engine(settings).check(settings)


def _engine(settings: Dict[str, Any]) -> Engine:
    name = settings["model"]["name"]
    if is_custom(name):
        return KERAS
    if name not in ENGINES:
        raise unknown_model(name)
    return ENGINES[name]
