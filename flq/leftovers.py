"""Removes temporary files and folders that killed processes have left.

A process locks each file that it makes. The lock ends with the process, so an unlocked file is a leftover, whatever
its age. On file systems without locks leftovers stay.
"""

import fcntl  # Linux only, like the boards
import glob
import os
import shutil
from contextlib import suppress


def hold(path: str) -> int:
    """Lock a file or folder that this process has just made; return its descriptor, for the caller to close.

    Raises
    ------
    OSError
        If it cannot be opened, or another process has removed it as a leftover.
    """
    descriptor = os.open(path, os.O_RDONLY)
    with suppress(OSError):  # on a file system without locks no process removes it
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        os.stat(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_leftovers(pattern: str, are_folders: bool = False) -> None:
    """Remove the unlocked files, or folders, of a glob pattern (``**`` = any depth); ignore errors."""
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
