"""The seam between federated learning and what is learned.

A Task is what is learned, in one framework: ``frameworks`` lists them. One task in a process serves
any number of workers: it builds its model once, and each worker has a share of the data. Nothing
above knows which framework is behind it: vectors go in and out.

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

from typing import Any, Dict, List, NamedTuple, Optional

from ..core.layout import Layout, Tensor, Vector
from ..core.settings import Settings
from ..errors import DataError

__all__ = ["HeldBack", "Layout", "LocalUpdate", "Metric", "Metrics", "Share", "Task", "Tensor", "Trainer", "Vector"]

Metrics = Dict[str, float]  # name -> value, may be NaN or infinite for a model that has diverged


class HeldBack(NamedTuple):
    """How good the shared copy is, before training, on samples that a worker holds back.

    Attributes
    ----------
    loss : float
        Mean cross-entropy; NaN or infinite for a model that has diverged.
    accuracy : float
        Fraction in [0, 1].
    n_samples : int
        Number of held-back samples, 1 or more.
    """

    loss: float
    accuracy: float
    n_samples: int


class LocalUpdate(NamedTuple):
    """Outcome of one worker's local training in one round.

    Attributes
    ----------
    update : ndarray of shape (n_params,), float32
        With ``flq_algorithm.update`` delta the shared copy minus the local model after training,
        which acts like a gradient; with gradient the mean gradient of one minibatch at the
        shared copy, the L2 term included. In both, moving statistics are shared minus local. A
        new array that belongs to the caller.
    loss : float
        Mean over the local steps of the loss before each step.
    n_steps : int
        Local steps taken; 1 for a gradient.
    held_back : HeldBack or None
        None unless ``dataset.partition`` is local.
    n_trained : int
        Samples in these steps, as often as they were used; 0 if they are not counted.
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
        Number of samples that the worker trains on: its weight in the mean.
    data
        For the task alone.
    """

    n_samples: int
    data: Any = None


class Task:
    """What is learned. Subclasses define ``layout`` and the methods that raise here.

    Building a task is cheap and loads no framework; that happens when a method first needs it.

    Parameters
    ----------
    settings : Settings
        Sections system, dataset, model, flq_algorithm and jetson_optimization of the configuration.

    Attributes
    ----------
    layout : Layout
        Names and shapes of the parameters.
    main_metric : Metric
        Which of the metrics of ``evaluate`` says how good a model is.
    notes : list of str
        What the device was asked for and what it granted, in sentences for the log; readers may
        empty the list.
    """

    layout: Layout
    main_metric = Metric("accuracy", higher_is_better=True)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.notes: List[str] = []

    def check(self) -> None:
        """Raise DataError if no worker could train with these settings; loads no framework."""

    def start(self) -> Vector:
        """Return x^0 = w^0, shape (n_params,), float32: the same at the master and all workers."""
        raise NotImplementedError

    def open(self, worker_id: Optional[int]) -> Any:
        """Return the share of a worker, or with None that of the master, which evaluates.

        Raises
        ------
        DataError
            If the data cannot be read, or do not go with the model or the partition.
        """
        raise NotImplementedError

    def train(self, share: Any, shared: Vector, round_index: int) -> LocalUpdate:
        """Train on a share, from the shared copy, which is not modified.

        The result depends on (settings, share, shared, round) only.

        Parameters
        ----------
        share
            As ``open`` returned it.
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
        """Return the metrics of a model on the samples that a share holds back.

        Parameters
        ----------
        vector : ndarray of shape (n_params,), float32
        share : optional
            The master's by default, whose samples are the test set.

        Returns
        -------
        dict
            Empty if the share holds nothing back.
        """
        raise NotImplementedError

    def export(self, vector: Vector, path: str) -> None:
        """Write a model as a file of its framework; the old file stays until the new one is whole.

        Raises
        ------
        DataError
            If the task has no such files, or the path ends otherwise.
        OSError
            If the file cannot be written.
        """
        raise DataError("model %s has no file format of its own" % self.settings.model.name)


class Trainer:
    """One worker of a task: the share that it trains on.

    Raises
    ------
    DataError
        If there is no such worker, or as ``Task.open``.
    """

    def __init__(self, task: Task, worker_id: int) -> None:
        n_workers = task.settings.system.total_workers
        if not 0 <= worker_id < n_workers:
            raise DataError("worker_id must be in 0..%d, got %r" % (n_workers - 1, worker_id))
        self._task, self._share = task, task.open(worker_id)
        self.n_samples: int = self._share.n_samples
        self.layout, self.notes = task.layout, task.notes

    def local_update(self, shared: Vector, round_index: int) -> LocalUpdate:
        """Train in one round; as :meth:`Task.train`."""
        return self._task.train(self._share, shared, round_index)
