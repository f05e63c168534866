"""The journal's log: SQLite drops everything from the first wrong frame on, and FLQ detects this."""

import os
import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from flq import write_ahead_log
from flq.errors import FlqError
from flq.journal_file import NAME, digest, open_to_read
from flq.write_ahead_log import FRAME_HEAD, LOG, LOG_HEAD, check_log

N_ROWS = 12


@pytest.fixture(scope="module", params=[512, 4096])
def log(request, tmp_path_factory):
    """Return the path of an unclosed database, with one transaction per row in its log."""
    folder = str(tmp_path_factory.mktemp("log"))
    path = os.path.join(folder, NAME)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA page_size = %d" % request.param)
        for pragma in "journal_mode = WAL", "wal_autocheckpoint = 0":
            database.execute("PRAGMA " + pragma)
        database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, content BLOB)")
        for number in range(N_ROWS):
            database.execute("INSERT INTO rows VALUES (?, ?)", (number, os.urandom(2000)))
        left = os.path.join(folder, "left")
        shutil.copytree(folder, left, ignore=lambda *_: ["left", NAME + "-shm"])
    return os.path.join(left, NAME)


@pytest.fixture
def copy(log, tmp_path):
    """Return a copy of it."""
    for ending in "", LOG:
        shutil.copy(log + ending, str(tmp_path / (NAME + ending)))
    return str(tmp_path / NAME)


def rewrite(path, change):
    """Change the bytes of the log; return them as they were."""
    with open(path + LOG, "r+b") as stream:
        before = stream.read()
        content = bytearray(before)
        change(content)
        stream.seek(0)
        stream.truncate()
        stream.write(content)
    return before


def frame_size(path):
    with open(path + LOG, "rb") as stream:
        return FRAME_HEAD + int.from_bytes(stream.read(12)[8:], "big")


def n_rows(path):
    """Return the number of rows that SQLite finds; it may remove the log."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT COUNT(*) FROM rows").fetchone()[0]


def test_a_whole_log_is_whole(copy, monkeypatch):
    assert check_log(copy) is None
    monkeypatch.setattr(write_ahead_log, "BLOCK_BYTES", 2 * frame_size(copy))  # in many pieces, too
    assert check_log(copy) is None and n_rows(copy) == N_ROWS


def test_every_flip_that_drops_a_transaction_is_rejected_or_reported(log, tmp_path):
    draws, outcomes = random.Random(3), {"refused": 0, "said": 0, "harmless": 0}
    size = os.path.getsize(log + LOG)
    places = list(range(LOG_HEAD + FRAME_HEAD)) + [draws.randrange(size) for _ in range(120)]
    places += [size - 1 - draws.randrange(frame_size(log)) for _ in range(20)]  # in the last transaction
    for number, place in enumerate(places):
        path = str(tmp_path / str(number))
        for ending in "", LOG:
            shutil.copy(log + ending, path + ending)

        def flip(content, place=place):
            content[place] ^= 1 << draws.randrange(8)

        rewrite(path, flip)
        try:
            outcome = "said" if check_log(path) else "harmless"
        except FlqError as error:
            outcome = "refused"
            assert path + LOG in str(error) and "delete this file, and the run resumes" in str(error)
        if outcome == "harmless":
            assert n_rows(path) == N_ROWS
        outcomes[outcome] += 1
    assert outcomes["refused"] > 100 and outcomes["said"] > 10


@pytest.mark.parametrize("n_lost", [1, 300])
def test_a_transaction_that_the_power_cut_short_is_left_out_with_a_sentence(copy, n_lost):
    size = frame_size(copy)

    def tear(content):
        content[-size // 2 - n_lost : -size // 2] = bytes(n_lost)  # a part of its last page never came

    rewrite(copy, tear)
    assert "the last transaction in the log %s%s is incomplete and left out" % (copy, LOG) in check_log(copy)
    assert n_rows(copy) == N_ROWS - 1


def test_a_log_that_ends_early_is_one_that_was_not_written_further(copy):
    rewrite(copy, lambda content: content.__delitem__(slice(-frame_size(copy) // 2, None)))
    assert check_log(copy) is None
    assert n_rows(copy) == N_ROWS - 1


def test_frames_of_an_earlier_use_of_the_file_are_not_looked_at(copy):
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        assert database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
        database.execute("INSERT INTO rows VALUES (100, 'the log begins anew, over frames that are not needed')")
        assert check_log(copy) is None
        damage = LOG_HEAD + 10 * frame_size(copy) + 100
        rewrite(copy, lambda content: content.__setitem__(damage, content[damage] ^ 1))
        assert check_log(copy) is None


@pytest.mark.parametrize("content", [b"", b"x" * 31, bytes(32), bytes(5000)])
def test_an_empty_log_counts_as_none(tmp_path, content):
    (tmp_path / (NAME + LOG)).write_bytes(content)
    assert check_log(str(tmp_path / NAME)) is None


def test_a_head_of_zeros_before_frames_is_reported(copy):
    rewrite(copy, lambda content: content.__setitem__(slice(LOG_HEAD), bytes(LOG_HEAD)))
    assert "the head of the log %s%s is incomplete: the log is ignored" % (copy, LOG) in check_log(copy)


def test_a_reader_rejects_a_damaged_log_and_leaves_it(copy):
    place = LOG_HEAD + FRAME_HEAD + 100
    rewrite(copy, lambda content: content.__setitem__(place, content[place] ^ 1))
    size = os.path.getsize(copy + LOG)
    with pytest.raises(FlqError, match="is damaged at byte %d" % LOG_HEAD):
        open_to_read(copy)
    assert os.path.getsize(copy + LOG) == size


def test_a_digest_tells_columns_types_and_tables_apart():
    rows = [
        ("t", (1, "ab", None)),
        ("u", (1, "ab", None)),
        ("t", ("1", "ab", None)),
        ("t", (1, b"ab", None)),
        ("t", (1, "a", "b", None)),
        ("t", (1, "ab", "None")),
        ("t", (1, "ab")),
        ("t", (1.0, "ab", None)),
    ]
    digests = [digest(table, row) for table, row in rows]
    assert len(set(digests)) == len(rows) and digest("t", (1, "ab", None)) == digests[0]
    assert digest("t", (b"ab",)) == digest("t", (memoryview(b"ab"),)) == digest("t", (bytearray(b"ab"),))
    assert all(-(1 << 63) <= value < 1 << 63 for value in digests)
