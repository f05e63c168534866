"""Reads a journal and detects damage that SQLite does not: changed or missing rows, a damaged write-ahead log.

Each row has a digest of its table's name and all of its columns. The log has checksums, but SQLite silently drops
everything from the first wrong one on, committed transactions included. The master and the report use this module; the
report also reads journals of format 3 and older, which have no digests.

Damaged rows that a run can do without are left out and logged. Any other damage is an error that names the file.
"""

import hashlib
import json
import logging
import os
import sqlite3
import struct
import sys
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote

import numpy as np

from .errors import FlqError

logger = logging.getLogger(__name__)

NAME = "journal.sqlite"
LOG = "-wal"  # suffix of the write-ahead log
BUSY_S = 5.0  # how long another process may hold the file
RESTORE = "restore the folder of the run from a backup, or begin a new run"
EXTENT, COUNTED = "extent", "counted"  # keys of about; the second is not essential
DIGEST_BYTES = 8  # the size of SQLite's integers

LOG_HEAD, FRAME_HEAD = 32, 24
MAGIC = 0x377F0682  # the last bit says how checksums read the words: 0 = little-endian, 1 = big-endian
PAGE_SIZES = [1 << i for i in range(9, 17)]
USUAL_PAGE = 4096
BLOCK_BYTES = 1 << 23  # size of one read of the log


# -- rows --------------------------------------------------------------------------------


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


# -- the write-ahead log -----------------------------------------------------------------


class _Head(NamedTuple):
    """The head of a log; ``is_whole`` if SQLite accepts it."""

    is_whole: bool
    page_size: int
    is_big_endian: bool
    salts: Tuple[int, int]
    checksum: Tuple[int, int]


class _Frames(NamedTuple):
    """Flags per frame of a log: it is used, it ends a transaction, it has the head's salts, its checksum is right."""

    is_used: np.ndarray
    commits: np.ndarray
    is_salted: np.ndarray
    follows: np.ndarray


def check_log(path: str) -> Optional[str]:
    """Verify that the write-ahead log of a journal holds all committed transactions.

    A transaction begins only when the previous one is on disk, so a power failure can cut short only the last one. A
    wrong frame followed by a complete transaction is damage.

    Parameters
    ----------
    path : str
        Of the journal.

    Returns
    -------
    str or None
        A warning if the last transaction is incomplete and therefore left out.

    Raises
    ------
    FlqError
        If the log is damaged, so that committed transactions would be lost.
    """
    try:
        with open(path + LOG, "rb") as stream:
            for is_last in (False, False, True):  # a master may restart the log meanwhile, or append to it
                head = _head_of(stream)
                if head is None:
                    return None
                frames = _frames_of(stream, head)
                if _head_of(stream) == head:
                    try:
                        return _verdict(path, head, frames)
                    except FlqError:
                        if is_last:
                            raise
    except FileNotFoundError:
        pass
    return None


def _verdict(path: str, head: _Head, frames: _Frames) -> Optional[str]:
    is_good = frames.is_salted & frames.follows & head.is_whole
    wrong = int(np.argmin(is_good)) if not is_good.all() else is_good.size  # the first frame that SQLite rejects
    ours = frames.is_salted[wrong:].copy()  # frames from before the log's last restart have other salts
    if head.is_whole and ours.size:
        ours[0] |= frames.follows[wrong]
    if not ours.any():
        return (
            None
            if head.is_whole or not frames.is_used.any()
            else ("the head of the log %s is incomplete: the log is ignored" % (path + LOG))
        )
    ends = np.flatnonzero(frames.commits[wrong:] & ours) + wrong
    later = [end for end in ends[1:] if frames.follows[end]]
    if later if head.is_whole else ends.size:
        raise FlqError(
            "the log %s is damaged at byte %d, and later transactions cannot be read"
            % (path + LOG, LOG_HEAD + wrong * (FRAME_HEAD + head.page_size) if head.is_whole else 0),
            "restore the folder of the run from a backup; or delete this file, and the run resumes from its "
            "newest snapshot, without later changes",
        )
    return (
        "the last transaction in the log %s is incomplete and left out: the power failed while it was written, before "
        "any reply; or the file is damaged" % (path + LOG)
    )


def _head_of(stream: BinaryIO) -> Optional[_Head]:
    stream.seek(0)
    raw = stream.read(LOG_HEAD)
    if len(raw) < LOG_HEAD:
        return None
    magic, version, page_size, _, *salts_and_sums = struct.unpack(">8I", raw)
    is_big_endian = bool(magic & 1) if magic | 1 == MAGIC | 1 else sys.byteorder == "big"
    words = np.frombuffer(raw[:24], ">u4" if is_big_endian else "<u4").astype(np.uint32)
    first, second = _weights(3) @ words
    is_whole = (
        magic | 1 == MAGIC | 1 and page_size in PAGE_SIZES and (int(first), int(second)) == tuple(salts_and_sums[2:])
    )
    return _Head(
        is_whole,
        page_size if page_size in PAGE_SIZES else USUAL_PAGE,
        is_big_endian,
        tuple(salts_and_sums[:2]),
        tuple(salts_and_sums[2:]),
    )


def _frames_of(stream: BinaryIO, head: _Head) -> _Frames:
    """Read all complete frames; each checksum is compared given the previous frame's, as stored in the file."""
    size = FRAME_HEAD + head.page_size
    n_steps = (8 + head.page_size) // 8
    weights, start = _weights(n_steps), _powers(n_steps)[-1]
    before = np.array([head.checksum], np.uint32)
    parts = []  # type: List[Tuple[np.ndarray, ...]]
    stream.seek(LOG_HEAD)
    while True:
        block = stream.read(max(1, BLOCK_BYTES // size) * size)
        n_frames = len(block) // size
        if not n_frames:
            break
        raw = np.frombuffer(block, np.uint8, n_frames * size).reshape(n_frames, size)
        fields = np.ascontiguousarray(raw[:, :FRAME_HEAD]).view(">u4").astype(np.uint32)
        covered = np.concatenate((raw[:, :8], raw[:, FRAME_HEAD:]), axis=1)
        words = covered.view(">u4" if head.is_big_endian else "<u4").astype(np.uint32)
        sums = fields[:, 4:]
        before = np.concatenate((before, sums))
        expected = before[:-1] @ start.T + words @ weights.T
        is_same = fields[:, 2:4] == np.array(head.salts, np.uint32)
        is_used = fields[:, 0] != 0  # the number of its page
        parts.append(
            (
                is_used,
                fields[:, 1] != 0,
                is_used & (is_same.all(axis=1) if head.is_whole else is_same.any(axis=1)),
                (expected == sums).all(axis=1),
            )
        )
        before = before[-1:]
    return (
        _Frames(*(np.concatenate(columns) for columns in zip(*parts)))
        if parts
        else _Frames(*(np.zeros(0, bool) for _ in _Frames._fields))
    )


def _powers(n_steps: int) -> np.ndarray:
    """Return the powers 0 .. n_steps of the step's matrix, (s, t) -> (s + t, s + 2 t), modulo 2**32."""
    powers = [(1, 0, 0, 1)]  # type: List[Tuple[int, ...]]
    for _ in range(n_steps):
        a, b, c, d = powers[-1]
        powers.append(tuple(value & 0xFFFFFFFF for value in (a + c, b + d, a + 2 * c, b + 2 * d)))
    return np.array(powers, np.uint32).reshape(-1, 2, 2)


def _weights(n_steps: int) -> np.ndarray:
    """Return the weight of each of the 2 n_steps words in both sums, shape (2, 2 n_steps).

    A step reads two words x, y: s += x + t, then t += y + s.
    """
    per_step = _powers(n_steps)[:-1][::-1] @ np.array([[1, 0], [1, 1]], np.uint32)  # (steps, sums, words)
    return np.ascontiguousarray(per_step.transpose(1, 0, 2).reshape(2, -1))
