"""Limits TensorFlow's memory on a GPU, and recognizes errors of too little memory."""

import re
from typing import Any, List, Optional

from ..device.board import GPU_MEMORY_MB_OF_A_NANO, Board
from ..device.sensors import meminfo
from ..errors import DataError
from ..reasons import reason_of

FIRST_HINT = "build the first trainer before any other use of TensorFlow"
MEMORY_IS_SHARED = ("nano", "jetson")  # kinds of boards whose GPU shares the main memory
NO_MEMORY = re.compile("out of memory|OOM|failed to allocate|_ALLOC_FAILED", re.IGNORECASE)


def available_mb(root: str) -> Optional[int]:
    """Return the available main memory in MB (2^20 bytes), or None if unknown."""
    kilobytes = meminfo(root).get("MemAvailable")
    return None if kilobytes is None else kilobytes >> 10


def set_gpu_memory(
    tf: Any, gpus: List[Any], limit_mb: Optional[int], board: Board, free_mb: Optional[int]
) -> List[str]:
    """Limit the memory on the first GPU and use only that one, or let memory grow on all GPUs.

    The default limit on an original Jetson Nano is 1024 MB: its GPU shares 4 GB with all programs, and growth
    without a limit makes the system kill the largest process.

    Parameters
    ----------
    tf : module
        Before its first use of a GPU.
    gpus : list
        From ``tf.config.list_physical_devices("GPU")``.
    limit_mb : int or None
        ``jetson_optimization.gpu_memory_limit_mb``.
    free_mb : int or None
        Main memory that was available before TensorFlow was imported.

    Returns
    -------
    list of str
        Lines for the log: what was requested, and what was set.

    Raises
    ------
    DataError
        If TensorFlow already runs with other settings.
    """
    if not gpus:
        unused = [] if limit_mb is None else ["gpu memory limit: requested %d MB, ignored without a GPU" % limit_mb]
        return ["TensorFlow sees no GPU here and computes on the CPU"] + unused
    if limit_mb is None and board.kind == "nano":
        limit_mb = GPU_MEMORY_MB_OF_A_NANO
    try:
        if limit_mb is None:
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
            return ["gpu memory: grows on demand, on %d GPU" % len(gpus)]
        if len(gpus) > 1:  # TensorFlow would reserve all memory of the others without using it
            tf.config.set_visible_devices(gpus[:1], "GPU")
        tf.config.set_logical_device_configuration(gpus[0], [tf.config.LogicalDeviceConfiguration(limit_mb)])
        granted = tf.config.get_logical_device_configuration(gpus[0])[0].memory_limit
    except (RuntimeError, ValueError) as error:  # TensorFlow runs already, or with the other of the two settings
        asked = "lets it grow" if limit_mb is None else "asks for a limit of %d MB" % limit_mb
        raise DataError(
            "TensorFlow has already configured its GPU memory in this process, "
            "jetson_optimization.gpu_memory_limit_mb %s: %s" % (asked, reason_of(error)),
            hint=FIRST_HINT,
        ) from None
    note = "gpu memory limit: requested %d MB, set to %d MB on GPU 0 of %d" % (limit_mb, granted, len(gpus))
    if board.kind not in MEMORY_IS_SHARED or free_mb is None:
        return [note]
    notes = ["%s; it shares the main memory, of which %d MB were free" % (note, free_mb)]
    if free_mb < granted:
        notes.append(
            "gpu memory: less than the limit is free, so TensorFlow gets less; end other programs, or "
            "start without a desktop (sudo systemctl set-default multi-user.target)"
        )
    return notes


def is_out_of_memory(errors: Any, error: BaseException) -> bool:
    """Return whether an error of TensorFlow or numpy means too little memory, on the device or the host.

    TensorFlow has a class for it; cuDNN and cuBLAS, which allocate memory at their first use, raise "internal" or
    "unknown" errors.

    Parameters
    ----------
    errors : module
        ``tf.errors``.
    """
    if isinstance(error, (MemoryError, errors.ResourceExhaustedError)):
        return True
    return isinstance(error, (errors.InternalError, errors.UnknownError)) and bool(NO_MEMORY.search(str(error)))
