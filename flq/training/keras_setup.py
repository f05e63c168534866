"""TensorFlow: where it is imported, and its process-wide switches, set before its first operation."""

import contextlib
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..errors import DataError

INSTALL_HINT = ("pip install -r requirements/worker.txt, on a Jetson NVIDIA's own wheel; model quadratic does without")
FIRST_HINT = "build the first trainer before any other use of TensorFlow"
MIXED_FROM = (7, 0)  # compute capability; Keras says the same: below it, float16 is slower
MEMINFO = "/proc/meminfo"


class Device(NamedTuple):
    """What TensorFlow computes on in this process.

    Attributes
    ----------
    n_gpus : int
        0: on the CPU.
    mixed : bool
        Whether models are to compute in float16.
    notes : list of str
        What was asked for and what was granted, in sentences for the log.
    repeats : str
        Whether training again repeats bit for bit, and why, likewise.
    """

    n_gpus: int
    mixed: bool
    notes: List[str]
    repeats: str = ""


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


def set_up_tensorflow(settings: Dict[str, Any]) -> Device:
    """Apply ``jetson_optimization``, and make TensorFlow reproducible if ``system.deterministic`` asks for it.

    Devices come first: TensorFlow takes a memory limit until it first touches a GPU, and no
    longer. ``system.threads``, 1 or more, becomes the size of both thread pools (intra-op and
    inter-op): how many threads share a sum decides its rounding. Without ``deterministic``
    ``system.threads`` is ignored, and TensorFlow takes as many threads as it likes. Calling
    again with the same settings changes nothing.

    Raises
    ------
    DataError
        If TensorFlow is missing, or already runs in this process with other settings.
    """
    device_settings = settings["jetson_optimization"]
    notes = _set_cuda_cache(device_settings["cuda_cache_mb"])
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    notes += _set_gpu_memory(tf, gpus, device_settings["gpu_memory_limit_mb"])
    mixed, refusal = _mixed_precision(tf, gpus, device_settings["enable_mixed_precision"])
    system = settings["system"]
    if system["deterministic"]:
        _make_reproducible(tf, system["threads"])
    repeats = _repeats(tf, len(gpus), system["deterministic"], system["threads"])
    return Device(len(gpus), mixed, notes + refusal, repeats)


@contextlib.contextmanager
def compute_policy(device: Device) -> Iterator[None]:
    """Within it, Keras builds layers that compute in float16 if the device is to; variables stay float32."""
    if not device.mixed:
        yield
        return
    mixed_precision = import_tensorflow().keras.mixed_precision
    mixed_precision.set_global_policy("mixed_float16")
    try:
        yield
    finally:
        mixed_precision.set_global_policy("float32")  # what evaluates in this process is exact


def _set_cuda_cache(size_mb: Optional[int]) -> List[str]:
    """Size the cache of compiled GPU code, which CUDA reads from the environment when it starts."""
    if size_mb is None:
        return []
    os.environ["CUDA_CACHE_MAXSIZE"] = str(size_mb << 20)  # in bytes
    os.environ["CUDA_CACHE_DISABLE"] = "0"
    return ["cuda cache: %d MB" % size_mb]


def _set_gpu_memory(tf: Any, gpus: List[Any], limit_mb: Optional[int]) -> List[str]:
    """Limit the memory on the first GPU and use no other, or let it grow on all; never both."""
    if not gpus:
        asked = [] if limit_mb is None else ["gpu memory limit: asked %d MB, without effect" % limit_mb]
        return ["TensorFlow sees no GPU here and computes on the CPU"] + asked
    try:
        if limit_mb is None:
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
            return ["gpu memory: taken as it is needed, on %d GPU" % len(gpus)]
        if len(gpus) > 1:  # TensorFlow would take the others' memory whole, and use none of it
            tf.config.set_visible_devices(gpus[:1], "GPU")
        tf.config.set_logical_device_configuration(gpus[0], [tf.config.LogicalDeviceConfiguration(limit_mb)])
    except (RuntimeError, ValueError) as error:  # it runs already, or with the other of the two
        asked = "lets it grow" if limit_mb is None else "asks for a limit of %d MB" % limit_mb
        raise DataError("TensorFlow already has its GPU memory in this process, "
                        "jetson_optimization.gpu_memory_limit_mb %s: %s" % (asked, str(error).split("\n")[0]),
                        hint=FIRST_HINT) from None
    free_mb = _available_mb(MEMINFO)
    free = "" if free_mb is None else "; on a Jetson it shares the main memory, of which %d MB are free now" % free_mb
    return ["gpu memory limit: asked %d MB, granted on GPU 0 of %d%s" % (limit_mb, len(gpus), free)]


def _available_mb(path: str) -> Optional[int]:
    """Return the free main memory in MB, None where the system does not say."""
    try:
        with open(path, encoding="ascii") as lines:
            return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _mixed_precision(tf: Any, gpus: List[Any], is_asked: bool) -> Tuple[bool, List[str]]:
    """Decide whether to compute in float16, and say why not where it is asked for."""
    if not is_asked:
        return False, []
    if not gpus:
        return False, ["mixed precision: asked, not granted: the CPU is slower with it"]
    lowest = min(tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus)
    if tuple(lowest) < MIXED_FROM:
        return False, ["mixed precision: asked, not granted: compute capability %d.%d, it pays from %d.%d on"
                       % (tuple(lowest) + MIXED_FROM)]
    return True, ["mixed precision: granted, float16 with float32 variables"]


def _repeats(tf: Any, n_gpus: int, is_deterministic: bool, n_threads: int) -> str:
    """Say whether a round that is trained again, after a crash, gives the same update."""
    if not is_deterministic:
        return "training again may differ in the last bits: system.deterministic is off"
    if hasattr(tf.config.experimental, "enable_op_determinism"):
        return "training again repeats bit for bit: TensorFlow's operations are deterministic"
    if n_gpus:
        return "training again may differ in the last bits: a GPU repeats from TensorFlow 2.8 on"
    if n_threads > 1:
        return "training again may differ in the last bits: before TensorFlow 2.8 only system.threads = 1 repeats"
    return "training again repeats bit for bit: on the CPU, with one thread of each kind"


def _make_reproducible(tf: Any, n_threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(n_threads)
        tf.config.threading.set_inter_op_parallelism_threads(n_threads)
    except RuntimeError:
        raise DataError("TensorFlow already runs with %d threads in this process, system.threads asks for %d"
                        % (tf.config.threading.get_intra_op_parallelism_threads(), n_threads),
                        hint=FIRST_HINT) from None
    if hasattr(tf.config.experimental, "enable_op_determinism"):
        tf.config.experimental.enable_op_determinism()
    else:  # TensorFlow before 2.8
        os.environ["TF_DETERMINISTIC_OPS"] = "1"
