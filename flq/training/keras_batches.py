"""Reads a worker's minibatches from the host's memory onto the device.

Images stay in the host's memory as stored, one byte per value for most data sets; only
minibatches become float32 and go to the device. The samples of each batch and their order are
given, so prefetching and parallel reading do not change any result.
"""

from typing import Any, Callable

from .keras_setup import import_tensorflow

HOST = "/CPU:0"


def on_host(values: Any, dtype: Any = None) -> Any:
    """Return an array or a number as a tensor in the host's memory."""
    tf = import_tensorflow()
    with tf.device(HOST):
        return tf.constant(values, dtype)


class Samples:
    """One worker's images and labels within a TensorFlow function; reads batches of them.

    Parameters
    ----------
    images : tf.Tensor of shape (n, height, width, channels), uint8 or float32
    labels : tf.Tensor of shape (n,), int32
    scale : tf.Tensor of shape (), float32
        Divisor of the values; a tensor, because TensorFlow may rewrite a division by a constant.
    n_ahead : int
        Number of prefetched batches; 0 = each batch is read when it is needed.
    n_at_a_time : int
        Number of batches that are read in parallel for prefetching.
    """

    def __init__(self, images: Any, labels: Any, scale: Any, n_ahead: int = 0, n_at_a_time: int = 1) -> None:
        self._images, self._labels, self._scale = images, labels, scale
        self._n_ahead, self._n_at_a_time = n_ahead, n_at_a_time

    def read(self, batch: Any) -> Any:
        """Return images (batch, height, width, channels), float32, and labels (batch,), int32.

        Parameters
        ----------
        batch : tf.Tensor of shape (batch,), int32
            Positions of the samples.
        """
        tf = import_tensorflow()
        with tf.device(HOST):
            images = tf.cast(tf.gather(self._images, batch), tf.float32) / self._scale
            return images, tf.gather(self._labels, batch)

    def reader(self, batches: Any) -> Callable[[Any], Any]:
        """Return a function for use inside a TensorFlow function, which reads batches 0, 1, 2, ... in this order.

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
