"""Snapshots of a run: files of which the newest that is whole is where a restart begins.

They are written by a thread of their own, while the run goes on: what they hold is never written to.
"""

import logging
import os
import re
import threading
from contextlib import suppress
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ...core.layout import Vector
from ...durable import Corrupted, load_state, make_folder, save_state
from ...errors import FlqError

logger = logging.getLogger(__name__)

FOLDER = "snapshots"


class Kept(NamedTuple):
    """What a restart may have to begin with: no entry up to ``seq`` and no delta up to ``version`` is needed."""

    seq: int
    version: int


class Snapshots:
    """The snapshots of one run.

    Parameters
    ----------
    run_dir : str
    n_kept : int
        How many are kept.
    check_folder : callable(), optional
        Raises an error if the folder is not the one that was opened.

    Attributes
    ----------
    oldest : Kept or None
        Of those that this process has written: known once there are ``n_kept`` of them.
    """

    def __init__(self, run_dir: str, n_kept: int, check_folder: Callable[[], None] = lambda: None) -> None:
        self.oldest: Optional[Kept] = None
        self._folder, self._check_folder = os.path.join(run_dir, FOLDER), check_folder
        self._n_kept = n_kept
        self._kept: List[Kept] = []
        self._thread: Optional[threading.Thread] = None

    @property
    def is_writing(self) -> bool:
        """Whether the last one is not done yet."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, seq: int, meta: Dict[str, Any], arrays: Dict[str, Vector]) -> None:
        """Write a snapshot in the background, unless the one before is not done: then the next will do."""
        if not self.is_writing:
            thread = threading.Thread(target=self._write_and_log, args=(seq, meta, arrays), name="snapshot")
            try:
                thread.start()
                self._thread = thread
            except RuntimeError as error:  # the system has none left: the journal has all of it
                logger.warning("the snapshot of round %d is not written: %s", meta["round_index"], error)

    def write(self, seq: int, meta: Dict[str, Any], arrays: Dict[str, Vector]) -> None:
        """Write a snapshot, and drop those that are older than the kept ones.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._check_folder()  # if it was renamed, a new folder would keep it from being moved back
        make_folder(self._folder)
        save_state(os.path.join(self._folder, "snapshot_%012d.npz" % seq), dict(meta, seq=seq), arrays)
        self._kept = (self._kept + [Kept(seq, meta["oldest_delta"])])[-self._n_kept :]
        self._check_folder()  # a copy may have taken its place
        self._remove(self._numbers()[: -self._n_kept])
        if len(self._kept) == self._n_kept:
            self.oldest = self._kept[0]

    def exist(self) -> bool:
        """Return whether there is any."""
        return bool(self._numbers())

    def newest(
        self, accept: Callable[[Dict[str, Any], Dict[str, Vector]], None]
    ) -> Tuple[Dict[str, Any], Dict[str, Vector]]:
        """Return the newest snapshot that is whole.

        Parameters
        ----------
        accept : callable(meta, arrays)
            Raises Corrupted if the snapshot is not the one that was written.

        Raises
        ------
        FlqError
            If there is none.
        """
        damaged: List[int] = []
        for seq in reversed(self._numbers()):
            try:
                found = load_state(self._path(seq))
                accept(*found)
            except (Corrupted, OSError) as error:
                logger.warning("the snapshot of entry %d cannot be read, the one before is taken: %s", seq, error)
                damaged.append(seq)
                continue
            self._remove(damaged)  # they would count among those that are kept
            self._kept = [Kept(seq, found[0]["oldest_delta"])]
            return found
        raise FlqError("no snapshot in %s can be read: the run cannot go on" % self._folder, "begin a new run")

    def oldest_whole(
        self, accept: Callable[[Dict[str, Any], Dict[str, Vector]], None]
    ) -> Tuple[Dict[str, Any], Dict[str, Vector]]:
        """Return the oldest snapshot that is whole and accepted; any thread may call it. Nothing is removed.

        Raises
        ------
        FlqError
            If there is none.
        """
        for seq in self._numbers():
            with suppress(Corrupted, OSError):
                found = load_state(self._path(seq))
                accept(*found)
                return found
        raise FlqError("no snapshot in %s can be read" % self._folder)

    def wait(self) -> None:
        """Wait for what is being written."""
        if self._thread is not None:
            self._thread.join()

    def _write_and_log(self, seq: int, meta: Dict[str, Any], arrays: Dict[str, Vector]) -> None:
        try:
            self.write(seq, meta, arrays)
        except Exception as error:  # the run goes on: the journal has all of it since the one before
            logger.warning(
                "the snapshot of round %d is not written: %s: %s", meta["round_index"], type(error).__name__, error
            )

    def _numbers(self) -> List[int]:
        """Return the numbers of those that are there, ascending."""
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        found = [re.fullmatch(r"snapshot_(\d+)\.npz", name) for name in names]
        return sorted(int(match.group(1)) for match in found if match)

    def _remove(self, numbers: List[int]) -> None:
        for seq in numbers:
            with suppress(OSError):
                os.remove(self._path(seq))

    def _path(self, seq: int) -> str:
        return os.path.join(self._folder, "snapshot_%012d.npz" % seq)
