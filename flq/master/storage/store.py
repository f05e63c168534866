"""Writes the journal and the snapshots of a run, before any reply is sent.

The machine's decisions are noted, and :meth:`Store.commit` writes them in one transaction; only
then may they take effect. A full disk, or another process that has the file open, makes the run
wait; it continues by itself afterwards.
"""

import logging
import os
import sqlite3
import threading
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ...errors import Unavailable
from ...protocol import events
from ...protocol.journal_codec import to_entry
from ...protocol.master_machine import MasterMachine
from ...protocol.master_state import capture, is_between_rounds
from ..reminder import Reminder
from .journal import Batch, Journal
from .replay import PRINTS, past_models, prints_of, replay
from .run_folder import Misplaced, RunFolder
from .snapshots import Snapshots

logger = logging.getLogger(__name__)

RETRY_S = 1.0  # between two attempts to write
LOOK_S = 1.0  # between two measurements of the disk usage, since a status is made after nearly every request
LASTING_ERRORS = ("malformed", "not a database")  # retrying does not help


class Store:
    """The run on disk, and the notes that are to be written.

    Parameters
    ----------
    run_dir : str
    journal : Journal
    snapshot_every, snapshots_kept : int
        Rounds between two snapshots, and number of snapshots kept.

    Attributes
    ----------
    problem : str or None
        Why the run waits for the disk; None = it does not.
    misplaced : Misplaced or None
        Set while the run waits for its folder.
    folder : RunFolder
    """

    def __init__(self, run_dir: str, journal: Journal, snapshot_every: int, snapshots_kept: int) -> None:
        self.problem: Optional[str] = None
        self.misplaced: Optional[Misplaced] = None
        self.folder = RunFolder(run_dir, journal.path)
        self.snapshots = Snapshots(run_dir, snapshots_kept, self.folder.check)
        self._run_dir, self._journal, self._every = run_dir, journal, snapshot_every
        self._seq = journal.last_seq()
        self._next_snapshot = 0  # the round from which on a snapshot is due
        self._captured: Optional[tuple] = None
        self._has_log = False  # entries before a snapshot are only in the journal's write-ahead log
        self._prints: Dict[int, List[int]] = {}  # by round, until its row is noted
        self._closing = threading.Event()
        self._tested: List[tuple] = []  # appended to by other threads
        self._disk_bytes, self._next_look = 0, 0.0
        self._clear()

    def _clear(self) -> None:
        self._entries: List[tuple] = []
        self._deltas: List[tuple] = []
        self._rounds: List[tuple] = []
        self._about: Dict[str, Any] = {}

    # -- a run begins or resumes ---------------------------------------------------------

    def begin(self, machine: MasterMachine) -> None:
        """Write the first snapshot of a new run.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self.snapshots.write(
            self._seq, *self._capture(machine, prints_of(machine.model.state, machine.model.shared_crc))
        )
        self._next_snapshot = self._every

    def replay(
        self, machine: MasterMachine, restored: Callable[[int], None], closed: Callable[[events.RoundClosed], None]
    ) -> Optional[str]:
        """Bring a new machine to the end of the journal, as :func:`replay.replay`; return why the run has ended."""
        snapshot_round, reason = replay(self._journal, self.snapshots, machine, restored, closed)
        self._seq = self._journal.last_seq()
        self._next_snapshot = snapshot_round + self._every
        return reason

    def past_models(self, machine: MasterMachine) -> Iterator[Tuple[int, Any]]:
        """Rebuild the models of past rounds, as :func:`replay.past_models`; any thread may call it."""
        return past_models(self._run_dir, self.snapshots, machine)

    # -- during a run --------------------------------------------------------------------

    def note(self, machine: MasterMachine, effects: events.Effects) -> None:
        """Note the effects of an event, right after it."""
        closed, prints = 0, []
        for effect in effects:
            if isinstance(effect, events.Journalled):
                self._seq += 1
                self._entries.append((self._seq, to_entry(effect.event)))
            elif isinstance(effect, events.Encoded):
                self._deltas.append((effect.version, effect.round_index, effect.payload))
            elif isinstance(effect, events.RoundClosed):
                closed, prints = effect.report.round_index, prints_of(effect, effect.shared_crc)
                self._prints[closed] = prints
        if closed >= self._next_snapshot and closed and is_between_rounds(machine) and not self.snapshots.is_writing:
            self._captured = (self._seq, *self._capture(machine, prints))
            self._next_snapshot = closed + self._every

    def note_round(self, round_index: int, row: Any) -> None:
        """Note the row of a closed round, JSON values, with the fingerprints added."""
        self._rounds.append((round_index, dict(row, **{PRINTS: self._prints.pop(round_index, None)})))

    def note_tested(self, round_index: int, results: Any) -> None:
        """Note test results, JSON values, for the next transaction; any thread may call it."""
        self._tested.append((round_index, results))

    def note_about(self, **values: Any) -> None:
        """Note values for the table about."""
        self._about.update(values)

    @property
    def has_news(self) -> bool:
        """Whether something has been noted."""
        return bool(self._entries or self._rounds or self._about or self._tested)

    def commit(self, counted: Callable[[], Dict[str, Any]], alive: Callable[[], None] = lambda: None) -> bool:
        """Write the notes, retrying until it succeeds; return whether it had to wait for the disk.

        Parameters
        ----------
        counted : callable() -> dict
            Returns the counts so far, JSON values.
        alive : callable(), optional
            Called repeatedly while it waits.

        Raises
        ------
        Unavailable
            If the master ends while it waits; nothing is written then.
        sqlite3.DatabaseError
            If the journal is damaged.
        """
        has_waited = False
        if self.has_news:
            tested = self._tested[:]
            batch = Batch(self._entries, self._deltas, self._rounds, tested, dict(self._about, counted=counted()))
            has_waited = self._persist(lambda: self._journal.write(batch), alive)
            del self._tested[: len(tested)]
            self._clear()
        self._has_log = self._has_log or self._captured is not None
        oldest = self.snapshots.oldest
        with suppress(sqlite3.OperationalError):  # the next commit tries again
            if self._has_log:
                self._has_log = not self._journal.checkpoint()
            if oldest is not None and oldest.seq > self._journal.extent.forgotten:
                self._journal.forget(*oldest)
        if self._captured is not None:
            self.snapshots.begin(*self._captured)
            self._captured = None
        return has_waited

    def give_up(self) -> None:
        """Stop waiting for the disk."""
        self._closing.set()

    def close(self) -> None:
        """Close the files, after the last commit."""
        self.snapshots.wait()
        self._journal.close()
        self.folder.close()

    def disk_bytes(self) -> int:
        """Return the size of the run's folder in bytes, at most a second old."""
        now = time.monotonic()
        if now >= self._next_look:
            self._disk_bytes, self._next_look = size_of_folder(self._run_dir), now + LOOK_S
        return self._disk_bytes

    @staticmethod
    def _capture(machine: MasterMachine, prints: List[int]) -> tuple:
        meta, arrays = capture(machine)
        return dict(
            meta, oldest_delta=machine.model.downlink.oldest, run_id=machine.options.run_id, **{PRINTS: prints}
        ), arrays

    def _persist(self, write: Callable[[], None], alive: Callable[[], None]) -> bool:
        """Write, retrying until it succeeds and the journal is where it was opened; return whether it had to wait."""
        reminder = Reminder(logger)
        while True:
            self.misplaced = self.folder.misplaced()
            try:
                if self.misplaced is None:
                    write()
                    break
                self.problem = self.misplaced.summary
                reminder.say("the run waits: %s" % self.misplaced)
            except sqlite3.OperationalError as error:
                if any(text in str(error) for text in LASTING_ERRORS):
                    raise
                self.problem = "the journal cannot be written: %s" % error
                reminder.say(
                    "%s; the run waits: free disk space, or end the program that has %s open"
                    % (self.problem, self._journal.path)
                )
            alive()
            if self._closing.wait(RETRY_S):
                raise Unavailable(self.problem)
        if self.problem is None:
            return False
        logger.info("the journal can be written again")
        self.problem = None
        return True


def size_of_folder(path: str) -> int:
    """Return the total size in bytes of the files in a folder and its subfolders."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total
