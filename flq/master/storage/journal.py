"""The journal of a run: a SQLite file with the events that changed the run, and its rows for people.

A committed transaction survives a power failure: WAL with synchronous=FULL (NORMAL may lose the
last ones). One thread at a time uses the journal.

======== ===========================================================================================
table    rows
======== ===========================================================================================
about    key, JSON value: id, settings and software of the run; its counts; the stage of its end
entries  each event that changed the run, in order, while a kept snapshot needs it
deltas   the deltas of the shared copy, as sent, while a kept snapshot needs them
rounds   the report of each closed round, and fingerprints of the state after it
tested   the known test results of each round
======== ===========================================================================================

Each row has a digest, which is verified on reading (``flq.journal_file``). One row of ``about``, the extent, says which
rows the journal must have.
"""

import json
import logging
import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core.codecs import Payload
from ...durable import sync_folder
from ...errors import ConfigError
from ...journal_file import (
    BUSY_S,
    EXTENT,
    NAME,
    Extent,
    as_text,
    damaged,
    digest,
    finished_by,
    open_to_read,
    read_about,
    read_numbered,
    read_rows,
    read_tested,
)
from ...protocol.journal_codec import JournalEntry
from ...write_ahead_log import LOG, check_log

logger = logging.getLogger(__name__)

FORMAT = 6  # increases with wire.VERSION too, since a journal contains frames
LARGEST_WAL_BYTES = 1 << 26  # maximum size of the log's file after a checkpoint
TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL, digest INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, frame BLOB,
                      digest INTEGER NOT NULL);
CREATE TABLE deltas (version INTEGER PRIMARY KEY, round INTEGER NOT NULL, payload BLOB NOT NULL,
                     digest INTEGER NOT NULL);
CREATE TABLE rounds (round INTEGER PRIMARY KEY, report TEXT NOT NULL, digest INTEGER NOT NULL);
CREATE TABLE tested (round INTEGER PRIMARY KEY, results TEXT NOT NULL, digest INTEGER NOT NULL);
"""
STATEMENTS = [statement.strip() for statement in TABLES.split(";") if statement.strip()]


class Batch(NamedTuple):
    """The rows of one transaction, in the order of the columns; JSON values are not encoded."""

    entries: List[Tuple[int, JournalEntry]]
    deltas: List[Tuple[int, int, Payload]]
    rounds: List[Tuple[int, Any]]
    tested: List[Tuple[int, Any]]
    about: Dict[str, Any]


class Journal:
    """An open journal; made by :func:`create` and :func:`open_journal`.

    Attributes
    ----------
    extent : Extent
        The rows that it must have.
    """

    def __init__(self, path: str, database: sqlite3.Connection) -> None:
        self.path = path
        self.extent = Extent()
        self._database = database
        self._is_mine = False  # opened for writing

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._is_mine:
            self._is_mine = False
            with suppress(sqlite3.Error):  # on failure the next master expects a log, and warns if it is missing
                self._change(self.extent._replace(is_open=False))
        self._database.close()

    def check(self) -> None:
        """Read the extent, and check the format of the journal.

        Raises
        ------
        FlqError
            If it has another format, or is damaged.
        """
        with self._reading():
            about, extent = read_about(self._database, self.path)
        found = about.get("format")
        check_format(self.path, 3 if extent is None and found == FORMAT else found)
        assert extent is not None
        self.extent = extent

    def check_tables(self) -> None:
        """Check the integrity of the file, and that its tables are those of :data:`TABLES`.

        Raises
        ------
        FlqError
            If it is damaged.
        """
        with self._reading():
            (found,) = self._database.execute("PRAGMA integrity_check(1)").fetchone()
            tables = [sql for (sql,) in self._database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        if found != "ok":
            raise damaged(self.path, " ".join(found.split()))
        if sorted(tables) != sorted(STATEMENTS):
            raise damaged(self.path, "its tables were changed")

    # -- writing -------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Write a batch in one transaction, which is on disk when this returns.

        Raises
        ------
        sqlite3.Error
            If it cannot be written.
        """
        extent, about = self.extent, batch.about
        with _Transaction(self._database):
            self._insert("entries", ((seq, *_columns(entry)) for seq, entry in batch.entries))
            self._insert("deltas", ((version, index, memoryview(payload)) for version, index, payload in batch.deltas))
            n_tested = sum(not self._has("tested", "round", index) for index in {index for index, _ in batch.tested})
            for table, rows in (("rounds", batch.rounds), ("tested", batch.tested)):
                self._insert(table, ((index, json.dumps(value)) for index, value in rows), "OR REPLACE")
            n_about = sum(not self._has("about", "key", key) for key in about)
            self._insert("about", ((key, json.dumps(value)) for key, value in about.items()), "OR REPLACE")
            extent = extent._replace(
                seq=max([extent.seq] + [seq for seq, _ in batch.entries]),
                version=max([extent.version] + [version for version, _, _ in batch.deltas]),
                n_rounds=max([extent.n_rounds] + [index for index, _ in batch.rounds]),
                n_tested=extent.n_tested + n_tested,
                n_about=extent.n_about + n_about,
            )
            self._put(extent)
        self.extent = extent

    def forget(self, seq: int, version: int) -> None:
        """Drop the entries up to ``seq`` and the deltas up to ``version``.

        Raises
        ------
        sqlite3.Error
            If they cannot be dropped now.
        """
        extent = self.extent
        self._change(extent._replace(forgotten=max(extent.forgotten, seq), dropped=max(extent.dropped, version)))

    def leap(self, seq: int, version: int, n_rounds: int) -> None:
        """Continue after a snapshot that is newer than the journal's entries and deltas.

        Raises
        ------
        sqlite3.Error
            If the journal cannot be written now.
        """
        self._change(self.extent._replace(forgotten=seq, seq=seq, dropped=version, version=version, n_rounds=n_rounds))

    def settle(self) -> None:
        """Sync the journal to disk: its last writer may have been killed before its sync.

        Raises
        ------
        sqlite3.Error
            If it cannot be written.
        """
        self._change(self.extent._replace(is_open=True))
        self.checkpoint()
        self._is_mine = True

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the file, and restart the log; return whether all of it was moved.

        Later damage of the log then affects nothing before this. The checkpoint does not wait for readers; a reader
        may keep a part of the log until the next checkpoint.

        Raises
        ------
        sqlite3.Error
            If it cannot be written.
        """
        is_busy, n_frames, n_done = self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._change(self.extent)
        return not is_busy and n_frames == n_done

    def _change(self, extent: Extent) -> None:
        """Write the extent, and delete the rows before it."""
        with _Transaction(self._database):
            self._database.execute("DELETE FROM entries WHERE seq <= ?", (extent.forgotten,))
            self._database.execute("DELETE FROM deltas WHERE version <= ?", (extent.dropped,))
            self._put(extent)
        self.extent = extent

    def _put(self, extent: Extent) -> None:
        self._insert("about", [(EXTENT, json.dumps(extent))], "OR REPLACE")

    def _insert(self, table: str, rows: Any, how: str = "") -> None:
        for row in rows:
            self._database.execute(
                "INSERT %s INTO %s VALUES (%s?)" % (how, table, "?, " * len(row)), (*row, digest(table, row))
            )

    def _has(self, table: str, column: str, key: Any) -> bool:
        return (
            self._database.execute(
                "SELECT EXISTS (SELECT 1 FROM %s WHERE %s = ?)" % (table, column), (key,)
            ).fetchone()[0]
            == 1
        )

    # -- reading -------------------------------------------------------------------------

    def about(self) -> Dict[str, Any]:
        """Return the table about: key -> value.

        Raises
        ------
        FlqError
            If it is damaged.
        """
        with self._reading():
            return read_about(self._database, self.path)[0]

    def last_seq(self) -> int:
        """Return the number of the newest entry, which may have been dropped; 0 before the first."""
        return self.extent.seq

    def entries(self, after: int) -> Iterator[Tuple[int, str, Dict[str, Any], Optional[bytes]]]:
        """Yield number, kind, body and frame of the entries after a number, in their order.

        Raises
        ------
        FlqError
            If one is damaged or missing.
        """
        last = after
        with self._reading():
            rows = read_rows(
                self._database, "entries", "seq, kind, body, frame", "WHERE seq > ? ORDER BY seq", (after,)
            )
            for (seq, kind, body, frame), is_whole in rows:
                last += 1
                if not is_whole or seq != last:
                    raise damaged(self.path, "entry %d is damaged or missing" % last)
                yield seq, kind, json.loads(body), frame
        if last != max(after, self.extent.seq):
            raise damaged(self.path, "its entries end with %d, expected %d" % (last, self.extent.seq))

    def deltas(self) -> List[Tuple[int, int, Payload]]:
        """Return version, round and payload of the intact deltas, ascending."""
        with self._reading():
            rows = read_numbered(
                self._database,
                self.path,
                "deltas",
                "version, round, payload",
                "delta",
                self.extent.dropped,
                self.extent.version,
            )
        return [(version, index, np.frombuffer(payload, np.uint8)) for version, index, payload in rows]

    def rounds(self) -> List[Tuple[int, Any]]:
        """Return the intact reports of the closed rounds, ascending."""
        with self._reading():
            rows = read_numbered(
                self._database, self.path, "rounds", "round, report", "the report of round", 0, self.extent.n_rounds
            )
        return [(index, json.loads(value)) for index, value in rows]

    def tested(self) -> List[Tuple[int, Any]]:
        """Return the intact test results, ascending by round."""
        with self._reading():
            return read_tested(self._database, self.path, self.extent.n_tested)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn errors of reading into an FlqError."""
        try:
            yield
        except (sqlite3.DatabaseError, ValueError) as error:  # ValueError: JSON of a journal without digests
            raise damaged(self.path, str(error)) from None


class _Transaction:
    """A context that commits, or rolls back after an exception."""

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
    """Make the journal of a new run in its folder.

    Raises
    ------
    OSError, sqlite3.Error
        If it cannot be written.
    """
    path = os.path.join(run_dir, NAME)
    journal = Journal(path, _open_to_write(path))
    with _Transaction(journal._database):
        for statement in STATEMENTS:
            journal._database.execute(statement)
        about = dict(about, format=FORMAT)
        journal._insert("about", ((key, json.dumps(value)) for key, value in about.items()))
        journal._put(Extent(n_about=len(about)))
    journal.extent = Extent(n_about=len(about))
    journal._is_mine = True
    journal.checkpoint()
    sync_folder(run_dir)  # the names of the file and its log
    return journal


def open_journal(run_dir: str, only_to_look: bool = False) -> Journal:
    """Open the journal of a run.

    Parameters
    ----------
    run_dir : str
    only_to_look : bool
        Open for reading, without checking all of the file. All reads see one moment, also while a master writes.

    Raises
    ------
    FlqError
        If there is no journal, it is damaged, or it is of another version of FLQ.
    """
    path = os.path.join(run_dir, NAME)
    if not os.path.isfile(path):
        raise ConfigError(
            "%s has no journal, so there is no run to resume" % run_dir, "name a folder of report.results_dir"
        )
    try:
        ended_early = None if only_to_look else check_log(path)  # before SQLite drops a damaged end
        has_log = os.path.exists(path + LOG)
        journal = Journal(path, open_to_read(path) if only_to_look else _open_to_write(path))
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error)) from None
    try:
        if only_to_look:
            journal._database.execute("BEGIN")
        journal.check()
        if not only_to_look:
            journal.check_tables()
            if ended_early:
                logger.warning("%s", ended_early)
            if journal.extent.is_open and not has_log:
                logger.warning(
                    "the journal %s was not closed, and its log (%s) is missing: entries after %d, if any, are lost",
                    path,
                    NAME + LOG,
                    journal.last_seq(),
                )
            journal.settle()
    except sqlite3.DatabaseError as error:
        journal.close()
        raise damaged(path, str(error)) from None
    except BaseException:
        journal.close()
        raise
    return journal


def check_format(path: str, found: Any) -> None:
    """Raise ConfigError if a journal has another format than this release writes; it names the release to use."""
    if found == FORMAT:
        return
    release = finished_by(found)
    hint = "resume with the version of FLQ that began the run"
    if release is not None:
        hint = "finish the run with FLQ %s; python -m flq.report can read it" % release
    raise ConfigError("the journal %s has format %r, expected %d" % (path, found, FORMAT), hint)


def _open_to_write(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    database.text_factory = as_text
    try:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "journal_size_limit=%d" % LARGEST_WAL_BYTES):
            database.execute("PRAGMA " + pragma)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _columns(entry: JournalEntry) -> Tuple[str, str, Optional[memoryview]]:
    return entry.kind, json.dumps(entry.body), None if entry.frame is None else memoryview(entry.frame)
