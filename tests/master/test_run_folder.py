"""Without the run's own folder nothing is decided, and when it is back the run continues."""

import os
import shutil
import sqlite3
import threading

import pytest
from local_master import WAIT_S, HttpWorker
from waits import wait_until

from flq.master.storage import store as store_module
from flq.master.storage.run_folder import Misplaced, RunFolder

RUN = ("system.total_workers=1", "system.min_workers=1", "system.max_rounds=4", "system.snapshot_every=1")
JOURNAL = "journal.sqlite"


@pytest.fixture
def folder(tmp_path):
    """An opened folder with a journal of its own."""
    os.makedirs(str(tmp_path / "results" / "run"))
    path = str(tmp_path / "results" / "run" / JOURNAL)
    with open(path, "w"):
        pass
    opened = RunFolder(os.path.dirname(path), path)
    yield opened
    opened.close()


def test_a_folder_at_its_place_is_well(folder):
    assert folder.misplaced() is None


def test_one_that_was_renamed_is_named_with_its_new_name_and_is_well_when_it_is_back(folder, tmp_path):
    run, elsewhere = str(tmp_path / "results" / "run"), str(tmp_path / "elsewhere")
    os.rename(run, elsewhere)
    found = folder.misplaced()
    assert found.summary == "the folder of the run was moved"
    assert found.detail == "%s: %s" % (found.summary, run)
    assert found.hint == (
        "it is now %s: move it back, or stop the master and resume with ./start_master.sh --resume %s"
        % (elsewhere, elsewhere)
    )
    os.rename(elsewhere, run)
    assert folder.misplaced() is None


def test_so_is_one_whose_parent_was_renamed(folder, tmp_path):
    os.rename(str(tmp_path / "results"), str(tmp_path / "old"))
    assert "it is now %s" % (tmp_path / "old" / "run") in folder.misplaced().hint


def test_a_deleted_folder_is_reported_as_the_end_of_the_run(folder, tmp_path):
    shutil.rmtree(str(tmp_path / "results" / "run"))
    assert folder.misplaced().summary == "the folder of the run is gone"
    assert "it was deleted, and the run is lost" in folder.misplaced().hint
    os.mkdir(str(tmp_path / "results" / "run"))
    assert folder.misplaced().summary == "the folder of the run was replaced"


def test_a_copy_is_not_the_folder_that_was_opened(folder, tmp_path):
    run, away = str(tmp_path / "results" / "run"), str(tmp_path / "away")
    os.rename(run, away)
    shutil.copytree(away, run)
    assert folder.misplaced().summary == "the folder of the run was replaced"
    assert "it is now %s" % away in folder.misplaced().hint


@pytest.mark.parametrize("replace", [False, True])
def test_a_journal_alone_is_missed_too(folder, tmp_path, replace):
    journal = str(tmp_path / "results" / "run" / JOURNAL)
    os.rename(journal, journal + ".away")
    if replace:
        shutil.copy(journal + ".away", journal)
    assert folder.misplaced().summary == ("the journal was replaced" if replace else "the journal is gone")
    assert folder.misplaced().hint.startswith("restore it, or stop the master")


def test_a_snapshot_makes_no_folder_in_the_place_of_one_that_was_renamed(make_master):
    master = make_master(*RUN)
    run = os.path.dirname(master.store._journal.path)
    os.rename(run, run + "_away")
    with pytest.raises(Misplaced):
        master.store.begin(master.machine)
    assert not os.path.exists(run)
    shutil.copytree(run + "_away", run)
    with pytest.raises(Misplaced):
        master.store.begin(master.machine)
    shutil.rmtree(run)
    os.rename(run + "_away", run)


def test_a_run_decides_nothing_while_its_folder_is_missing(make_master, monkeypatch):
    monkeypatch.setattr(store_module, "RETRY_S", 0.01)
    master = make_master(*RUN)
    run = os.path.dirname(master.store._journal.path)
    worker = HttpWorker(master, 0, waits=False)
    while len(master.run.record.rounds()) < 2:
        worker.step()
    os.rename(run, run + "_away")
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    wait_until(lambda: master.status()["problem"] == "the folder of the run was moved")
    journal = sqlite3.connect(os.path.join(run + "_away", JOURNAL))
    (n_rounds,) = journal.execute("SELECT COUNT(*) FROM rounds").fetchone()
    journal.close()
    assert n_rounds == len(master.run.record.rounds()) < 4
    assert not os.path.exists(run)  # nothing has recreated it
    os.rename(run + "_away", run)
    thread.join(WAIT_S)
    assert worker.action.code == 0 and master.status()["problem"] is None
    assert [row.round_index for row in master.run.record.rounds()] == [1, 2, 3, 4]
