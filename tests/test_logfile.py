"""The disk space of a program's logs is bounded, after any number of starts."""

import logging
import os

import pytest

from flq import logfile
from flq.console import FOR_A_BAR
from flq.logfile import prune, say, set_up_logging

SECONDS = 1750000000  # some time or other


@pytest.fixture
def logger():
    """Return the programs' logger; handlers that the test adds are taken off and closed."""
    found = logging.getLogger("flq")
    before, level = list(found.handlers), found.level
    yield found
    for handler in found.handlers[:]:
        if handler not in before:
            found.removeHandler(handler)
            handler.close()
    found.setLevel(level)


def write(folder, name, size=10, age=0):
    """Write a file of a given age in seconds."""
    path = folder / name
    path.write_bytes(bytes(size))
    os.utime(str(path), (SECONDS - age, SECONDS - age))
    return name


def starts(folder, program, n, size=10):
    """Write the logs of n earlier starts; return their names, the newest first."""
    return [write(folder, "%s_202601%02d_%06d.log" % (program, 1 + age % 28, age), size, age) for age in range(n)]


def names(folder):
    return sorted(os.listdir(str(folder)))


def test_a_limited_number_of_earlier_logs_is_kept(tmp_path):
    made = starts(tmp_path, "worker3", 60)
    prune(str(tmp_path / "worker3_20270101_000000.log"))
    assert names(tmp_path) == sorted(made[: logfile.MAX_OLDER])


def test_a_limited_size_of_earlier_logs_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(logfile, "MAX_OLDER_BYTES", 1000)
    made = starts(tmp_path, "master", 10, size=300)
    write(tmp_path, "master_20250101_000000.log", size=1, age=1000)  # would fit again, and is older than what does not
    prune(str(tmp_path / "master_20270101_000000.log"))
    assert names(tmp_path) == sorted(made[:3])


def test_rotated_files_count_and_go_too(tmp_path, monkeypatch):
    monkeypatch.setattr(logfile, "MAX_OLDER", 2)
    name = "master_20260101_000000.log"
    kept = [write(tmp_path, name, age=1), write(tmp_path, name + ".1", age=2)]
    write(tmp_path, name + ".2", age=3)
    prune(str(tmp_path / "master_20270101_000000.log"))
    assert names(tmp_path) == kept


@pytest.mark.parametrize(
    "name",
    [
        "worker13_20250101_000000.log",
        "worker_3_20250101_000000.log",
        "notes.log",
        "worker3.log",
        "worker3_20250101_000000.log.gz",
        "worker3_20250101_000000.txt",
    ],
)
def test_files_of_others_stay(tmp_path, monkeypatch, name):
    monkeypatch.setattr(logfile, "MAX_OLDER", 0)
    write(tmp_path, name, age=10**6)
    prune(str(tmp_path / "worker3_20270101_000000.log"))
    assert names(tmp_path) == [name]


def test_the_log_of_this_start_stays_with_its_rotations(tmp_path, monkeypatch):
    monkeypatch.setattr(logfile, "MAX_OLDER", 0)
    own = [write(tmp_path, "worker3_20260101_000000.log" + ending, age=10**6) for ending in ("", ".1", ".2")]
    prune(str(tmp_path / own[0]))
    assert names(tmp_path) == own


def test_a_log_of_another_name_removes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(logfile, "MAX_OLDER", 0)
    made = starts(tmp_path, "worker3", 3)
    prune(str(tmp_path / "worker3.log"))
    assert names(tmp_path) == sorted(made)


def test_a_year_of_daily_starts_takes_no_more_than_the_last_ones(tmp_path, monkeypatch, logger):
    monkeypatch.setattr(logfile, "MAX_OLDER", 5)
    for day in range(365):
        path = str(tmp_path / ("worker0_2026%04d_000000.log" % day))
        set_up_logging(path, verbose=False)
        handlers = logger.handlers[-2:]
        handlers[0].emit(logging.makeLogRecord({"name": "flq", "msg": "day %d" % day}))
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        os.utime(path, (SECONDS + day, SECONDS + day))
    assert names(tmp_path) == ["worker0_2026%04d_000000.log" % day for day in range(359, 365)]


def test_one_start_takes_no_more_than_its_four_files(tmp_path, monkeypatch, logger):
    monkeypatch.setattr(logfile, "MAX_BYTES", 1000)
    set_up_logging(str(tmp_path / "master_20260101_000000.log"), verbose=False)
    to_file = logger.handlers[-2]
    for i in range(1000):
        to_file.handle(logging.makeLogRecord({"name": "flq", "msg": "round=%d" % i}))
    assert names(tmp_path) == ["master_20260101_000000.log" + ending for ending in ("", ".1", ".2", ".3")]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4 * 1000


def test_lines_for_a_bar_are_in_no_file_and_on_no_plain_output(tmp_path, capsys, logger):
    set_up_logging(str(tmp_path / "master_20260101_000000.log"), verbose=False)
    logger.info("start=reading_data", extra=FOR_A_BAR)
    logger.info("data=ready")
    assert capsys.readouterr().err.endswith(" data=ready\n")
    written = (tmp_path / "master_20260101_000000.log").read_text()
    assert written.endswith(" INFO flq: data=ready\n") and "start=" not in written


def test_a_log_record_is_a_line_on_stdout(capsys):
    say("results: here.xlsx")
    assert tuple(capsys.readouterr()) == ("results: here.xlsx\n", "")


def test_two_programs_that_start_in_the_same_second_have_a_log_each(tmp_path, monkeypatch, logger):
    monkeypatch.setattr(logfile, "MAX_OLDER", 1)
    write(tmp_path, "master_20250101_000000_7.log", age=10**6)  # which counts as an earlier start
    for text in "one", "two", "three":
        set_up_logging(str(tmp_path / "master_20260101_000000.log"), verbose=False)
        logger.handlers[-2].handle(logging.makeLogRecord({"name": "flq", "msg": text}))
    for ending, text in ("_2", "two"), ("_3", "three"):
        path = tmp_path / ("master_20260101_000000%s.log" % ending)
        assert [line.split(": ")[1] for line in path.read_text().splitlines()] == [text]
    assert not (tmp_path / "master_20250101_000000_7.log").exists()
