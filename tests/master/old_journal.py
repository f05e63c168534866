"""Journals in the formats of older releases.

Format 3 (FLQ 0.1.0): no row has a digest. Format 4 (FLQ 0.2.0): the end of a run is several rows of the table about.
Format 5 (FLQ 0.3.0): workers join without a report of their data; journal_format_5.sql is such a journal, as its master
wrote it: the quadratic problem, 3 rounds of two workers.
"""

import json
import os
import sqlite3
from contextlib import closing

from flq.journal_file import EXTENT, Extent, digest
from flq.run_end import KEY

FORMAT_5 = os.path.join(os.path.dirname(os.path.abspath(__file__)), "journal_format_5.sql")
TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, head BLOB, payload BLOB);
CREATE TABLE deltas (version INTEGER PRIMARY KEY, round INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE rounds (round INTEGER PRIMARY KEY, report TEXT NOT NULL);
CREATE TABLE tested (round INTEGER PRIMARY KEY, results TEXT NOT NULL);
"""


def old_journal(folder, about=(), rounds=(), tested=(), entries=()):
    """Write one into a folder: ``about`` as values, rows of the others as texts; of entries number, kind and body."""
    with closing(sqlite3.connect(os.path.join(folder, "journal.sqlite"))) as database:
        database.executescript(TABLES)
        database.executemany(
            "INSERT INTO about VALUES (?, ?)",
            [(key, json.dumps(value)) for key, value in dict(about, format=3).items()],
        )
        database.executemany("INSERT INTO rounds VALUES (?, ?)", rounds)
        database.executemany("INSERT INTO tested VALUES (?, ?)", tested)
        database.executemany("INSERT INTO entries VALUES (?, ?, ?, NULL, NULL)", entries)
        database.commit()


def make_format_4(folder, ended=None, reason=None):
    """Turn the closed journal in a folder into one of format 4."""
    with closing(sqlite3.connect(os.path.join(folder, "journal.sqlite"))) as database:
        about = {key: json.loads(value) for key, value in database.execute("SELECT key, value FROM about")}
        del about[KEY]
        about.update(format=4, ended=ended, reason=reason, heard=[])
        about[EXTENT] = Extent(*about[EXTENT])._replace(n_about=len(about) - 1)
        rows = [(key, json.dumps(value)) for key, value in about.items()]
        database.execute("DELETE FROM about")
        database.executemany("INSERT INTO about VALUES (?, ?, ?)", [(*row, digest("about", row)) for row in rows])
        database.commit()


def write_format_5(folder):
    """Write the journal of an ended run of format 5 into a folder."""
    with open(FORMAT_5, encoding="utf-8") as stream, closing(
        sqlite3.connect(os.path.join(folder, "journal.sqlite"))
    ) as db:
        db.executescript(stream.read())
