"""TensorFlow's process-wide switches, set before its first operation."""

import os
from typing import Any, Dict

from ..errors import DataError


def set_up_tensorflow(settings: Dict[str, Any]) -> None:
    """Make TensorFlow reproducible, if ``system.deterministic`` asks for it.

    ``system.threads`` becomes the size of both thread pools (0: TensorFlow's choice): how
    many threads share a sum decides its rounding. Calling again with the same settings does
    nothing; without ``deterministic`` nothing is touched.

    Raises
    ------
    DataError
        If TensorFlow already runs in this process with another number of threads.
    """
    if not settings["system"]["deterministic"]:
        return
    import tensorflow as tf
    n_threads = settings["system"]["threads"]
    try:
        tf.config.threading.set_intra_op_parallelism_threads(n_threads)
        tf.config.threading.set_inter_op_parallelism_threads(n_threads)
    except RuntimeError:
        raise DataError("TensorFlow already runs with %d threads in this process, system.threads asks for %d"
                        % (tf.config.threading.get_intra_op_parallelism_threads(), n_threads),
                        hint="build the first trainer before any other use of TensorFlow") from None
    if hasattr(tf.config.experimental, "enable_op_determinism"):
        tf.config.experimental.enable_op_determinism()
    else:  # TensorFlow before 2.8
        os.environ["TF_DETERMINISTIC_OPS"] = "1"
