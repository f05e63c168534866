"""Imports TensorFlow, and configures the process before its first operation."""

import os
import sys
from typing import Any, List, NamedTuple, Optional, Tuple

from ..core.settings import Settings
from ..device.board import find_board
from ..device.files import system_root
from ..errors import DataError
from ..reasons import named_reason, reason_of
from .keras_config import choose_backend, config_path, require_backend, set_defaults, what_is_invalid
from .keras_memory import FIRST_HINT, available_mb, set_gpu_memory
from .keras_versions import has_deterministic_gpus, make_deterministic

INSTALL_HINT = "pip install -r requirements/worker.txt, on a Jetson NVIDIA's own wheel; model quadratic does without"
MIXED_FROM = (7, 0)  # compute capability, as in Keras: below it float16 is slower


class Device(NamedTuple):
    """The devices that TensorFlow uses in this process.

    Attributes
    ----------
    n_gpus : int
        0 = TensorFlow computes on the CPU.
    mixed : bool
        Whether models compute in float16.
    notes : list of str
        Lines for the log: what was requested, and what was set.
    repeats : str
        Line for the log: whether training is reproducible bit for bit, and why.
    """

    n_gpus: int
    mixed: bool
    notes: List[str]
    repeats: str = ""


def import_tensorflow() -> Any:
    """Import tensorflow with Keras, which takes seconds, and return the module.

    Raises
    ------
    DataError
        If it is not installed, or its import fails.
    """
    choose_backend()
    if any("\udc80" <= letter <= "\udcff" for letter in sys.prefix):
        raise DataError(
            "TensorFlow cannot be loaded from %s: it takes only paths in UTF-8" % sys.prefix,
            hint="move the environment, or the folder that holds it, to another path",
        )
    try:
        import tensorflow
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
            raise DataError("TensorFlow is missing", hint=INSTALL_HINT) from None
        raise DataError("TensorFlow cannot be imported: %s" % reason_of(error), hint=INSTALL_HINT) from None
    except (AssertionError, AttributeError, TypeError, ValueError) as error:  # from Keras 2, whose settings are invalid
        raise _keras_fails(error) from None
    try:
        tensorflow.keras.backend.backend()  # TensorFlow imports Keras 3 when it is first used
    except (AssertionError, AttributeError, ImportError, TypeError, ValueError) as error:
        raise _keras_fails(error) from None
    return tensorflow


def _keras_fails(error: Exception) -> DataError:
    invalid = what_is_invalid()
    if invalid:
        return DataError("Keras cannot be imported: in %s %s" % (config_path(), invalid), hint="correct or remove it")
    hint = "Keras reads %s and the variables KERAS_*; is something there invalid?" % config_path()
    return DataError("Keras cannot be imported: %s" % named_reason(error), hint=hint)


def set_up_tensorflow(settings: Settings) -> Device:
    """Apply ``jetson_optimization``, and ``system.threads`` if ``system.deterministic`` is set.

    Devices come first: TensorFlow accepts a memory limit only before its first use of a GPU.
    ``system.threads``, 1 or more, is the size of both thread pools (intra-op and inter-op), since
    the number of threads that share a sum affects its rounding. Without ``deterministic`` it is
    ignored, and TensorFlow chooses the number of threads. Calling again with the same settings
    changes nothing.

    Raises
    ------
    DataError
        If TensorFlow is missing, or already runs in this process with other settings.
    """
    device_settings = settings.jetson_optimization
    notes = _set_cuda_cache(device_settings.cuda_cache_mb)
    root = system_root()
    free_mb = available_mb(root)  # before TensorFlow uses some of it
    notes += choose_backend()
    tf = import_tensorflow()
    require_backend(tf.keras)
    notes += set_defaults(tf.keras)
    gpus = tf.config.list_physical_devices("GPU")
    notes += set_gpu_memory(tf, gpus, device_settings.gpu_memory_limit_mb, find_board(root), free_mb)
    mixed, refusal = _mixed_precision(tf, gpus, device_settings.enable_mixed_precision)
    system = settings.system
    if system.deterministic:
        _make_reproducible(tf, system.threads)
    repeats = _repeats(tf, len(gpus), system.deterministic, system.threads)
    return Device(len(gpus), mixed, notes + refusal, repeats)


def _set_cuda_cache(size_mb: Optional[int]) -> List[str]:
    """Set the size of CUDA's cache of compiled code, an environment variable that CUDA reads when it starts."""
    if size_mb is None:
        return []
    os.environ["CUDA_CACHE_MAXSIZE"] = str(size_mb << 20)  # in bytes
    os.environ["CUDA_CACHE_DISABLE"] = "0"
    return ["cuda cache: %d MB" % size_mb]


def _mixed_precision(tf: Any, gpus: List[Any], is_asked: bool) -> Tuple[bool, List[str]]:
    """Return whether to compute in float16, and lines for the log."""
    if not is_asked:
        return False, []
    if not gpus:
        return False, ["mixed precision: requested, but off: it is slower on the CPU"]
    lowest = min(tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus)
    if tuple(lowest) < MIXED_FROM:
        return False, [
            "mixed precision: requested, but off: compute capability %d.%d, it needs %d.%d"
            % (tuple(lowest) + MIXED_FROM)
        ]
    return True, ["mixed precision: on, float16 with float32 variables"]


def _repeats(tf: Any, n_gpus: int, is_deterministic: bool, n_threads: int) -> str:
    """Return a line for the log: whether retraining a round, after a crash, gives the same update."""
    if not is_deterministic:
        return "training may not be reproducible bit for bit: system.deterministic is off"
    if has_deterministic_gpus(tf):
        return "training is reproducible bit for bit: TensorFlow's operations are deterministic"
    if n_gpus:
        return "training may not be reproducible bit for bit: on a GPU this needs TensorFlow 2.8"
    if n_threads > 1:
        return "training may not be reproducible bit for bit: before TensorFlow 2.8 this needs system.threads = 1"
    return "training is reproducible bit for bit: on the CPU, with one thread per pool"


def _make_reproducible(tf: Any, n_threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(n_threads)
        tf.config.threading.set_inter_op_parallelism_threads(n_threads)
    except RuntimeError:
        raise DataError(
            "TensorFlow already runs with %d threads in this process, system.threads asks for %d"
            % (tf.config.threading.get_intra_op_parallelism_threads(), n_threads),
            hint=FIRST_HINT,
        ) from None
    make_deterministic(tf)
