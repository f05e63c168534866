"""The list of runs: one line each, and what to do next; nothing in the folder is fatal."""

import os
import shutil
import subprocess
import sys

import pytest
from factory import quadratic_with
from old_journal import make_format_4, old_journal

from flq.core.settings import to_json
from flq.journal_file import digest
from flq.master.storage.journal import Batch, create
from flq.master.storage.resume import hold
from flq.report import listing
from flq.report.__main__ import main
from flq.report.brief import read_brief
from flq.report.listing import find, list_runs
from flq.report.names import named, workbook_name_of
from flq.run_end import KEY, RunEnd, Stage

BEGUN, OVER = RunEnd(), RunEnd(Stage.OVER, "30 rounds are done")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Work in a folder with results/; return that folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


@pytest.fixture
def begin(results):
    """Begin runs, as their masters do; return the open journal of each, and close them at the end."""
    journals = []

    def make(name, number=1, accuracies=(), end=BEGUN, rounds=None, closed=True, own=(), **settings):
        folder = results / name
        folder.mkdir()
        about = {
            "run_id": name,
            "number": number,
            "settings": to_json(quadratic_with(max_rounds=30, **settings)),
            "config_hash": "abc",
            KEY: RunEnd().to_json(),
        }
        journal = create(str(folder), about)
        n_rounds = len(accuracies or own) if rounds is None else rounds
        reports = [(k, {"report": {"own_accuracy": own[k - 1] if own else None}}) for k in range(1, n_rounds + 1)]
        tested = [(k, [0.5, accuracy, None, None]) for k, accuracy in enumerate(accuracies, start=1)]
        about = {KEY: end.to_json(), "totals": {"workers": {}, "wire_bytes": [1000 * n_rounds, 500 * n_rounds]}}
        journal.write(Batch([], [], reports, tested, about))
        if closed:
            journal.close()
        journals.append(journal)
        return journal

    yield make
    for journal in journals:
        journal.close()


def lines(width=80):
    return list_runs("results", width).splitlines()


def test_an_ended_run_has_its_workbook_and_an_unfinished_one_its_command(results, begin):
    begin("20260801_120000_ab12", 1, [0.5, 0.75, 0.625], OVER)
    workbook = results / workbook_name_of(read_brief("results/20260801_120000_ab12").about)
    workbook.write_bytes(b"")
    begin("20260801_130000_cd34", 2, [0.5], RunEnd(Stage.INTERRUPTED, "SIGTERM"))
    assert lines() == [
        "run                   state       rounds    last    best   bytes",
        "20260801_120000_ab12  ended         3/30  62.50%  75.00%  4.5 kB",
        "    results/" + workbook.name,
        "20260801_130000_cd34  unfinished    1/30  50.00%  50.00%  1.5 kB",
        "    ./start_master.sh --resume 20260801_130000_cd34",
    ]
    os.remove(str(workbook))
    assert lines()[2] == "    python -m flq.report workbook 20260801_120000_ab12"


def test_the_newest_run_is_last_whatever_the_clock_said(begin):
    begin("20260801_120000_ab12", 2)
    begin("20260801_130000_cd34", 1)
    begin("20260801_110000_ef56", 3)
    assert [line[:20] for line in lines()[1::2]] == [
        "20260801_130000_cd34",
        "20260801_120000_ab12",
        "20260801_110000_ef56",
    ]


def test_a_run_whose_master_lives_is_running_and_a_killed_one_is_unfinished(results, begin):
    begin("20260801_120000_ab12", closed=False)
    lock = hold(str(results / "20260801_120000_ab12"))
    try:
        assert lines()[1:] == ["20260801_120000_ab12  running    0/30     -     -  0 bytes"]
    finally:
        lock.close()
    killed = ["20260801_120000_ab12  unfinished    0/30     -     -  0 bytes"]
    assert lines()[1:] == killed + ["    ./start_master.sh --resume 20260801_120000_ab12"]
    hold(str(results / "20260801_120000_ab12")).close()  # the list keeps no lock


def test_a_run_with_local_data_has_the_accuracy_on_these(begin):
    begin("20260801_120000_ab12", own=[0.25, None, 0.125], partition="local")
    assert "12.50%  25.00%" in lines()[1]


def test_a_run_without_accuracy_has_a_dash(begin):
    begin("20260801_120000_ab12", accuracies=[None, None])
    assert lines()[1].split() == ["20260801_120000_ab12", "unfinished", "2/30", "-", "-", "3.0", "kB"]


def test_elsewhere_than_in_results_the_command_has_the_path(results, begin):
    begin("20260801_120000_ab12")
    os.rename("results", "my results")
    assert list_runs("my results", 80).splitlines()[-1] == (
        "    ./start_master.sh --resume 'my results/20260801_120000_ab12'"
    )


def test_a_command_names_a_run_so_that_a_shell_finds_it():
    assert named("/p/results/run", "/p/results") == named("/p/results/run/", "/p/results") == "run"
    assert named("/q/my results/run", "/p/results") == "'/q/my results/run'"


def damage_about(folder):
    path = folder / "journal.sqlite"
    content = path.read_bytes()
    assert b'"run_id"' not in content and content.count(b"config_hash") == 1
    path.write_bytes(content.replace(b"config_hash", b"config_hush"))


def no_journal_at_all(folder):
    (folder / "journal.sqlite").write_bytes(b"this is a text" * 1000)


def another_database(folder):
    (folder / "journal.sqlite").unlink()
    old_journal(str(folder), {"ended": None})


def half_copied(folder):
    content = (folder / "journal.sqlite").read_bytes()
    (folder / "journal.sqlite").write_bytes(content[: len(content) // 2])


def without_journal(folder):
    (folder / "journal.sqlite").unlink()
    (folder / "config.json").write_text("{}")


@pytest.mark.parametrize(
    "damage, expected",
    [
        (damage_about, "row 'config_hush' about the run is damaged"),
        (no_journal_at_all, "file is not a database"),
        (another_database, "is not the journal of a run: KeyError"),
        (half_copied, "cannot be read: database disk image is malformed"),
        (without_journal, "it has no journal.sqlite: copy or restore it completely"),
    ],
)
def test_a_damaged_folder_is_named_after_the_others_and_they_are_listed(results, begin, damage, expected):
    begin("20260801_120000_ab12", 1)
    begin("20260801_130000_cd34", 2)
    damage(results / "20260801_120000_ab12")
    found = lines()
    assert [line.split()[:2] for line in found if line[0].isdigit()] == [
        ["20260801_130000_cd34", "unfinished"],
        ["20260801_120000_ab12", "damaged"],
    ]
    assert expected in " ".join(line.strip() for line in found[4:])
    assert all(len(line) <= 80 and line.startswith("    ") for line in found[4:])


@pytest.mark.parametrize("old, release", [(3, "0.1.0"), (4, "0.2.0")])
def test_a_run_of_an_older_release_is_listed_with_the_release_that_resumes_it(results, begin, old, release):
    begin("20260801_120000_ab12", 1, [0.5])
    if old == 4:
        make_format_4(str(results / "20260801_120000_ab12"))
    else:
        about = read_brief("results/20260801_120000_ab12").about
        about = {key: about[key] for key in ("run_id", "settings")}
        shutil.rmtree(str(results / "20260801_120000_ab12"))
        (results / "20260801_120000_ab12").mkdir()
        old_journal(
            str(results / "20260801_120000_ab12"),
            dict(about, ended=None, counted={"wire": [[0, 1000, 500], [None, 7, 7]]}),
            rounds=[(1, "{}")],
            tested=[(1, "[0.5, 0.5, null, null]")],
        )
    assert lines()[1:] == [
        "20260801_120000_ab12  unfinished    1/30  50.00%  50.00%  1.5 kB",
        "    FLQ %s can resume it; this release cannot" % release,
    ]


def test_a_run_without_its_log_says_what_may_be_missing(results, begin):
    begin("20260801_120000_ab12", closed=False)
    (results / "copy").mkdir()
    shutil.copy(str(results / "20260801_120000_ab12" / "journal.sqlite"), str(results / "copy"))
    shutil.rmtree(str(results / "20260801_120000_ab12"))
    assert lines()[2:] == [
        "    ./start_master.sh --resume copy",
        "    its journal.sqlite-wal is missing, maybe with the last rounds",
    ]


def test_two_folders_with_the_same_run_name_each_other_and_a_link_is_none(results, begin):
    begin("20260801_120000_ab12", 1, end=OVER)
    os.symlink("20260801_120000_ab12", str(results / "last"))
    assert sum(line[0] != " " for line in lines()[1:]) == 1
    shutil.copytree(str(results / "20260801_120000_ab12"), str(results / "copy"))
    assert [line for line in lines() if "same run" in line] == [
        "    the same run as copy: leave only one of them here",
        "    the same run as 20260801_120000_ab12: leave only one of them here",
    ]


def test_folders_that_are_no_runs_are_named_once(results, begin):
    for name in ("figures", "trackers", ".cache", "notes", "b", "c", "d", "e", "f\x1b[31m"):
        (results / name).mkdir()
    (results / "file.xlsx").write_bytes(b"")
    assert lines() == ["There are no runs in results.", "", "Not runs: b, c, d, e, f\ufffd[31m and 1 more."]


def test_a_long_name_is_shortened_in_the_table_but_not_in_the_command(begin):
    name = "a_run_that_somebody_gave_a_very_long_name_indeed_20260801_120000_ab12"
    begin(name, accuracies=[1.0] * 30, rounds=3000)
    assert all(len(line) <= 80 for line in lines()[:2]) and lines()[1].startswith("a_run_that_so")
    assert lines()[2] == "    ./start_master.sh --resume " + name


def test_rows_of_rounds_and_entries_are_not_read(results, begin, monkeypatch):
    begin("20260801_120000_ab12", 1, [0.5])
    read = []
    monkeypatch.setattr(listing, "read_brief", lambda folder: read.append(folder) or read_brief(folder))
    monkeypatch.setattr("flq.report.brief.reports_of", None)
    assert len(find("results")[0]) == 1 and read == ["results/20260801_120000_ab12"]


def test_a_damaged_test_result_is_left_out(results, begin, caplog):
    journal = begin("20260801_120000_ab12", 1, [0.5, 0.75], closed=False)
    journal._database.execute("UPDATE tested SET results = '[1.0, 1.0, null, null]' WHERE round = 2")
    assert digest("tested", (2, "[1.0, 1.0, null, null]"))
    journal.close()
    assert "50.00%  50.00%" in lines()[1] and "left out: the test results of 1 rounds" in caplog.text


def test_the_command_prints_it_and_a_missing_folder_is_one_sentence(begin, capsys):
    begin("20260801_120000_ab12")
    assert main(["list"]) == 0
    assert capsys.readouterr().out == list_runs("results", 80) + "\n"
    assert main(["list", "--results_dir", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        "python -m flq.report list: error: nowhere cannot be read: No such file or directory "
        "(name the folder of the runs with --results_dir)\n"
    )
    assert main(["list", "--results_dir", ""]) == 2
    assert "error: the folder '' cannot be read: No such file or directory (name" in capsys.readouterr().err


def test_it_needs_none_of_the_packages_for_workbooks_and_figures(begin):
    begin("20260801_120000_ab12")
    code = (
        "import sys; from flq.report.__main__ import main; code = main(['list']); "
        "found = {'pandas', 'openpyxl', 'xlsxwriter', 'matplotlib'} & set(sys.modules); sys.exit(code or len(found))"
    )
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env=environment)
