"""How much memory TensorFlow gets on a GPU, and how to tell that it was too little."""

import re
from typing import Any, List, Optional

from ..device.board import GPU_MEMORY_MB_OF_A_NANO, Board
from ..device.sensors import meminfo
from ..errors import DataError

FIRST_HINT = "build the first trainer before any other use of TensorFlow"
MEMORY_IS_SHARED = ("nano", "jetson")  # kinds of boards whose GPU takes of the main memory
NO_MEMORY = re.compile("out of memory|OOM|failed to allocate|_ALLOC_FAILED", re.IGNORECASE)


def available_mb(root: str) -> Optional[int]:
    """Return the free main memory in MB (of 2^20 bytes), None where the system does not say."""
    kilobytes = meminfo(root).get("MemAvailable")
    return None if kilobytes is None else kilobytes >> 10


def set_gpu_memory(
    tf: Any, gpus: List[Any], limit_mb: Optional[int], board: Board, free_mb: Optional[int]
) -> List[str]:
    """Limit the memory on the first GPU and use no other, or let it grow on all; never both.

    Without a limit, that of an original Jetson Nano is 1024 MB: of the 4 GB that its GPU shares with everything
    else, a process that grows without a limit gets the largest process killed.

    Parameters
    ----------
    tf : module
        Before its first use of a GPU.
    gpus : list
        From ``tf.config.list_physical_devices("GPU")``.
    limit_mb : int or None
        ``jetson_optimization.gpu_memory_limit_mb``.
    free_mb : int or None
        Main memory that was free before TensorFlow was imported.

    Returns
    -------
    list of str
        What was asked for and what was granted, in sentences for the log.

    Raises
    ------
    DataError
        If TensorFlow runs already, with other settings.
    """
    if not gpus:
        unused = [] if limit_mb is None else ["gpu memory limit: asked %d MB, without effect" % limit_mb]
        return ["TensorFlow sees no GPU here and computes on the CPU"] + unused
    if limit_mb is None and board.kind == "nano":
        limit_mb = GPU_MEMORY_MB_OF_A_NANO
    try:
        if limit_mb is None:
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
            return ["gpu memory: taken as it is needed, on %d GPU" % len(gpus)]
        if len(gpus) > 1:  # TensorFlow would take the others' memory whole, and use none of it
            tf.config.set_visible_devices(gpus[:1], "GPU")
        tf.config.set_logical_device_configuration(gpus[0], [tf.config.LogicalDeviceConfiguration(limit_mb)])
        granted = tf.config.get_logical_device_configuration(gpus[0])[0].memory_limit
    except (RuntimeError, ValueError) as error:  # it runs already, or with the other of the two
        asked = "lets it grow" if limit_mb is None else "asks for a limit of %d MB" % limit_mb
        raise DataError(
            "TensorFlow already has its GPU memory in this process, "
            "jetson_optimization.gpu_memory_limit_mb %s: %s" % (asked, str(error).split("\n")[0]),
            hint=FIRST_HINT,
        ) from None
    note = "gpu memory limit: asked %d MB, set to %d MB on GPU 0 of %d" % (limit_mb, granted, len(gpus))
    if board.kind not in MEMORY_IS_SHARED or free_mb is None:
        return [note]
    notes = ["%s; it shares the main memory, of which %d MB were free" % (note, free_mb)]
    if free_mb < granted:
        notes.append(
            "gpu memory: less is free than the limit, and TensorFlow will get less: end other programs, or "
            "start without a desktop (sudo systemctl set-default multi-user.target)"
        )
    return notes


def is_out_of_memory(errors: Any, error: BaseException) -> bool:
    """Return whether TensorFlow or numpy has failed for want of memory, on the device or beside it.

    TensorFlow has an error of its own for it; cuDNN and cuBLAS, which take memory when they are first used, say
    "internal" or "unknown".

    Parameters
    ----------
    errors : module
        ``tf.errors``.
    """
    if isinstance(error, (MemoryError, errors.ResourceExhaustedError)):
        return True
    return isinstance(error, (errors.InternalError, errors.UnknownError)) and bool(NO_MEMORY.search(str(error)))
