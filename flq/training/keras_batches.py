"""A worker's samples on their way to the device.

Images stay in the host's memory as they are stored, one byte per value for most data sets;
only minibatches become float32 and go to the device. Which samples make up a batch, and
their order, is decided before: how many batches are made ready in advance, or at a time,
changes no result.
"""

from typing import Any, Callable

from .keras_setup import import_tensorflow

HOST = "/CPU:0"


def on_host(values: Any, dtype: Any = None) -> Any:
    """Return an array, or a number, as a tensor in the host's memory."""
    tf = import_tensorflow()
    with tf.device(HOST):
        return tf.constant(values, dtype)


class Samples:
    """One worker's images and labels within a TensorFlow function, and how batches of them are read.

    Parameters
    ----------
    images : tf.Tensor of shape (n, height, width, channels), uint8 or float32
    labels : tf.Tensor of shape (n,), int32
    white : tf.Tensor of shape (), float32
        What the values are divided by; a tensor, because TensorFlow divides by constants in its own ways.
    n_ahead : int
        Number of batches that are kept ready; 0 = a batch is read when it is asked for.
    n_at_a_time : int
        Number of batches that are read in parallel to that end.
    """

    def __init__(self, images: Any, labels: Any, white: Any, n_ahead: int = 0, n_at_a_time: int = 1) -> None:
        self._images, self._labels, self._white = images, labels, white
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
