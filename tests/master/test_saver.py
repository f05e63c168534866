"""Results are written when a run ends, again while one is missing, and elsewhere if the folder has moved."""

import threading
from types import SimpleNamespace

import pytest
from local_master import WAIT_S, InstantEvaluator

from flq.master.runtime import saver as saver_module
from flq.master.runtime.ending import Ending
from flq.master.runtime.saver import Saver
from flq.run_end import Stage


class Files:
    """Replaces Results: the obstacles to writing the workbook."""

    exported = None

    def __init__(self):
        self.problem, self.in_the_way, self.written, self.n_places = "not begun", None, [], 1

    def save_model(self, model):
        self.written.append(("model", model))

    def save_workbook(self, make):
        self.problem = self.in_the_way
        self.written.append(("workbook", make()))

    def move(self):
        self.n_places -= 1
        return self.n_places >= 0


@pytest.fixture
def saving(monkeypatch):
    """A saver, its parts, and its reports."""
    monkeypatch.setattr(saver_module, "SAVE_AGAIN_S", 0.01)
    told, files, ending = [], Files(), Ending()
    ending.move(Stage.ENDED, "because")
    folder = SimpleNamespace(misplaced=lambda: None)
    saver = Saver(files, lambda totals: totals, folder, InstantEvaluator(), ending, told.append, told.append)
    yield SimpleNamespace(saver=saver, files=files, ending=ending, folder=folder, told=told)
    saver.leave()
    saver.join()


def test_the_saver_reports_after_both_files_are_written(saving):
    saving.saver.begin("x", "totals")
    assert saving.ending.wait(Stage.SAVED, WAIT_S)
    saving.saver.join()
    assert saving.files.written == [("model", "x"), ("workbook", "totals")] and saving.told == ["totals"]
    saving.saver.try_again()
    assert saving.files.written[2:] == [("model", "x")]  # which the files leave alone if it is written


def test_a_problem_is_reported_once_and_may_be_solved(saving):
    saving.files.in_the_way = "disk full"
    saving.saver.begin("x", "totals")
    assert saving.ending.wait(Stage.SAVED, WAIT_S) and saving.told == ["disk full"]
    saving.files.in_the_way = None
    saving.saver.join()
    assert saving.told == ["disk full", "totals"] and len(saving.files.written) >= 4


def test_the_end_of_the_program_waits_for_no_further_attempt(saving):
    saving.files.in_the_way = "disk full"
    saving.saver.begin("x", "totals")
    assert saving.ending.wait(Stage.SAVED, WAIT_S)
    saving.saver.leave()
    saving.saver.join()
    assert saving.told == ["disk full"]


def test_a_failure_is_an_attempt_too(saving, caplog):
    saving.files.save_model = lambda model: {}["bug"]
    saving.saver.begin("x", "totals")
    assert saving.ending.wait(Stage.SAVED, WAIT_S)
    saving.saver.join()
    assert "the results are incomplete" in caplog.text and saving.told == []


@pytest.mark.parametrize("n_places", [1, 0])
def test_results_move_once_if_the_folder_is_not_where_it_was(saving, n_places):
    assert saving.saver.find_place() and saving.saver.misplaced is None and saving.files.n_places == 1
    saving.files.n_places, saving.folder.misplaced = n_places, lambda: "it was moved"
    found = []
    threads = [threading.Thread(target=lambda: found.append(saving.saver.find_place())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert found == [n_places == 1] * 4 and saving.files.n_places == n_places - 1
    assert saving.saver.misplaced == "it was moved"
