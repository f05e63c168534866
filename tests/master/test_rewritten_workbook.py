"""The report writes the same workbook from a journal as the master does."""

import json
import os
import shutil

import pytest
from local_master import HttpWorker
from old_journal import old_journal
from openpyxl import load_workbook

from flq.report.__main__ import main
from flq.report.recorded import read_journal
from flq.run_end import KEY, end_of

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")


def folder_of(master):
    return os.path.dirname(master.run.results.workbook)


def sheets_of(path):
    return {
        sheet.title: [tuple(row) for row in sheet.iter_rows(values_only=True)]
        for sheet in load_workbook(path, data_only=True)
    }


def rewritten(folder, path):
    """Write the workbook of a run to a path; return its sheets."""
    assert main(["workbook", folder, "--out", str(path)]) == 0
    return sheets_of(str(path))


def device(joules):
    return {"life": "one", "energy_j": joules, "samples": 100, "name": "a board", "temperature_c": 41.0}


def test_of_a_run_that_has_ended_it_is_the_masters(make_master, run_workers, tmp_path):
    master = make_master(*RUN)
    for joules in 1.0, 5.0:
        master.run.take_report(1, device(joules))
    run_workers(master)
    master.run.finish()
    sheets = master.sheets()
    assert len(sheets["Rounds"]) == 4 and "energy of 1 of 2 workers (J)" in dict(row[:2] for row in sheets["Summary"])
    assert rewritten(folder_of(master), tmp_path / "again.xlsx") == sheets


def test_of_a_run_that_was_stopped_in_a_round_it_is_the_masters(make_master, tmp_path):
    master = make_master(*RUN)
    workers = [HttpWorker(master, worker_id, waits=False) for worker_id in range(2)]
    while len(master.run.record.rounds()) < 2:
        for worker in workers:
            worker.step()
    master.run.stop("somebody wants it")
    master.run.finish()
    assert rewritten(folder_of(master), tmp_path / "again.xlsx") == master.sheets()


def test_of_a_run_that_was_killed_before_its_end_was_written_down_only_the_last_bytes_differ(
    make_master, run_workers, tmp_path
):
    master = make_master(*RUN)
    run_workers(master)
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in "journal.sqlite", "journal.sqlite-wal":
        shutil.copy(os.path.join(folder_of(master), name), str(killed))
    assert not any(name.endswith(".xlsx") for name in os.listdir(str(killed)))
    sheets = rewritten(str(killed), tmp_path / "again.xlsx")
    master.run.finish()
    expected = master.sheets()
    for name in "Roll-call", "Config", "Read me":
        assert sheets[name] == expected[name]
    pairs, expected_pairs = (dict(row[:2] for row in found["Summary"]) for found in (sheets, expected))
    for label in "run", "ended because", "rounds", "uploads", "payload up (bits)", "configuration (SHA-256)":
        assert pairs[label] == expected_pairs[label]
    assert pairs["ended because"] == "3 rounds are done"


def test_the_workbook_of_a_run_in_progress_is_marked_and_written_beside_its_folder(make_master, tmp_path, capsys):
    master = make_master("system.total_workers=1", "system.min_workers=1", "system.max_rounds=4")
    worker = HttpWorker(master, 0, waits=False)
    while len(master.run.record.rounds()) < 2:
        worker.step()
    folder, name = os.path.split(folder_of(master))
    assert main(["workbook", name, "--results_dir", folder]) == 0
    path = capsys.readouterr().out[len("written: ") :].rstrip()
    assert os.path.dirname(path) == folder and os.path.basename(path).startswith("flq_results_quadratic_bbit_")
    sheets = sheets_of(path)
    assert ("ended because", "it has not ended") in [row[:2] for row in sheets["Summary"]]
    assert len(sheets["Rounds"]) == 1 + len(read_journal(folder_of(master)).rows)
    assert sheets["Workers"][1][0] == 0
    worker.run()


@pytest.fixture
def old(make_master, run_workers, tmp_path):
    """Return the folder of a run of FLQ 0.1.0, and the workbook that the master wrote."""
    master = make_master(*RUN)
    master.run.take_report(1, device(1.0))
    master.run.take_report(1, device(5.0))
    run_workers(master)
    master.run.finish()
    found = read_journal(folder_of(master))
    about = {key: value for key, value in found.about.items() if key not in ("totals", "number", KEY)}
    about["ended"] = end_of(found.about).reason
    folder = tmp_path / "old"
    folder.mkdir()
    rounds = [
        (
            closed.report.round_index,
            json.dumps({"report": closed.report._asdict(), "wire": closed.wire, "energy_j": closed.energy_j}),
        )
        for closed in master.run.record._closed.values()
    ]
    tested = [(row.round_index, json.dumps([row.test_loss, None, None, None])) for row in found.rows]
    joins = [
        (1 + worker_id, "joined", json.dumps({"worker_id": worker_id, "n_samples": samples}))
        for worker_id, samples in enumerate((110, 120))
    ]
    old_journal(str(folder), about, rounds, tested, joins + [(3, "lease_ended", json.dumps({"worker_id": 0}))])
    return str(folder), master.sheets()


def test_the_workbook_of_an_older_version_has_what_its_journal_has(old, tmp_path):
    folder, expected = old
    sheets = rewritten(folder, tmp_path / "again.xlsx")
    for name in "Rounds", "Roll-call", "Config":
        assert sheets[name] == expected[name]
    heading, *rows = sheets["Workers"]
    before, *expected_rows = expected["Workers"]
    table, known = (
        [dict(zip(titles, row)) for row in lines]
        for titles, lines in ((heading, rows[:2]), (before, expected_rows[:2]))
    )
    assert set(before) - set(heading) == {"training (s)", "waiting (s)", "last training loss"}
    assert [row["samples"] for row in table] == [110, 120]
    assert [row["state"] for row in table] == ["lost", "present"]
    for title in set(heading) - {"samples", "state"}:
        assert [row[title] for row in table] == [row[title] for row in known], title


def test_a_workbook_that_cannot_be_written_is_one_sentence(make_master, run_workers, tmp_path, capsys):
    master = make_master(*RUN)
    run_workers(master)
    path = str(tmp_path / "missing" / "a.xlsx")
    assert main(["workbook", folder_of(master), "--out", path]) == 2
    error = capsys.readouterr().err
    assert "error: %s cannot be written: No such file or directory" % path in error and error.count("\n") == 1


def test_a_journal_whose_totals_are_none_is_one_sentence(old, capsys, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    old_journal(str(other), dict(read_journal(old[0]).about, totals={"workers": 3}))
    assert main(["workbook", str(other), "--out", str(tmp_path / "a.xlsx")]) == 2
    error = capsys.readouterr().err
    assert "cannot be made from its journal: " in error and error.count("\n") == 1
