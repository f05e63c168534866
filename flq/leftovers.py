"""Temporary files and folders that outlive no process: what a killed one has left is removed by the next.

Whoever makes one holds a lock on it. A lock ends with its process, so what nobody holds is left over, whatever its name
and age, and wherever its maker ran. Without locks, as on some network file systems, it stays.
"""

import fcntl  # Linux only, like the boards
import glob
import os
import shutil
from contextlib import suppress


def hold(path: str) -> int:
    """Open a file or folder that this process has just made, and hold it; return the descriptor, which is to be closed.

    Raises
    ------
    OSError
        If it cannot be opened, or somebody has taken it for a leftover and removed it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    with suppress(OSError):  # there are no locks, so nobody else removes it either
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        os.stat(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_leftovers(pattern: str) -> None:
    """Remove the files and folders of a glob pattern that nobody holds, as far as that is possible."""
    for path in glob.glob(pattern):
        with suppress(OSError):
            if not os.path.islink(path):
                _remove(path)


def _remove(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    finally:
        os.close(descriptor)
