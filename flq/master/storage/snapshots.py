"""Snapshots of a run; a resume begins at the newest intact one.

A thread writes them while the run continues: the captured vectors are never modified.
"""

import logging
import os
import re
import threading
from contextlib import suppress
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ...core.layout import Vector
from ...durable import Corrupted, folder_of, load_state, save_state, sync_folder
from ...errors import FlqError

logger = logging.getLogger(__name__)

FOLDER = "snapshots"


class KeptSnapshot(NamedTuple):
    """A resume from it needs only entries after ``seq`` and deltas after ``version``."""

    seq: int
    version: int


class Snapshots:
    """The snapshots of one run.

    Parameters
    ----------
    run_dir : str
    n_kept : int
        Number of snapshots kept.
    check_folder : callable(), optional
        Raises an error if the folder is not the one that was opened.

    Attributes
    ----------
    oldest : KeptSnapshot or None
        The oldest kept snapshot; None until this process has written ``n_kept`` snapshots.
    """

    def __init__(self, run_dir: str, n_kept: int, check_folder: Callable[[], None] = lambda: None) -> None:
        self.oldest: Optional[KeptSnapshot] = None
        self._folder, self._check_folder = os.path.join(run_dir, FOLDER), check_folder
        self._n_kept = n_kept
        self._kept: List[KeptSnapshot] = []
        self._thread: Optional[threading.Thread] = None

    @property
    def is_writing(self) -> bool:
        """Whether a snapshot is being written."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, seq: int, meta: Dict[str, Any], arrays: Dict[str, Vector]) -> None:
        """Write a snapshot in the background; skip it if the previous one is still being written."""
        if not self.is_writing:
            thread = threading.Thread(target=self._write_and_log, args=(seq, meta, arrays), name="snapshot")
            try:
                thread.start()
                self._thread = thread
            except RuntimeError as error:  # no thread available; the journal has the entries
                logger.warning("the snapshot of round %d is not written: %s", meta["round_index"], error)

    def write(self, seq: int, meta: Dict[str, Any], arrays: Dict[str, Vector]) -> None:
        """Write a snapshot, and remove those older than the kept ones.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._check_folder()
        with suppress(FileExistsError):
            os.mkdir(self._folder)  # not its parent: if that was renamed meanwhile, no new one takes its place
        sync_folder(folder_of(self._folder))
        save_state(os.path.join(self._folder, "snapshot_%012d.npz" % seq), dict(meta, seq=seq), arrays)
        self._kept = (self._kept + [KeptSnapshot(seq, meta["oldest_delta"])])[-self._n_kept :]
        self._check_folder()  # it may have been replaced meanwhile
        self._remove(self._numbers()[: -self._n_kept])
        if len(self._kept) == self._n_kept:
            self.oldest = self._kept[0]

    def exist(self) -> bool:
        """Return whether there is any snapshot."""
        return bool(self._numbers())

    def newest(
        self, accept: Callable[[Dict[str, Any], Dict[str, Vector]], None]
    ) -> Tuple[Dict[str, Any], Dict[str, Vector]]:
        """Return the newest intact snapshot; remove damaged newer ones.

        Parameters
        ----------
        accept : callable(meta, arrays)
            Raises Corrupted if the content is wrong.

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
                logger.warning("the snapshot of entry %d cannot be read, the previous one is used: %s", seq, error)
                damaged.append(seq)
                continue
            self._remove(damaged)  # they would count among the kept ones
            self._kept = [KeptSnapshot(seq, found[0]["oldest_delta"])]
            return found
        raise FlqError("no snapshot in %s can be read: the run cannot be resumed" % self._folder, "begin a new run")

    def oldest_whole(
        self, accept: Callable[[Dict[str, Any], Dict[str, Vector]], None]
    ) -> Tuple[Dict[str, Any], Dict[str, Vector]]:
        """Return the oldest intact and accepted snapshot; remove none. Any thread may call it.

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
        """Wait until no snapshot is being written."""
        if self._thread is not None:
            self._thread.join()

    def _write_and_log(self, seq: int, meta: Dict[str, Any], arrays: Dict[str, Vector]) -> None:
        try:
            self.write(seq, meta, arrays)
        except Exception as error:  # the run continues: the journal has all entries since the previous snapshot
            logger.warning(
                "the snapshot of round %d is not written: %s: %s", meta["round_index"], type(error).__name__, error
            )

    def _numbers(self) -> List[int]:
        """Return the numbers of the existing snapshots, ascending."""
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        found = [re.fullmatch(r"snapshot_(\d+)\.npz", name) for name in names]
        return sorted(int(match.group(1)) for match in found if match)

    def _remove(self, numbers: List[int]) -> None:
        for seq in numbers:
            with suppress(OSError):
                os.remove(self._path(seq))

    def _path(self, seq: int) -> str:
        return os.path.join(self._folder, "snapshot_%012d.npz" % seq)
