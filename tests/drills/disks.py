"""File systems of limited size, where mounting is allowed, and a way to fill them."""

import os
import subprocess
from contextlib import suppress

import pytest


class Disk:
    """A small file system in memory at a path."""

    def __init__(self, path, n_bytes):
        self.path, self._ballast = path, os.path.join(path, "ballast")
        os.makedirs(path, exist_ok=True)
        done = run("mount", "-t", "tmpfs", "-o", "size=%d" % n_bytes, "tmpfs", path)
        if done.returncode != 0:
            pytest.skip("no file system can be mounted here: %s" % done.stdout.strip())

    def fill(self, n_free=0):
        """Fill it except for a number of bytes."""
        state = os.statvfs(self.path)
        with open(self._ballast, "wb") as stream:
            stream.write(bytes(max(0, state.f_bavail * state.f_frsize - n_free)))

    def make_room(self):
        """Remove the file that fills it."""
        os.remove(self._ballast)

    def set_read_only(self, is_read_only):
        """Make it read-only, or writable again."""
        done = run("mount", "-o", "remount,ro" if is_read_only else "remount,rw", self.path)
        assert done.returncode == 0, done.stdout

    def close(self):
        """Unmount it."""
        with suppress(OSError):
            run("umount", "-l", self.path)


def run(*argv):
    """Run a system command; return its exit status and its output."""
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
