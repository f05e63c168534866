"""A worker's samples on their way to the device.

Images stay in the host's memory as they are stored, one byte per value for most data sets;
only minibatches become float32 and go to the device. Which samples make up a batch, and
their order, is decided before: how many batches are made ready in advance, or at a time,
changes no result.
"""

from typing import Any, Callable

import numpy as np

from .keras_setup import import_tensorflow

HOST = "/CPU:0"


class Samples:
    """The images and labels of one worker, and how batches of them are read.

    Parameters
    ----------
    x : ndarray of shape (n, height, width, channels), uint8 or float32
    y : ndarray of shape (n,), int64
    white : float
        What the values are divided by.
    n_ahead : int
        Number of batches that are kept ready; 0 = a batch is read when it is asked for.
    n_at_a_time : int
        Number of batches that are read in parallel to that end.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, white: float, n_ahead: int, n_at_a_time: int) -> None:
        tf = import_tensorflow()
        with tf.device(HOST):
            self._images, self._labels = tf.constant(x), tf.constant(y.astype(np.int32))
            self._white = tf.constant(white, tf.float32)  # a tensor: TensorFlow divides by constants in its own ways
        self._n_ahead, self._n_at_a_time = n_ahead, n_at_a_time

    def read(self, batch: Any) -> Any:
        """Return the images (batch, height, width, channels), float32, and labels (batch,), int32, of some positions.

        Parameters
        ----------
        batch : tf.Tensor of shape (batch,), int32
        """
        tf = import_tensorflow()
        with tf.device(HOST):
            images = tf.cast(tf.gather(self._images, batch), tf.float32) / self._white
            return images, tf.gather(self._labels, batch)

    def reader(self, batches: Any) -> Callable[[Any], Any]:
        """Return a function that reads the batches 0, 1, 2, ...; for use inside a TensorFlow function, in this order.

        Parameters
        ----------
        batches : tf.Tensor of shape (n_steps, batch), int32
        """
        if self._n_ahead == 0:
            return lambda i: self.read(batches[i])
        tf = import_tensorflow()
        with tf.device(HOST):
            pipeline = tf.data.Dataset.from_tensor_slices(batches)
            pipeline = pipeline.map(self.read, num_parallel_calls=self._n_at_a_time, deterministic=True)
            ready = iter(pipeline.prefetch(self._n_ahead))

        def next_batch(i: Any) -> Any:
            with tf.device(HOST):
                return ready.get_next()

        return next_batch
