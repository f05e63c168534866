"""Detects that the folder of a run, or its journal, was renamed, deleted or replaced while a master has it open.

Open files stay valid when their folder is renamed or deleted, so no write fails. Therefore the paths are looked up
again: device and inode must be those of the opened files.
"""

import os
import shlex
from contextlib import suppress
from typing import Dict, Optional, Tuple

from ...errors import FlqError


class Misplaced(FlqError):
    """The folder of a run, or its journal, is no longer where it was opened.

    Attributes
    ----------
    summary : str
        The problem, without a path.
    """

    def __init__(self, summary: str, path: str, hint: str) -> None:
        super().__init__("%s: %s" % (summary, path), hint)
        self.summary = summary


class RunFolder:
    """The identities of the folder of a run and its journal when they were opened.

    Parameters
    ----------
    run_dir, journal : str
        Paths; the journal is open.
    """

    def __init__(self, run_dir: str, journal: str) -> None:
        self._path = run_dir
        self._folder = os.open(run_dir, os.O_RDONLY)  # while it is open, its inode is not reused
        log = journal + "-wal"
        self._opened: Dict[str, Tuple[str, Tuple[int, int]]] = {
            path: (name, _identity(path))
            for path, name in (
                (run_dir, "the folder of the run"),
                (journal, "the journal"),
                (log, "the log of the journal"),
            )
            if os.path.exists(path)
        }

    def misplaced(self) -> Optional[Misplaced]:
        """Return an error if one of them is not where it was opened, else None."""
        for path, (name, identity) in self._opened.items():
            try:
                if _identity(path) == identity:
                    continue
                what = "was replaced"
            except (FileNotFoundError, NotADirectoryError):
                what = "was moved" if path == self._path and self._now() is not None else "is gone"
            except OSError as error:
                what = "cannot be reached: %s" % error.strerror
            return Misplaced("%s %s" % (name, what), path, self._hint())
        return None

    def check(self) -> None:
        """Raise an error if one of them is not where it was opened.

        Raises
        ------
        Misplaced
        """
        misplaced = self.misplaced()
        if misplaced is not None:
            raise misplaced

    def close(self) -> None:
        """Close the folder; further calls do nothing."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _now(self) -> Optional[str]:
        """Return the present path of the folder; None if it has none."""
        now = os.readlink("/proc/self/fd/%d" % self._folder)
        with suppress(OSError):
            if os.path.samestat(os.stat(now), os.fstat(self._folder)):
                return now
        return None

    def _hint(self) -> str:
        """Return what to do."""
        now = self._now()
        if now is None and os.fstat(self._folder).st_nlink == 0:
            return "it was deleted, and the run is lost: stop the master, and it saves the model in a new folder"
        if now is None or now == os.path.realpath(self._path):
            return "restore it, or stop the master, and it saves the model in a new folder"
        return "it is now %s: move it back, or stop the master and resume with ./start_master.sh --resume %s" % (
            now,
            shlex.quote(now),
        )


def _identity(path: str) -> Tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
