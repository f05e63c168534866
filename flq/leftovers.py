"""Temporary files and folders: those that a killed process has left are removed by the next one.

A process locks each one that it makes. The lock ends with the process, so one that nobody has locked is a leftover,
whatever its age and wherever its maker ran. On file systems without locks leftovers stay.
"""

import fcntl  # Linux only, like the boards
import glob
import os
import shutil
from contextlib import suppress


def hold(path: str) -> int:
    """Open and lock a file or folder that this process has just made; return the descriptor, for the caller to close.

    Raises
    ------
    OSError
        If it cannot be opened, or another process took it for a leftover and removed it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    with suppress(OSError):  # without locks nobody else removes it either
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        os.stat(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_leftovers(pattern: str, are_folders: bool = False) -> None:
    """Remove files, or folders, of a glob pattern (``**`` is any depth) that nobody holds; errors are ignored."""
    for path in glob.glob(pattern, recursive=True):
        with suppress(OSError):
            if not os.path.islink(path) and os.path.isdir(path) == are_folders:
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
