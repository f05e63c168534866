"""Locks files; a lock lasts until the file is closed or its process ends or is killed.

Some file systems, such as NFS without its lock daemon, have no locks: a program that needs one cannot run there.
"""

import errno
import fcntl  # Linux only, like the boards
import os
from typing import IO

from .errors import ConfigError

TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # another process has the lock; EACCES over NFS


def is_locked(path: str) -> bool:
    """Return whether a process has the lock of a file; False if there is no such file, or no locks.

    An unlocked file is locked for a moment: a program that asks for its lock in this moment does not get it.
    """
    try:
        with open(path, encoding="ascii") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in TAKEN
    return False


def lock(stream: IO[str], fix: str, waits: bool = False) -> bool:
    """Lock an open file; return whether this process has the lock.

    Parameters
    ----------
    stream : file
        Open for writing.
    fix : str
        The error's hint if the file system has no locks: how to choose another folder.
    waits : bool
        Wait while another process has the lock.

    Raises
    ------
    ConfigError
        If the file system has no locks.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in TAKEN and not waits:
            return False
        raise ConfigError(
            "the file system of %s has no working locks: %s" % (os.path.abspath(stream.name), error.strerror or error),
            fix,
        ) from None
    return True
