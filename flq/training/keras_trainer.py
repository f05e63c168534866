"""Local training of a Keras model over the worker's own samples."""

from typing import Any, Dict, Optional

import numpy as np

from ..core import rng
from ..core.layout import Vector
from ..core.schedule import learning_rate
from ..errors import OutOfMemory
from .datasets import load_dataset
from .keras_batches import Samples
from .keras_evaluator import LabelledImages
from .keras_memory import is_out_of_memory
from .keras_models import build_keras_model, layout_of, set_vector, vector_of, weights_of
from .keras_setup import compute_policy, import_tensorflow, set_up_tensorflow
from .keras_steps import Gradient, gradient_function, log_prior, round_function
from .keras_weights import seed_random_layers
from .partition import worker_share
from .results import HeldBack, LocalUpdate


class KerasTrainer:
    """One worker's share of the data, and its model.

    The result of a round depends on (settings, worker id, shared vector, round) only: local
    optimizers start afresh in each round; the samples' order, and what random layers of a user's
    own model draw, come from the seed. (Before Keras 3 random layers draw what they like.) That
    holds as long as the device has enough memory: the first time that it has not, the batch is
    halved for good, and the round is trained again.

    Attributes
    ----------
    n_samples : int
        Number of samples that it trains on.
    layout : Layout
        Of the vectors that go in and out.
    notes : list of str
        What the device was asked for and what it granted, and what has become of the batch, in
        sentences for the log; whoever reads them may empty the list.
    """

    def __init__(self, settings: Dict[str, Any], worker_id: int) -> None:
        device = set_up_tensorflow(settings)
        self.notes = device.notes + [device.repeats]
        dataset = load_dataset(settings)
        share = worker_share(dataset, settings, worker_id)
        self.n_samples = len(share.x)
        self._settings, self._worker_id = settings, worker_id
        with compute_policy(device):
            self._model = build_keras_model(settings, dataset.input_shape, dataset.n_classes)
        self.layout = layout_of(self._model)
        self._batch_size = min(settings["dataset"]["batch_size"] or self.n_samples, self.n_samples)

        # Without a GPU there is little to overlap, and a pipeline costs. With one thread it took
        # 14 ms to begin in each round, where 11 steps of mlp on the digits take 3 ms in all.
        jetson = settings["jetson_optimization"]
        self._samples = Samples(
            share.x,
            share.y,
            dataset.white,
            jetson["prefetch_size"] if device.n_gpus else 0,
            jetson["num_parallel_calls"],
        )
        self._trained = weights_of(self._model)[: len(self.layout.trained.tensors)]
        prior = log_prior(share.y, dataset.n_classes, settings["model"]["logit_adjustment"])
        self._gradient = Gradient(self._model, self._trained, dataset.n_classes, settings, device.mixed, prior)
        self._takes_steps = settings["flq_algorithm"]["update"] == "delta"
        self._was_halved = False
        self._trace()
        self._held = None
        self._n_held = len(share.held_x)
        if self._n_held:
            self._held = LabelledImages(dataset._replace(x_test=share.held_x, y_test=share.held_y), self._model)

    def local_update(self, shared: Vector, round_index: int) -> LocalUpdate:
        """Train from the shared copy and return what was learnt; ``shared`` is not modified.

        Parameters
        ----------
        shared : ndarray of shape (n_params,), float32
        round_index : int
            From 1; picks the order of the samples, and the learning rate.

        Raises
        ------
        OutOfMemory
            If the device has too little memory even for half a batch.
        """
        while True:
            try:
                return self._local_update(shared, round_index)
            except Exception as error:
                if not is_out_of_memory(import_tensorflow().errors, error):
                    raise
            self._halve(round_index)

    def _halve(self, round_index: int) -> None:
        """Go on with half the batch, once."""
        size = self._batch_size
        if self._was_halved or size == 1:
            raise OutOfMemory(
                "the device has too little memory for a batch of %d" % size,
                "lower dataset.batch_size or jetson_optimization.gpu_memory_limit_mb, or end other "
                "programs on this device",
            )
        self._was_halved, self._batch_size = True, size // 2
        self.notes.append(
            "the device has too little memory for a batch of %d: from round %d on this worker trains "
            "with batches of %d" % (size, round_index, self._batch_size)
        )
        self._trace()

    def _trace(self) -> None:
        """Have TensorFlow make the function of a round anew, for batches of this size."""
        if self._takes_steps:
            self._train = round_function(self._gradient, self._trained, self._samples, self._batch_size, self._settings)
        else:
            self._train = gradient_function(self._gradient, self._samples, self._batch_size)

    def _local_update(self, shared: Vector, round_index: int) -> LocalUpdate:
        batches = self._batches(round_index)
        set_vector(self._model, shared, self.layout)
        seed_random_layers(self._model, self._stream(rng.LAYERS, round_index))
        held_back = self._held_back()
        if self._takes_steps:
            loss = self._train(batches, learning_rate(self._settings["model"], round_index))
            update = self._moved(shared)
        else:
            loss, gradients = self._train(batches[0])
            update = self._moved(shared)  # what the forward pass moves: the statistics
            for part, gradient in zip(self.layout.slices(), gradients):
                update[part] = gradient.numpy().ravel()
        return LocalUpdate(update, float(loss), len(batches), held_back, batches.size)

    def _moved(self, shared: Vector) -> Vector:
        """Return shared minus local, as a new vector."""
        local = vector_of(self._model, self.layout)
        return np.subtract(shared, local, out=local)

    def _held_back(self) -> Optional[HeldBack]:
        """Return how good the model is on the samples that are held back, if there are any."""
        if self._held is None:
            return None
        loss, accuracy = self._held.evaluate()
        return HeldBack(loss, accuracy, self._n_held)

    def _stream(self, purpose: int, round_index: int) -> np.random.Philox:
        return rng.stream(self._settings["system"]["seed"], purpose, round_index, self._worker_id)

    def _batches(self, round_index: int) -> np.ndarray:
        """Return the positions in the share that make up each step's batch.

        Each pass is a new random order cut into full batches; what is left over is not used
        in that pass. A share smaller than a batch is one batch. A gradient takes the first
        batch; local training takes ``local_steps`` > 0 batches from as many passes as it needs,
        otherwise ``local_epochs`` passes.

        Returns
        -------
        ndarray of shape (n_steps, batch), int32
        """
        model = self._settings["model"]
        n_per_pass = self.n_samples // self._batch_size
        n_steps = (model["local_steps"] or model["local_epochs"] * n_per_pass) if self._takes_steps else 1
        bits = self._stream(rng.BATCHES, round_index)
        passes = [
            rng.permutation(self.n_samples, bits)[: n_per_pass * self._batch_size]
            for _ in range(-(-n_steps // n_per_pass))
        ]
        return np.concatenate(passes).reshape(-1, self._batch_size)[:n_steps].astype(np.int32)
