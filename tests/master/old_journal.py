"""Journals of format 3, as FLQ 0.1.0 wrote them: no row has a digest."""

import json
import os
import sqlite3
from contextlib import closing

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
