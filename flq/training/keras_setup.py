"""TensorFlow: where it is imported, and its process-wide switches, set before its first operation."""

import os
from typing import Any, Dict

from ..errors import DataError

INSTALL_HINT = ("pip install -r requirements/worker.txt, on a Jetson NVIDIA's own wheel; model quadratic does without")


def import_tensorflow() -> Any:
    """Return the module tensorflow; the import takes seconds, so nobody does it before it is needed.

    Raises
    ------
    DataError
        If it is not installed, or its import fails.
    """
    try:
        import tensorflow
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
            raise DataError("TensorFlow is missing", hint=INSTALL_HINT) from None
        raise DataError("TensorFlow can not be imported: %s" % str(error).split("\n")[0], hint=INSTALL_HINT) from None
    return tensorflow


def set_up_tensorflow(settings: Dict[str, Any]) -> None:
    """Make TensorFlow reproducible, if ``system.deterministic`` asks for it.

    ``system.threads``, 1 or more, becomes the size of both thread pools (intra-op and
    inter-op): how many threads share a sum decides its rounding. Calling again with the same
    settings does nothing. Without ``deterministic`` nothing is touched: ``system.threads`` is
    ignored, and TensorFlow takes as many threads as it likes.

    Raises
    ------
    DataError
        If TensorFlow is missing, or already runs in this process with another number of threads.
    """
    if not settings["system"]["deterministic"]:
        return
    tf = import_tensorflow()
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
