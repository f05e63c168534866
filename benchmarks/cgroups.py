"""A cgroup with little memory and part of a CPU, like a small board; needs root, and cgroup version 1 or 2."""

import os
from contextlib import suppress
from typing import List, Sequence

ROOT = "/sys/fs/cgroup"
PERIOD_US = 100000


class SmallBoard:
    """Creates the cgroup on entry, and removes it on exit, when it must be empty.

    Parameters
    ----------
    memory_mb : int
        MB of 2^20 bytes; a process that uses more is killed.
    cpus : float
        Share of one CPU.

    Raises
    ------
    OSError
        If the cgroup cannot be created.
    """

    def __init__(self, memory_mb: int, cpus: float) -> None:
        name, quota = "flq-%d" % os.getpid(), "%d" % (cpus * PERIOD_US)
        if os.path.exists(os.path.join(ROOT, "cgroup.controllers")):
            self._folders = {
                os.path.join(ROOT, name): {"memory.max": str(memory_mb << 20), "cpu.max": "%s %d" % (quota, PERIOD_US)}
            }
        else:
            self._folders = {
                os.path.join(ROOT, "memory", name): {"memory.limit_in_bytes": str(memory_mb << 20)},
                os.path.join(ROOT, "cpu", name): {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": quota},
            }

    def __enter__(self) -> "SmallBoard":
        try:
            for folder, limits in self._folders.items():
                os.mkdir(folder)
                for file, value in limits.items():
                    with open(os.path.join(folder, file), "w", encoding="ascii") as stream:
                        stream.write(value)
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for folder in self._folders:
            with suppress(OSError):  # it was not created
                os.rmdir(folder)

    def command(self, command: Sequence[str]) -> List[str]:
        """Return a command that enters the cgroup and then execs ``command``."""
        enter = "".join('echo $$ > "%s/cgroup.procs"; ' % folder for folder in self._folders)
        return ["sh", "-ec", enter + 'exec "$@"', "sh", *command]
