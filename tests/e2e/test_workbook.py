"""The workbook of a run over HTTP."""

import re

import pytest
from cluster import Cluster, end_well, settings_of
from ooxml import problems
from openpyxl import load_workbook

from flq.core.settings import to_json

OVERRIDES = (
    "model.name=quadratic",
    "model.lr=0.05",
    "system.max_rounds=8",
    "memory=mirror",
    "thr_scale=1",
    "C=3",
    "sel_clients=3",
)
ROLL_CALL = ("uploaded", "skipped", "refused", "late", "lost")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    cluster = Cluster(str(tmp_path_factory.mktemp("workbook")))
    master = cluster.master(*OVERRIDES)
    end_well(master, cluster.workers(range(4), master.port))
    yield master
    cluster.close()


def test_it_has_its_sheets(finished):
    assert list(finished.sheets()) == ["Summary", "Charts", "Read me", "Rounds", "Roll-call", "Workers", "Config"]


def test_each_round_has_one_row_and_its_roll_call_adds_up(finished):
    rounds = finished.table("Rounds")
    assert [row["round"] for row in rounds] == list(range(1, 9))
    for row in rounds:
        assert sum(row[status] for status in ROLL_CALL) == 4
        assert row["uploaded"] <= 3
        assert row["test loss"] > 0 and row["training loss"] > 0
        assert row["round (s)"] >= 0 and row["training (s)"] >= 0


def test_each_worker_has_one_row_and_agrees_with_the_rounds(finished):
    rounds, workers = finished.table("Rounds"), finished.table("Workers")
    assert [row["worker"] for row in workers] == [0, 1, 2, 3]
    assert [row["samples"] for row in workers] == [100, 110, 120, 130]
    assert [row["state"] for row in workers] == ["present"] * 4
    for title in ROLL_CALL + ("payload up (bits)", "frames up (bytes)"):
        assert sum(row[title] for row in workers) == sum(row[title] for row in rounds)
    for row in workers:
        assert sum(row[status] for status in ROLL_CALL) == row["rounds answered"] == 8


def test_the_roll_calls_agree_with_the_rounds(finished):
    heading, *lines = finished.sheets()["Roll-call"]
    assert heading[1:] == ("worker 0", "worker 1", "worker 2", "worker 3") and len(lines) == 8
    for line, row in zip(lines, finished.table("Rounds")):
        assert line[0] == row["round"]
        for letter, status in zip("USRLX", ROLL_CALL):
            assert line[1:].count(letter) == row[status]


def test_the_foot_of_the_workers_holds_their_sums(finished):
    heading, *rows = finished.sheets()["Workers"]
    *workers, foot = rows
    assert foot[0] == "total"
    for column in (heading.index(title) for title in ROLL_CALL + ("wire up (bytes)", "training (s)")):
        assert foot[column] == pytest.approx(sum(row[column] for row in workers))


def test_totals_are_formulas_and_excel_has_nothing_to_repair(finished):
    (path,) = finished.files(".xlsx")
    lines = dict(row[:2] for row in load_workbook(path)["Summary"].iter_rows(values_only=True))
    for what, unit in (("payload up", "bits"), ("payload down", "bits"), ("wire up", "bytes"), ("wire down", "bytes")):
        assert re.fullmatch("=SUM[(]Rounds!.+[)][+]B[0-9]+", lines["%s (%s)" % (what, unit)])
    for label in "uploads", "skips", "refusals":
        assert lines[label].startswith("=Workers!")
    assert lines["seconds"].startswith("=SUM(Rounds!")
    assert problems(path) == []


def test_totals_run_along_and_end_in_the_summary(finished):
    rounds, workers, summary = finished.table("Rounds"), finished.table("Workers"), finished.summary()
    for title in "payload up (bits)", "payload down (bits)", "wire up (bytes)", "wire down (bytes)":
        assert rounds[-1]["total " + title] == sum(row[title] for row in rounds)
        words, unit = title.rsplit(" ", 1)
        after = summary["%s after the last round %s" % (words, unit)]
        assert rounds[-1]["total " + title] + after == summary[title]
        assert (after > 0) == (title == "wire down (bytes)")  # the last verdicts, and that the run has ended
    for title in "payload up (bits)", "wire up (bytes)", "wire down (bytes)":
        assert sum(row[title] for row in workers) == summary[title]
    assert summary["answers after the last round"] == 0
    assert summary["rounds"] == 8 and summary["workers that joined"] == 4
    assert summary["ended because"] == "8 rounds are done"
    assert (summary["workers lost"], summary["test accuracy"]) == ("none", None)
    assert summary["test loss"] == rounds[-1]["test loss"]


def test_the_settings_stand_in_it(finished):
    given = {(row["section"], row["key"]): row["value"] for row in finished.table("Config")}
    settings = to_json(settings_of(*OVERRIDES))
    assert set(given) == {(section, key) for section in settings for key in settings[section]} - {
        ("system", "master_url")
    }  # addresses are private
    assert given["lazy_selection", "C"] == 3 and given["model", "name"] == "quadratic"
