"""Locks files; a lock lasts until the file is closed or its process ends or is killed.

Some file systems, such as NFS without its lock daemon, have no locks: a program that needs one cannot run there.
"""

import errno
import fcntl  # Linux only, like the boards
import os
from typing import IO

from .errors import ConfigError

ATTEMPTS = 1000  # to get a lock that others hold for the moment of a look only
TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # another process has the lock; EACCES over NFS


def is_locked(path: str) -> bool:
    """Return whether a process has the lock of a file; False if there is no such file, or no locks.

    An unlocked file is locked for a moment, as one of those that :func:`lock` waits for.
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
    for _ in range(ATTEMPTS):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            return True
        except OSError as error:
            if waits or error.errno not in TAKEN:
                raise ConfigError(
                    "the file system of %s has no working locks: %s"
                    % (os.path.abspath(stream.name), error.strerror or error),
                    fix,
                ) from None
        if is_locked(stream.name):
            return False
        os.sched_yield()  # another process looks whether the file is locked
    return False
