"""Damage to any column, and any missing row, of a journal is detected when it is read."""

import json
import logging
import os
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from old_journal import make_format_4, old_journal, write_format_5

from flq.core.layout import Layout, Tensor
from flq.errors import ConfigError, FlqError
from flq.master.storage.journal import NAME, Batch, create, open_journal
from flq.protocol.events import Answered, RoundDue
from flq.protocol.journal_codec import to_entry
from flq.protocol.messages import Answer, Kind
from flq.protocol.wire import encode, link_of
from flq.report.recorded import about_of, read_journal
from flq.run_end import KEY, RunEnd, Stage, end_of

LINK = link_of("run", Layout((Tensor("w", (5,)),)))
PAYLOAD = np.arange(20, dtype=np.uint8)
ANSWER = Answer(Kind.UPLOAD, 1, 1, 7, 3, 0.5, 4.0, cost_bits=160, codec_id=32, payload=PAYLOAD)
UPLOAD = Answered(0, ANSWER, b"".join(map(bytes, encode(ANSWER, LINK))))
REPORT = {
    "report": {
        "roll_call": {"0": "uploaded"},
        "round_index": 1,
        "training_loss": 0.5,
        "payload_bits_up": 1,
        "payload_bits_down": 1,
        "frame_bytes_up": 1,
        "frame_bytes_down": 1,
        "retransmitted_bytes": 0,
        "training_s": 0.1,
        "waiting_s": 0.1,
        "round_s": 0.2,
        "own_accuracy": None,
        "own_loss": None,
    },
    "wire": [1, 2],
    "energy_j": None,
}


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a run with three rows in each table."""
    journal = create(str(tmp_path), {"run_id": "run", "settings": {}, "ended": None})
    numbers = (1, 2, 3)
    reports = [(n, dict(REPORT, report=dict(REPORT["report"], round_index=n))) for n in numbers]
    journal.write(
        Batch(
            [(n, to_entry(UPLOAD if n < 3 else RoundDue(3))) for n in numbers],
            [(n, n, PAYLOAD + n) for n in numbers],
            reports,
            [(n, [0.1 * n, 0.9]) for n in numbers],
            {"counted": {"traffic": 1}},
        )
    )
    journal.close()
    return str(tmp_path)


def change(folder, statement):
    with closing(sqlite3.connect(os.path.join(folder, NAME))) as database:
        assert database.execute(statement).rowcount == 1
        database.commit()


def everything(folder):
    """Read everything that a restart reads."""
    journal = open_journal(folder)
    try:
        return (
            journal.about(),
            list(journal.entries(after=0)),
            [row[0] for row in journal.deltas()],
            [index for index, _ in journal.rounds()],
            [index for index, _ in journal.tested()],
        )
    finally:
        journal.close()


def test_an_undamaged_journal_is_read(folder, caplog):
    about, entries, *numbers = everything(folder)
    assert about["counted"] == {"traffic": 1} and len(entries) == 3 and numbers == [[1, 2, 3]] * 3
    assert len(read_journal(folder).rows) == 3 and not caplog.records


@pytest.mark.parametrize(
    "statement, words",
    [
        ("UPDATE entries SET kind = 'answerec' WHERE seq = 2", "entry 2 is damaged or missing"),
        ("UPDATE entries SET body = '{ }' WHERE seq = 2", "entry 2 is"),
        ("UPDATE entries SET frame = zeroblob(length(frame)) WHERE seq = 2", "entry 2 is"),
        ("UPDATE entries SET frame = substr(frame, 2) WHERE seq = 2", "entry 2 is"),
        ("UPDATE entries SET frame = CAST(frame || '' AS TEXT) WHERE seq = 2", "entry 2 is"),
        ("UPDATE entries SET frame = substr(frame, 1, length(frame) - 20) || zeroblob(20) WHERE seq = 2", "entry 2 is"),
        ("UPDATE entries SET frame = NULL WHERE seq = 2", "entry 2 is"),
        ("UPDATE entries SET digest = digest + 1 WHERE seq = 2", "entry 2 is"),
        ("UPDATE entries SET seq = 4 WHERE seq = 3", "entry 3 is"),
        ("DELETE FROM entries WHERE seq = 2", "entry 2 is"),
        ("DELETE FROM entries WHERE seq = 1", "entry 1 is"),
        ("DELETE FROM entries WHERE seq = 3", "its entries end with 2, expected 3"),
        ("INSERT INTO entries SELECT 4, kind, body, frame, digest FROM entries WHERE seq = 1", "entry 4 is"),
        ("UPDATE about SET value = '\"rum\"' WHERE key = 'run_id'", "its row 'run_id' about the run is damaged"),
        ("UPDATE about SET key = 'run_ie' WHERE key = 'run_id'", "its row 'run_ie' about the run is damaged"),
        ("UPDATE about SET value = '3' WHERE key = 'format'", "'format' about the run is damaged"),
        ("DELETE FROM about WHERE key = 'ended'", "has 5 rows about the run, expected 6"),
        ("DELETE FROM about WHERE key = 'extent'", "expected 1"),
        (
            "UPDATE about SET value = '[0, 2, 0, 3, 3, 3, 5, false]' WHERE key = 'extent'",
            "'extent' about the run is damaged",
        ),
    ],
)
def test_damage_to_necessary_rows_is_rejected(folder, statement, words):
    change(folder, statement)
    sentence = "the journal %s/journal.sqlite cannot be read: .*%s" % (folder, words)
    with pytest.raises(FlqError, match=sentence) as error:
        everything(folder)
    assert "restore the folder of the run from a backup, or begin a new run" in str(error.value)


@pytest.mark.parametrize(
    "statement, left, words",
    [
        (
            "UPDATE deltas SET payload = zeroblob(20) WHERE version = 2",
            [[1, 3], [1, 2, 3], [1, 2, 3]],
            "left out: delta 2",
        ),
        ("UPDATE deltas SET round = 3 WHERE version = 2", [[1, 3], [1, 2, 3], [1, 2, 3]], "left out: delta 2"),
        ("DELETE FROM deltas WHERE version = 3", [[1, 2], [1, 2, 3], [1, 2, 3]], "left out: delta 3"),
        ("UPDATE rounds SET report = '{}' WHERE round = 2", [[1, 2, 3], [1, 3], [1, 2, 3]], "the report of round 2"),
        ("DELETE FROM rounds WHERE round = 3", [[1, 2, 3], [1, 2], [1, 2, 3]], "the report of round 3"),
        (
            "UPDATE tested SET results = '[0.1, 0.8]' WHERE round = 2",
            [[1, 2, 3], [1, 2, 3], [1, 3]],
            "the test results of 1 rounds",
        ),
        ("DELETE FROM tested WHERE round = 1", [[1, 2, 3], [1, 2, 3], [2, 3]], "the test results of 1 rounds"),
    ],
)
def test_damage_to_unnecessary_rows_is_skipped_with_a_log_line(folder, caplog, statement, left, words):
    change(folder, statement)
    assert list(everything(folder)[2:]) == left
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "the journal %s/journal.sqlite is damaged" % folder in record.getMessage() and words in record.getMessage()


def test_counts_that_are_damaged_are_left_out_and_come_back(folder, caplog):
    change(folder, "UPDATE about SET value = '{\"traffic\": 3}' WHERE key = 'counted'")
    journal = open_journal(folder)
    assert "counted" not in journal.about() and "left out: the counts so far" in caplog.text
    journal.write(Batch([], [], [], [], {"counted": 4}))
    journal.close()
    assert everything(folder)[0]["counted"] == 4


def test_the_report_leaves_out_and_refuses_the_same(folder, caplog):
    change(folder, "UPDATE rounds SET report = replace(report, '0.5', '0.6') WHERE round = 2")
    change(folder, "UPDATE tested SET results = '[0.1, 0.8]' WHERE round = 3")
    rows = read_journal(folder).rows
    assert [(row.round_index, row.accuracy) for row in rows] == [(1, 0.9), (3, None)]
    assert "left out: the report of round 2" in caplog.text and "the test results of 1 rounds" in caplog.text
    change(folder, "UPDATE about SET value = '\"rum\"' WHERE key = 'run_id'")
    with pytest.raises(FlqError, match="its row 'run_id' about the run is damaged"):
        read_journal(folder)


def test_tables_that_are_not_those_it_was_made_with_are_refused(folder):
    with closing(sqlite3.connect(os.path.join(folder, NAME))) as database:
        database.execute("ALTER TABLE tested ADD COLUMN more")
    with pytest.raises(FlqError, match="its tables were changed"):
        open_journal(folder)


def test_pages_that_are_used_twice_are_refused(folder):
    with closing(sqlite3.connect(os.path.join(folder, NAME))) as database:
        pages = dict(database.execute("SELECT name, rootpage FROM sqlite_master"))
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = 'tested'", (pages["rounds"],))
        database.commit()
    with pytest.raises(FlqError, match="cannot be read: .*page"):
        open_journal(folder)


def test_a_killed_run_without_its_log_has_one_warning(tmp_path, caplog):
    journal = create(str(tmp_path), {"run_id": "run"})
    journal.write(Batch([(1, to_entry(RoundDue(1)))], [], [], [], {}))
    assert journal.checkpoint()
    journal.write(Batch([(2, to_entry(RoundDue(2)))], [], [], [], {}))
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / NAME).write_bytes((tmp_path / NAME).read_bytes())  # as a restart finds it without the log
    journal.close()
    for n_lines in (1, 1):
        journal = open_journal(str(copy))
        assert journal.last_seq() == 1 and len(list(journal.entries(after=0))) == 1
        journal.close()
        assert len(caplog.records) == n_lines
    assert "its log (journal.sqlite-wal) is missing: entries after 1, if any, are lost" in caplog.text


def test_a_reader_does_not_delay_a_checkpoint(tmp_path):
    journal = create(str(tmp_path), {"run_id": "run"})
    with closing(sqlite3.connect(str(tmp_path / NAME), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM about").fetchall()
        journal.write(Batch([(1, to_entry(UPLOAD))], [], [], [], {}))
        assert not journal.checkpoint()
    assert journal.checkpoint()
    journal.close()


def test_a_run_of_an_older_release_is_refused_by_the_name_of_the_one_that_finishes_it_and_read(tmp_path):

    old_journal(
        str(tmp_path),
        {"run_id": "old", "settings": {"system": {}}, "ended": None},
        rounds=[(1, json.dumps(REPORT))],
        tested=[(1, "[0.25, 0.75]")],
    )
    before = (tmp_path / NAME).read_bytes()
    for only_to_look in (True, False):
        with pytest.raises(ConfigError, match="has format 3, expected 6 .finish the run with FLQ 0.1.0"):
            open_journal(str(tmp_path), only_to_look)
    found = read_journal(str(tmp_path))
    assert (found.run_id, found.rows[0].round_index, found.rows[0].accuracy) == ("old", 1, 0.75)
    assert about_of(str(tmp_path))["format"] == 3
    assert (tmp_path / NAME).read_bytes()[100:] == before[100:]


def test_so_is_a_run_of_0_2_0(tmp_path):
    journal = create(str(tmp_path), {"run_id": "old", "settings": {"system": {}}, KEY: RunEnd().to_json()})
    journal.write(Batch([], [], [(1, REPORT)], [(1, [0.25, 0.75])], {}))
    journal.close()
    make_format_4(str(tmp_path), reason="interrupted by signal 15, it can be resumed")
    for only_to_look in (True, False):
        with pytest.raises(ConfigError, match="has format 4, expected 6 .finish the run with FLQ 0.2.0"):
            open_journal(str(tmp_path), only_to_look)
    found = read_journal(str(tmp_path))
    assert (found.rows[0].round_index, found.rows[0].accuracy) == (1, 0.75)
    assert end_of(found.about) == RunEnd(Stage.RUNNING, "interrupted by signal 15, it can be resumed")


def test_so_is_a_run_of_the_release_before_this(tmp_path):
    write_format_5(str(tmp_path))
    for only_to_look in (True, False):
        with pytest.raises(ConfigError, match="has format 5, expected 6 .finish the run with FLQ 0.3.0"):
            open_journal(str(tmp_path), only_to_look)
    found = read_journal(str(tmp_path))
    assert found.run_id == "20261130_213508_bc30" and found.settings.model.name == "quadratic"
    assert [row.round_index for row in found.rows] == [1, 2, 3] and found.rows[2].test_loss == 0.013288002436188303
    assert found.roll_calls == [{0: "uploaded", 1: "uploaded"}] * 3
    assert end_of(found.about) == RunEnd(Stage.OVER, "3 rounds are done", [0, 1])
