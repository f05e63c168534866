"""The interface between federated learning and a task: a model and data in some framework.

``frameworks`` lists the frameworks. One task in a process serves any number of workers: it builds its
model once, and each worker has a share of the data. Its callers exchange only vectors with it and do
not depend on the framework.

Example
-------
>>> import numpy as np
>>> class Mean(Task):  # each worker holds one number; the model is their mean
...     layout = Layout((Tensor("mean", (1,)),))
...     main_metric = Metric("loss", higher_is_better=False)
...     def start(self):
...         return np.zeros(1, np.float32)
...     def open(self, worker_id):
...         return Share(n_samples=1, data=float(worker_id or 0))
...     def train(self, share, shared, round_index):
...         return LocalUpdate(shared - np.float32(share.data), loss=0.0, n_steps=1)
>>> trainer = Trainer(Mean(Settings()), worker_id=3)
>>> trainer.local_update(np.zeros(1, np.float32), round_index=1).update
array([-3.], dtype=float32)
"""

from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ..core.held_back import HeldBack
from ..core.layout import Layout, Tensor, Vector
from ..core.settings import Settings
from ..errors import DataError
from .sources.report import report_of
from .sources.seen import Seen

__all__ = ["HeldBack", "Layout", "LocalUpdate", "Metric", "Metrics", "Share", "Task", "Tensor", "Trainer", "Vector"]

Metrics = Dict[str, float]  # name -> value, non-finite if the model has diverged


class LocalUpdate(NamedTuple):
    """Outcome of one worker's local training in one round.

    Attributes
    ----------
    update : ndarray of shape (n_params,), float32
        With ``flq_algorithm.update`` delta the shared copy minus the local model after training,
        which acts like a gradient; with gradient the mean gradient of one minibatch at the
        shared copy, including the L2 term. In both, moving statistics are shared minus local. A
        new array, owned by the caller.
    loss : float
        Mean over the local steps of the loss before each step.
    n_steps : int
        Local steps taken; 1 for a gradient.
    held_back : HeldBack or None
        None unless ``dataset.partition`` is local.
    n_trained : int
        Samples used in these steps, each counted as often as it was used; 0 = not counted.
    """

    update: Vector
    loss: float
    n_steps: int
    held_back: Optional[HeldBack] = None
    n_trained: int = 0


class Metric(NamedTuple):
    """The name of a metric, and its direction."""

    name: str
    higher_is_better: bool


class Share(NamedTuple):
    """One worker's part of the data; a task may have a class of its own, with ``n_samples``.

    Attributes
    ----------
    n_samples : int
        Number of training samples, the worker's weight in the mean.
    data
        Used by the task only.
    """

    n_samples: int
    data: Any = None


class Task:
    """A model and its data. Subclasses define ``layout`` and the methods that raise here.

    Making a task is cheap and loads no framework; a method loads it when it needs it.

    Parameters
    ----------
    settings : Settings
        Uses sections system, dataset, model, flq_algorithm and jetson_optimization.

    Attributes
    ----------
    layout : Layout
        Names and shapes of the parameters.
    main_metric : Metric
        The metric of ``evaluate`` by which models are compared.
    notes : list of str
        Lines for the log: what was requested of the device, and what was set; readers may clear
        the list.
    seen : Seen or None
        What ``check`` or ``open`` found in the data; None for a task without files, or before it reads them.
    """

    layout: Layout
    main_metric = Metric("accuracy", higher_is_better=True)
    seen: Optional[Seen] = None

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.notes: List[str] = []

    def check(self) -> None:
        """Raise DataError if no worker could train with these settings, without loading a framework."""

    def start(self) -> Vector:
        """Return x^0 = w^0, shape (n_params,), float32; it is the same on master and workers."""
        raise NotImplementedError

    def open(self, worker_id: Optional[int]) -> Any:
        """Return the share of a worker or, for None, of the master, which evaluates.

        Raises
        ------
        DataError
            If the data cannot be read, or do not fit the model or the partition.
        """
        raise NotImplementedError

    def train(self, share: Any, shared: Vector, round_index: int) -> LocalUpdate:
        """Train on a share from the shared copy, which is not modified.

        The result depends on (settings, share, shared, round) only.

        Parameters
        ----------
        share
            As returned by ``open``.
        shared : ndarray of shape (n_params,), float32
        round_index : int
            From 1.

        Raises
        ------
        OutOfMemory
            If the device has too little memory.
        """
        raise NotImplementedError

    def evaluate(self, vector: Vector, share: Any = None) -> Metrics:
        """Return the metrics of a model on the held-out samples of a share.

        Parameters
        ----------
        vector : ndarray of shape (n_params,), float32
        share : optional
            By default the master's, with the test set.

        Returns
        -------
        dict
            Empty if the share has no held-out samples.
        """
        raise NotImplementedError

    def export(self, vector: Vector, path: str) -> None:
        """Write a model as a file of its framework, atomically.

        Raises
        ------
        DataError
            If the framework has no such files, or the path has another extension.
        OSError
            If the file cannot be written.
        """
        raise DataError("model %s has no file format" % self.settings.model.name)


class Trainer:
    """Trains one worker of a task.

    Attributes
    ----------
    task : Task
    share : Share
        The worker's.
    n_samples : int
    layout : Layout
    notes : list of str
        Those of the task.
    seen : Seen or None
        What the task found in the data.
    data_report : DataReport or None
        What the worker reports of it.
    local_update : callable(shared, round_index) -> LocalUpdate
        :meth:`Task.train` on the worker's share.

    Raises
    ------
    DataError
        If there is no such worker, or as ``Task.open``.
    """

    def __init__(self, task: Task, worker_id: int) -> None:
        n_workers = task.settings.system.total_workers
        if not 0 <= worker_id < n_workers:
            raise DataError("worker_id must be in 0..%d, got %r" % (n_workers - 1, worker_id))
        self.task, self.share = task, task.open(worker_id)
        self.n_samples: int = self.share.n_samples
        self.layout, self.notes, self.seen = task.layout, task.notes, task.seen
        self.data_report = None if task.seen is None else report_of(task.seen)
        self.local_update: Callable[..., LocalUpdate] = partial(task.train, self.share)
