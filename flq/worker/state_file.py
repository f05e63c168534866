"""The worker's state on disk: one file, replaced as a whole before each answer is sent."""

import logging
import os
from typing import Optional

from ..durable import Corrupted, load_state, save_state
from ..errors import BadValues
from ..protocol.worker_state import PendingUpload, from_state, to_state

logger = logging.getLogger(__name__)

NAME = "state.npz"


def load(state_dir: str) -> Optional[PendingUpload]:
    """Return the state that the last process saved, or None if there is no usable one."""
    try:
        return from_state(*load_state(os.path.join(state_dir, NAME)))
    except FileNotFoundError:
        return None
    except (Corrupted, BadValues, OSError) as error:
        logger.warning("the state of this worker is lost, it joins as new: %s", error)
        return None


def save(state_dir: str, pending: PendingUpload) -> None:
    """Write the state; only log it if that fails.

    The run continues: a restarted process then has an older state than the master knows,
    and joins as new.
    """
    try:
        save_state(os.path.join(state_dir, NAME), *to_state(pending))
    except OSError as error:
        logger.warning(
            "the state of this worker cannot be written to %s: %s; if it is killed now, it joins as new: "
            "free disk space or repair the folder",
            state_dir,
            error.strerror or error,
        )
