"""Local training of a Keras model: plain SGD over the worker's own samples.

A whole round is one TensorFlow function, traced once and kept: what changes from round to
round is the order of the samples, which goes in as an index tensor.
"""

from typing import Any, Dict

import numpy as np

from ..core import draws
from ..core.params import Vector, flatten, unflatten
from .datasets import load_dataset
from .keras_models import build_keras_model, cross_entropy
from .keras_setup import import_tensorflow, set_up_tensorflow
from .models import model_layout
from .partition import partition
from .results import LocalUpdate


class KerasTrainer:
    """One worker's shard and model.

    The result of a round depends on (settings, worker id, shared vector, round) only: there
    is no optimizer state, and the samples' order is drawn from the seed.

    Attributes
    ----------
    n_samples : int
        Size of the worker's shard.
    layout : Layout
        Of the vectors that go in and out.
    """

    def __init__(self, settings: Dict[str, Any], worker_id: int) -> None:
        set_up_tensorflow(settings)
        dataset = load_dataset(settings)
        shard = partition(dataset.y_train, settings)[worker_id]
        self.n_samples = len(shard)
        self.layout = model_layout(settings)
        self._settings, self._worker_id = settings, worker_id
        self._model = build_keras_model(settings, dataset.input_shape, dataset.n_classes)
        self._train = _round_function(self._model, dataset.x_train[shard], dataset.y_train[shard],
                                      dataset.n_classes, settings)

    def local_update(self, shared: Vector, round_index: int) -> LocalUpdate:
        """Train from the shared copy and return what was learnt; ``shared`` is not modified.

        Parameters
        ----------
        shared : ndarray of shape (n_params,), float32
        round_index : int
            From 1; picks the order of the samples.
        """
        batches = self._batches(round_index)
        self._model.set_weights(unflatten(shared, self.layout))
        loss = float(self._train(batches))
        local = flatten(self._model.get_weights(), self.layout)
        return LocalUpdate(np.subtract(shared, local, out=local), loss, len(batches))

    def _batches(self, round_index: int) -> np.ndarray:
        """Return the positions in the shard that make up each step's batch.

        Each pass is a new random order cut into full batches; what is left over is not used
        in that pass. A shard smaller than a batch is one batch. ``local_steps`` > 0 takes
        that many batches from as many passes as it needs, otherwise ``local_epochs`` passes.

        Returns
        -------
        ndarray of shape (n_steps, batch), int32
        """
        model = self._settings["model"]
        batch_size = min(self._settings["dataset"]["batch_size"], self.n_samples)
        n_per_pass = self.n_samples // batch_size
        n_steps = model["local_steps"] or model["local_epochs"] * n_per_pass
        bits = draws.stream(self._settings["system"]["seed"], draws.BATCHES, round_index, self._worker_id)
        passes = [draws.permutation(self.n_samples, bits)[:n_per_pass * batch_size]
                  for _ in range(-(-n_steps // n_per_pass))]
        return np.concatenate(passes).reshape(-1, batch_size)[:n_steps].astype(np.int32)


def _round_function(model: Any, x: np.ndarray, y: np.ndarray, n_classes: int, settings: Dict[str, Any]) -> Any:
    """Return the TensorFlow function of a round: batches (n_steps, batch) -> mean loss, float64.

    Each step is v := v - lr * gradient of (mean cross-entropy + l2 / 2 * |v|^2) for all
    variables v of the model, biases included.
    """
    tf = import_tensorflow()
    lr, l2 = settings["model"]["lr"], settings["model"]["l2"]
    images, labels = tf.constant(x), tf.constant(y.astype(np.int32))
    variables = model.trainable_variables
    batch_size = min(settings["dataset"]["batch_size"], len(x))

    def step(batch: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(tf.gather(images, batch), training=True)
            loss = tf.reduce_mean(cross_entropy(logits, tf.gather(labels, batch), n_classes))
            if l2:
                loss += 0.5 * l2 * tf.add_n([tf.reduce_sum(tf.square(variable)) for variable in variables])
        for variable, gradient in zip(variables, tape.gradient(loss, variables)):
            variable.assign_sub(lr * gradient)
        return tf.cast(loss, tf.float64)

    @tf.function(input_signature=[tf.TensorSpec([None, batch_size], tf.int32)])
    def train(batches: Any) -> Any:
        n_steps = tf.shape(batches)[0]
        _, total = tf.while_loop(lambda i, total: i < n_steps,
                                 lambda i, total: (i + 1, total + step(batches[i])),
                                 (tf.constant(0), tf.constant(0.0, tf.float64)), parallel_iterations=1)
        return total / tf.cast(n_steps, tf.float64)

    return train
