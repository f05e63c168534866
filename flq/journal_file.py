"""Reads a journal and detects damage that SQLite does not: changed or missing rows.

Each row has a digest of its table's name and all of its columns. The master and the report use this module; the report
also reads journals of format 3 and older, which have no digests.

Damaged rows that a run can do without are left out and logged. Any other damage is an error that names the file.
"""

import hashlib
import json
import logging
import os
import sqlite3
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote

from .errors import FlqError
from .write_ahead_log import LOG, check_log

logger = logging.getLogger(__name__)

NAME = "journal.sqlite"
BUSY_S = 5.0  # how long another process may hold the file
RESTORE = "restore the folder of the run from a backup, or begin a new run"
EXTENT, COUNTED = "extent", "counted"  # keys of about; the second is not essential
FINISHED_BY = {3: "0.1.0", 4: "0.2.0", 5: "0.3.0"}  # format of a journal -> the last release that resumes such a run
DIGEST_BYTES = 8  # the size of SQLite's integers


def finished_by(format_: Any) -> Optional[str]:
    """Return the last release that resumes runs of an older format; None if the format is not older."""
    return FINISHED_BY.get(max(format_, min(FINISHED_BY))) if isinstance(format_, int) else None


def digest(table: str, row: Sequence[Any]) -> int:
    """Return a 64-bit digest of a row: its table, and type, length and value of each column."""
    hashed = hashlib.blake2b(table.encode("ascii"), digest_size=DIGEST_BYTES)
    for value in row:
        if isinstance(value, (bytes, bytearray, memoryview)):
            data, kind = value, "bytes"
        else:
            data, kind = str(value).encode("utf-8", "surrogateescape"), type(value).__name__
        hashed.update(("/%s %d " % (kind, len(data))).encode("ascii"))
        hashed.update(data)
    return int.from_bytes(hashed.digest(), "big", signed=True)


class Extent(NamedTuple):
    """Which rows a journal must have.

    Attributes
    ----------
    forgotten, seq : int
        The entries after the first number, up to the second.
    dropped, version : int
        The deltas after the first version, up to the second.
    n_rounds : int
        The rounds 1 .. n_rounds.
    n_tested, n_about : int
        Numbers of rows, without that of the extent itself.
    is_open : bool
        A master has the run open or was killed, so there must be a log.
    """

    forgotten: int = 0
    seq: int = 0
    dropped: int = 0
    version: int = 0
    n_rounds: int = 0
    n_tested: int = 0
    n_about: int = 0
    is_open: bool = True


def damaged(path: str, how: str) -> FlqError:
    """Return the error for a damaged journal."""
    return FlqError("the journal %s cannot be read: %s" % (path, how), RESTORE)


def read_rows(
    database: sqlite3.Connection, table: str, columns: str, rest: str = "", parameters: Sequence[Any] = ()
) -> Iterator[Tuple[tuple, bool]]:
    """Yield rows of a table, and whether each matches its digest.

    Parameters
    ----------
    columns : str
        All columns, in SQL, without the digest, which is the last.
    rest : str, optional
        The clauses WHERE and ORDER BY.
    """
    for row in database.execute("SELECT %s, digest FROM %s %s" % (columns, table, rest), parameters):
        yield row[:-1], row[-1] == digest(table, row[:-1])


def read_about(database: sqlite3.Connection, path: str) -> Tuple[Dict[str, Any], Optional[Extent]]:
    """Return the table about of a journal, and its extent or, in a journal without digests, None.

    Raises
    ------
    FlqError
        If the table is damaged.
    """
    columns = [column[0] for column in database.execute("SELECT * FROM about LIMIT 0").description]
    if columns == ["key", "value"]:
        return {key: json.loads(value) for key, value in database.execute("SELECT key, value FROM about")}, None
    rows = list(read_rows(database, "about", "key, value"))
    for (key, _), is_whole in rows:
        if not is_whole and key != COUNTED:
            raise damaged(path, "its row %.20r about the run is damaged" % (key,))
        if not is_whole:
            logger.warning("the journal %s is damaged; left out: the counts so far", path)
    about = {key: json.loads(value) for (key, value), is_whole in rows if is_whole}
    extent = Extent(*about.pop(EXTENT, ()))
    if len(rows) != extent.n_about + 1:
        raise damaged(path, "it has %d rows about the run, expected %d" % (len(rows), extent.n_about + 1))
    return about, extent


def read_numbered(
    database: sqlite3.Connection, path: str, table: str, columns: str, what: str, after: int, last: int
) -> List[tuple]:
    """Return the intact rows numbered after + 1 to last, in order; log the damaged and missing ones.

    Parameters
    ----------
    columns : str
        The number comes first.
    what : str
        Name of such rows in the log.
    """
    rows = {row[0]: row for row, is_whole in read_rows(database, table, columns) if is_whole}
    lost = [str(number) for number in range(after + 1, last + 1) if number not in rows]
    if lost:
        logger.warning(
            "the journal %s is damaged; left out: %s %s",
            path,
            what,
            ", ".join(lost[:5]) + (" and %d others" % len(lost[5:]) if lost[5:] else ""),
        )
    return [rows[number] for number in range(after + 1, last + 1) if number in rows]


def read_tested(database: sqlite3.Connection, path: str, n_tested: int) -> List[Tuple[int, Any]]:
    """Return rounds and their test results, ascending; log how many are damaged or missing."""
    rows = [row for row, is_whole in read_rows(database, "tested", "round, results", "ORDER BY round") if is_whole]
    if len(rows) < n_tested:
        logger.warning("the journal %s is damaged; left out: the test results of %d rounds", path, n_tested - len(rows))
    return [(index, json.loads(value)) for index, value in rows]


def as_text(data: bytes) -> str:
    """Decode a text column; damage is no error here, since the digest detects it."""
    return data.decode("utf-8", "surrogateescape")


def open_to_read(path: str) -> sqlite3.Connection:
    """Open a journal for reading, also while a master writes it; otherwise leave its folder unchanged.

    Raises
    ------
    FlqError
        If the write-ahead log is damaged.
    sqlite3.Error
        If the journal cannot be opened.
    """
    has_log = os.path.exists(path + LOG)
    if has_log:
        check_log(path)
    database = sqlite3.connect(
        "file:%s?%s" % (quote(os.path.abspath(path)), "mode=ro" if has_log else "immutable=1"),
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
    )
    database.text_factory = as_text
    return database
