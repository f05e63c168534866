"""The run on disk: its journal and its snapshots, written before anything is answered.

What the machine decides is noted as it comes, and written by :meth:`Store.commit` in one
transaction; only then may it be acted upon. A disk that is full or a file that another process
holds keeps the run waiting, not more: it goes on when that is over.
"""

import logging
import os
import sqlite3
import threading
import time
from contextlib import suppress
from typing import Any, Callable, Dict, List, Optional

from ..errors import FlqError, Unavailable
from ..protocol import events
from ..protocol.entries import from_entry, to_entry
from ..protocol.master_machine import MasterMachine
from ..protocol.master_state import capture, is_between_rounds, restore
from .journal import Batch, Journal
from .snapshots import Snapshots

logger = logging.getLogger(__name__)

RETRY_S = 1.0       # between two attempts to write
REMIND_S = 60.0     # between two log lines that say why they fail
LOOK_S = 1.0        # between two looks at how much is on disk: a status is made after nearly every request
LASTING_ERRORS = ("malformed", "not a database")  # no attempt helps against these


class Store:
    """What of a run is on disk, and what is about to be.

    Parameters
    ----------
    run_dir : str
    journal : Journal
    snapshot_every, snapshots_kept : int
        Rounds between two snapshots, and how many are kept.

    Attributes
    ----------
    problem : str or None
        Why the run waits for the disk.
    """

    def __init__(self, run_dir: str, journal: Journal, snapshot_every: int, snapshots_kept: int) -> None:
        self.problem: Optional[str] = None
        self.snapshots = Snapshots(run_dir, snapshots_kept)
        self._run_dir, self._journal, self._every = run_dir, journal, snapshot_every
        self._seq = journal.last_seq()
        self._next_snapshot = 0  # the round from which on one is due
        self._forgotten = 0
        self._captured: Optional[tuple] = None
        self._closing = threading.Event()
        self._tested: List[tuple] = []  # appended to by other threads
        self._disk_bytes, self._next_look = 0, 0.0
        self._clear()

    def _clear(self) -> None:
        self._entries: List[tuple] = []
        self._deltas: List[tuple] = []
        self._rounds: List[tuple] = []
        self._about: Dict[str, Any] = {}

    # -- a run begins or goes on ---------------------------------------------------------

    def begin(self, machine: MasterMachine) -> None:
        """Write the first snapshot: where the first restart begins.

        Raises
        ------
        OSError
            If it can not be written.
        """
        self.snapshots.write(self._seq, *self._capture(machine))
        self._next_snapshot = self._every

    def revive(self, machine: MasterMachine, restored: Callable[[int], None],
               closed: Callable[[events.RoundClosed], None]) -> Optional[str]:
        """Bring a new machine to where the journal ends; return why the run has ended, if it has.

        Parameters
        ----------
        restored : callable(int)
            Called when the machine is where the snapshot was taken, with the number of closed rounds.
        closed : callable(RoundClosed)
            Gets the rounds after the snapshot once more.

        Raises
        ------
        FlqError
            If no snapshot, or an entry after it, can be read, or if they lead elsewhere than they did.
        """
        meta, arrays = self.snapshots.newest(self._seq)
        deltas = self._journal.deltas()
        restore(machine, meta, arrays, [(version, payload) for version, _, payload in deltas
                                        if version <= meta["version"]])
        encoded = {index: payload for version, index, payload in deltas if version > meta["version"]}
        reason, n_closed = None, machine.round_index - (machine.open_round is not None)
        restored(n_closed)
        for seq, kind, body, frame in self._journal.entries(after=meta["seq"]):
            event = from_entry(kind, body, frame, machine.link, ticket=-seq)
            try:
                effects = machine.replay(event, encoded)
            except (MemoryError, OSError):
                raise
            except Exception as error:
                raise FlqError("entry %d of the journal can not be replayed: %s: %s"
                               % (seq, type(error).__name__, error)) from error
            for effect in effects:
                if isinstance(effect, events.RoundClosed):
                    n_closed = effect.report.round_index
                    closed(effect)
                elif isinstance(effect, events.RunEnded):
                    reason = effect.reason
        rounds = self._journal.rounds()
        was = (rounds[-1][0] if rounds else 0, deltas[-1][0] if deltas else machine.server.version)
        if (n_closed, machine.server.version) != was:
            raise FlqError("the journal leads to round %d and version %d of the shared copy, expected %d and %d"
                           % (n_closed, machine.server.version, *was),
                           "resume with the version of FLQ that began the run")
        self._next_snapshot = meta["round_index"] + self._every
        return reason

    # -- while it goes on ----------------------------------------------------------------

    def note(self, machine: MasterMachine, effects: events.Effects) -> None:
        """Take what an event has led to, right after it."""
        closed = 0
        for effect in effects:
            if isinstance(effect, events.Journalled):
                self._seq += 1
                self._entries.append((self._seq, to_entry(effect.event, machine.link)))
            elif isinstance(effect, events.Encoded):
                self._deltas.append((effect.version, effect.round_index, effect.payload))
            elif isinstance(effect, events.RoundClosed):
                closed = effect.report.round_index
        if closed >= self._next_snapshot and closed and is_between_rounds(machine) and not self.snapshots.is_writing:
            self._captured = (self._seq, *self._capture(machine))
            self._next_snapshot = closed + self._every

    def note_round(self, round_index: int, row: Any) -> None:
        """Take the row of a closed round, JSON values."""
        self._rounds.append((round_index, row))

    def note_tested(self, round_index: int, results: Any) -> None:
        """Take test results, JSON values; they are written with the next transaction. From any thread."""
        self._tested.append((round_index, results))

    def note_about(self, **values: Any) -> None:
        """Take what is known of the run as a whole."""
        self._about.update(values)

    @property
    def has_news(self) -> bool:
        """Whether something has been noted."""
        return bool(self._entries or self._rounds or self._about or self._tested)

    def commit(self, counted: Callable[[], Dict[str, Any]], alive: Callable[[], None] = lambda: None) -> bool:
        """Write what has been noted, whatever it takes; return whether the disk had to be waited for.

        Parameters
        ----------
        counted : callable() -> dict
            What has been counted so far, JSON values.
        alive : callable(), optional
            Called again and again while the disk does not take it.

        Raises
        ------
        Unavailable
            If the master ends while the disk does not take it: then it never happened.
        sqlite3.DatabaseError
            If the journal is damaged.
        """
        has_waited = False
        if self.has_news:
            tested = self._tested[:]
            batch = Batch(self._entries, self._deltas, self._rounds, tested, dict(self._about, counted=counted()))
            has_waited = self._persist(lambda: self._journal.write(batch), alive)
            del self._tested[:len(tested)]
            self._clear()
        if self._captured is not None:
            self.snapshots.begin(*self._captured)
            self._captured = None
        oldest = self.snapshots.oldest
        if oldest is not None and oldest.seq > self._forgotten:
            with suppress(sqlite3.OperationalError):  # the next time will do
                self._journal.forget(*oldest)
                self._forgotten = oldest.seq
        return has_waited

    def give_up(self) -> None:
        """Wait no longer for a disk that does not take what is to be written."""
        self._closing.set()

    def close(self) -> None:
        """Close the files, after the last commit."""
        self.snapshots.wait()
        self._journal.close()

    def disk_bytes(self) -> int:
        """Return how much the folder of the run takes on disk, or took a moment ago."""
        now = time.monotonic()
        if now >= self._next_look:
            self._disk_bytes, self._next_look = size_of_folder(self._run_dir), now + LOOK_S
        return self._disk_bytes

    def _capture(self, machine: MasterMachine) -> tuple:
        meta, arrays = capture(machine)
        return dict(meta, oldest_delta=machine.downlink.oldest), arrays

    def _persist(self, write: Callable[[], None], alive: Callable[[], None]) -> bool:
        """Write until it succeeds; return whether it did not at once."""
        reminded = 0.0
        while True:
            try:
                write()
                break
            except sqlite3.OperationalError as error:
                if any(text in str(error) for text in LASTING_ERRORS):
                    raise
                self.problem = "the journal can not be written: %s" % error
                if not reminded or time.monotonic() - reminded >= REMIND_S:
                    logger.error("%s; the run waits until it can: make room, or end the program that holds %s",
                                 self.problem, self._journal.path)
                    reminded = time.monotonic()
                alive()
                if self._closing.wait(RETRY_S):
                    raise Unavailable(self.problem) from None
        if self.problem is None:
            return False
        logger.info("the journal is written again")
        self.problem = None
        return True


def size_of_folder(path: str) -> int:
    """Return how many bytes the files in a folder, and in those below it, have."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total
