"""A run read from its journal equals the master's own, during the run, after its end, and after a kill."""

import os
import shutil

import pytest
from local_master import HttpWorker
from old_journal import old_journal

from flq.core.statuses import STATUSES
from flq.errors import FlqError
from flq.master.records.round_log import Evaluated
from flq.report import recorded
from flq.report.__main__ import main
from flq.report.recorded import read_journal
from flq.report.runs import find_runs

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")


def folder_of(master):
    return os.path.dirname(master.run.results.workbook)


def test_words_are_those_of_the_master():
    assert recorded.STATUSES == STATUSES
    assert tuple(name.replace("test_", "") if name == "test_loss" else name for name in recorded.TESTED) == (
        Evaluated._fields
    )


def test_an_ended_run_equals_the_masters_rows_and_its_workbook(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    master.run.finish()  # which writes down the last test results
    found = read_journal(folder_of(master))
    assert (found.run_id, found.settings) == ("local", master.settings)
    assert found.rows == master.run.record.rounds() and len(found.rows) == 3
    assert found.roll_calls == master.run.record.roll_calls()
    (by_folder,) = find_runs(folder_of(master), "results")
    (by_workbook,) = find_runs(master.run.results.workbook, "results")
    assert by_folder.curve.equals(by_workbook.curve)
    assert by_folder._replace(name="", curve=0, settings=0) == by_workbook._replace(name="", curve=0, settings=0)
    assert by_folder.settings == by_workbook.settings and by_folder.settings["model"]["name"] == "quadratic"


def test_a_run_is_read_in_progress_and_continues(make_master):
    master = make_master("system.total_workers=1", "system.min_workers=1", "system.max_rounds=4")
    worker = HttpWorker(master, 0, waits=False)
    while len(master.run.record.rounds()) < 2:
        worker.step()
    before = len(read_journal(folder_of(master)).rows)
    assert before >= 2
    worker.run()
    assert len(read_journal(folder_of(master)).rows) == 4


def test_a_folder_as_a_kill_leaves_it_is_read_and_a_closed_one_is_left_as_it_is(make_master, run_workers, tmp_path):
    master = make_master(*RUN)
    run_workers(master)
    killed = str(tmp_path / "killed")
    os.makedirs(killed)
    for name in "journal.sqlite", "journal.sqlite-wal":
        shutil.copy(os.path.join(folder_of(master), name), killed)
    assert len(read_journal(killed).rows) == 3
    master.close()
    names = sorted(os.listdir(folder_of(master)))
    assert "journal.sqlite-wal" not in names and len(read_journal(folder_of(master)).rows) == 3
    assert sorted(os.listdir(folder_of(master))) == names


def test_figures_are_redrawn_beside_the_folder_or_in_a_given_one(make_master, run_workers, tmp_path, capsys):
    master = make_master(*RUN)
    run_workers(master)
    results_dir, name = os.path.split(folder_of(master))
    expected = sorted(figure + ending for figure in ("loss", "participation", "time") for ending in (".png", ".svg"))
    assert main(["figures", name, "--results_dir", results_dir]) == 0
    assert sorted(os.listdir(os.path.join(results_dir, "figures", name))) == expected
    assert capsys.readouterr().out.startswith("written: " + os.path.join(results_dir, "figures", name))
    assert main(["figures", folder_of(master), "--out", str(tmp_path / "here")]) == 0
    assert sorted(os.listdir(str(tmp_path / "here"))) == expected


@pytest.mark.parametrize(
    "content, expected",
    [(b"text" * 300, "cannot be read: file is not a database"), (b"", "cannot be read: no such table: about")],
)
def test_an_invalid_journal_is_one_sentence(tmp_path, capsys, content, expected):
    (tmp_path / "journal.sqlite").write_bytes(content)
    assert main(["figures", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1


@pytest.mark.parametrize("report", ['{"report": {"roll_call": {}}, "wire": []}', "[" * 10**5, "{}", "1", "x"])
def test_rounds_that_are_none_are_one_sentence(tmp_path, capsys, report):
    old_journal(str(tmp_path), rounds=[(1, report)])
    assert main(["figures", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "is not the journal of a run: " in error and error.count("\n") == 1


def test_a_run_that_is_not_there_and_one_without_rounds_are_one_sentence(make_master, tmp_path, capsys):
    assert main(["figures", "nope", "--results_dir", str(tmp_path)]) == 2
    assert "nope: no such workbook, and no such run in %s" % tmp_path in capsys.readouterr().err
    master = make_master(*RUN)
    with pytest.raises(FlqError, match="run local has no rounds yet"):
        find_runs(folder_of(master), "results")
    assert main(["figures", folder_of(master)]) == 0
    assert "written: nothing" in capsys.readouterr().out
