"""The journal of a run: one SQLite file that holds what has changed the run, and its rows for people.

A transaction that has returned survives a power failure: WAL with synchronous=FULL (NORMAL may
lose the last ones). One thread at a time uses it.

======== ===========================================================================================
table    rows
======== ===========================================================================================
about    key, JSON value: which run, its settings, its software; what was counted; why it has ended
entries  each event that changed the run, in order; an answer's frame until a snapshot makes it needless
deltas   what the shared copy was moved by, as it was sent
rounds   the report of each closed round, for good
tested   the test results of each round, as far as they are known
======== ===========================================================================================
"""

import json
import os
import sqlite3
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from ..core.quantize import Payload
from ..durable import sync_folder
from ..errors import ConfigError, FlqError
from ..protocol.entries import NAMES, Entry
from ..protocol.events import Stop
from ..protocol.wire import VERSION

NAME = "journal.sqlite"
FORMAT = VERSION              # a journal holds frames
BUSY_S = 5.0                  # how long another process may hold the file
LARGEST_WAL_BYTES = 1 << 26   # what is kept of it when all of it has gone into the file
TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, head BLOB, payload BLOB);
CREATE TABLE deltas (version INTEGER PRIMARY KEY, round INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE rounds (round INTEGER PRIMARY KEY, report TEXT NOT NULL);
CREATE TABLE tested (round INTEGER PRIMARY KEY, results TEXT NOT NULL);
"""


class Batch(NamedTuple):
    """What one transaction writes. Lists of rows, in the order of the columns; JSON values as such."""

    entries: List[Tuple[int, Entry]]
    deltas: List[Tuple[int, int, Payload]]
    rounds: List[Tuple[int, Any]]
    tested: List[Tuple[int, Any]]
    about: Dict[str, Any]


class Journal:
    """An open journal; :func:`create` and :func:`reopen` make one."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "journal_size_limit=%d" % LARGEST_WAL_BYTES):
                self._database.execute("PRAGMA " + pragma)
        except sqlite3.Error:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the file; once is enough."""
        self._database.close()

    # -- writing -------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Write all of a batch, or nothing; when this returns, it is on disk.

        Raises
        ------
        sqlite3.Error
            If it can not be written.
        """
        database = self._database
        with _Transaction(database):
            database.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)",
                                 ((seq, *_columns(entry)) for seq, entry in batch.entries))
            database.executemany("INSERT INTO deltas VALUES (?, ?, ?)",
                                 ((version, index, memoryview(payload)) for version, index, payload in batch.deltas))
            for table, rows in (("rounds", batch.rounds), ("tested", batch.tested)):
                database.executemany("INSERT OR REPLACE INTO %s VALUES (?, ?)" % table,
                                     ((index, json.dumps(value)) for index, value in rows))
            database.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)",
                                 ((key, json.dumps(value)) for key, value in batch.about.items()))

    def forget(self, seq: int, version: int) -> None:
        """Drop the frames of the entries up to ``seq`` and the deltas up to ``version``; the rows of entries stay.

        Raises
        ------
        sqlite3.Error
            If that is not possible now.
        """
        with _Transaction(self._database):
            self._database.execute("UPDATE entries SET head = NULL, payload = NULL "
                                   "WHERE seq <= ? AND seq > ? AND head IS NOT NULL",
                                   (seq, self.about().get("forgotten", 0)))
            self._database.execute("DELETE FROM deltas WHERE version <= ?", (version,))
            self._database.execute("INSERT OR REPLACE INTO about VALUES ('forgotten', ?)", (json.dumps(seq),))

    def settle(self) -> None:
        """Force to disk what is there: who wrote it may have been killed before that, and the power may fail yet.

        Raises
        ------
        sqlite3.Error
            If it can not be written.
        """
        with _Transaction(self._database):
            self._database.execute("INSERT OR REPLACE INTO about VALUES ('opened', ?)",
                                   (json.dumps(self.about().get("opened", 0) + 1),))

    # -- reading -------------------------------------------------------------------------

    def about(self) -> Dict[str, Any]:
        """Return what is known of the run as a whole."""
        return {key: json.loads(value) for key, value in self._database.execute("SELECT key, value FROM about")}

    def last_seq(self) -> int:
        """Return the number of the newest entry; 0 of none."""
        return self._database.execute("SELECT COALESCE(MAX(seq), 0) FROM entries").fetchone()[0]

    def entries(self, after: int) -> Iterator[Tuple[int, str, Dict[str, Any], Optional[bytearray]]]:
        """Yield number, kind, body and frame of the entries after a number, in their order."""
        rows = self._database.execute("SELECT seq, kind, body, head, payload FROM entries WHERE seq > ? ORDER BY seq",
                                      (after,))
        for seq, kind, body, head, payload in rows:
            frame = None if head is None else bytearray(head)
            if payload is not None:
                frame += payload
            yield seq, kind, json.loads(body), frame

    def was_stopped(self) -> bool:
        """Return whether somebody has ended the run."""
        return self._database.execute("SELECT EXISTS (SELECT 1 FROM entries WHERE kind = ?)",
                                      (NAMES[Stop],)).fetchone()[0] == 1

    def deltas(self) -> List[Tuple[int, int, Payload]]:
        """Return version, round and payload of the deltas that are kept, ascending."""
        return [(version, index, np.frombuffer(payload, np.uint8)) for version, index, payload
                in self._database.execute("SELECT version, round, payload FROM deltas ORDER BY version")]

    def rounds(self) -> List[Tuple[int, Any]]:
        """Return the reports of the closed rounds, ascending."""
        return self._rows("rounds", "report")

    def tested(self) -> List[Tuple[int, Any]]:
        """Return the test results, ascending by round."""
        return self._rows("tested", "results")

    def _rows(self, table: str, column: str) -> List[Tuple[int, Any]]:
        rows = self._database.execute("SELECT round, %s FROM %s ORDER BY round" % (column, table))
        return [(index, json.loads(value)) for index, value in rows]


class _Transaction:
    """All of what is done within, or nothing."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")


def create(run_dir: str, about: Dict[str, Any]) -> Journal:
    """Make the journal of a new run in its folder, which exists.

    Raises
    ------
    OSError, sqlite3.Error
        If it can not be written.
    """
    journal = Journal(os.path.join(run_dir, NAME))
    with _Transaction(journal._database):
        for statement in TABLES.split(";"):
            journal._database.execute(statement)
        journal._database.executemany("INSERT INTO about VALUES (?, ?)",
                                      ((key, json.dumps(value)) for key, value in dict(about, format=FORMAT).items()))
    sync_folder(run_dir)  # the names of the file and of its WAL
    return journal


def reopen(run_dir: str, only_to_look: bool = False) -> Journal:
    """Open the journal of a run.

    Parameters
    ----------
    run_dir : str
    only_to_look : bool
        Whether nothing is done upon what is read: then it need not be forced to disk.

    Raises
    ------
    FlqError
        If there is none, it is damaged, or of another version of FLQ.
    """
    path = os.path.join(run_dir, NAME)
    if not os.path.isfile(path):
        raise ConfigError("%s holds no journal, so there is no run to go on with" % run_dir,
                          "name a folder of report.results_dir")
    try:
        journal = Journal(path)
    except sqlite3.DatabaseError as error:
        raise FlqError("the journal %s can not be read: %s" % (path, error)) from None
    try:
        found = journal.about().get("format")
        if found != FORMAT:
            raise ConfigError("the journal %s has format %r, expected %d" % (path, found, FORMAT),
                              "resume with the version of FLQ that began the run")
        if not only_to_look:
            journal.settle()
    except sqlite3.DatabaseError as error:
        journal.close()
        raise FlqError("the journal %s can not be read: %s" % (path, error)) from None
    except ConfigError:
        journal.close()
        raise
    return journal


def _columns(entry: Entry) -> Tuple[str, str, Optional[bytes], Optional[memoryview]]:
    head, payload = (list(entry.frame) + [None, None])[:2] if entry.frame is not None else (None, None)
    return entry.kind, json.dumps(entry.body), head, payload
