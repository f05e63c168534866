"""The last lines of a master, and its exit code."""

import logging

import pytest

from flq.master.runtime.conclusion import conclusion
from flq.report.rows import WorkerRow
from flq.report.summary import GONE, PRESENT, Totals

HAS = {"has_ended": False, "has_failed": False, "problem": None}
RESUME = "./start_master.sh --resume r"


def totals(*states, blocked=()):
    rows = [WorkerRow(index, 10, state, *[0] * 14, None, None, None) for index, state in enumerate(states)]
    return Totals(rows, (0, 0), (0, 0), (0, 0), blocked)


def say(counted, **facts):
    return conclusion("r", **dict(HAS, **facts), workbook="a.xlsx", totals=counted)


def test_an_interrupted_run_is_resumed_by_the_command_of_its_script():
    said = conclusion("r", **HAS, workbook="a.xlsx", totals=None, command="./run_local.sh --resume")
    assert said.sentences == ["to resume: ./run_local.sh --resume r", "results: a.xlsx"]


@pytest.mark.parametrize(
    "facts, counted, code, expected",
    [
        ({"has_ended": True}, totals(PRESENT), 0, ["results: a.xlsx"]),
        ({}, None, 0, ["to resume: " + RESUME, "results: a.xlsx"]),  # interrupted
        ({"problem": "disk full"}, None, 0, ["to resume: " + RESUME]),
        ({"has_failed": True}, totals(PRESENT), 1, ["to resume: " + RESUME, "results: a.xlsx"]),
        (
            {"has_ended": True, "has_failed": True},
            totals(PRESENT),
            1,
            [
                "the run has ended and its results are complete, but its journal may not record this; to make sure: "
                + RESUME,
                "results: a.xlsx",
            ],
        ),
        (
            {"has_ended": True},
            totals(PRESENT, GONE, GONE),
            0,
            ["results: a.xlsx", "the run ended with 1 of the 3 workers that joined; lost: 1, 2"],
        ),
    ],
)
def test_the_stage_of_a_run_is_reported(facts, counted, code, expected):
    found = say(counted, **facts)
    assert (found.code, found.sentences, found.error) == (code, expected, None)


def test_updates_that_did_not_arrive_are_exit_code_1():
    found = say(totals(PRESENT, blocked=[(0, 2)]), has_ended=True)
    assert found.code == 1 and "2 updates did not arrive" in found.sentences[-1]


@pytest.mark.parametrize("has_failed", [True, False])
def test_only_unwritten_results_are_reported(caplog, capsys, has_failed):
    found = say(totals(PRESENT, GONE), has_ended=True, has_failed=has_failed, problem="a.xlsx is not written")
    assert found.say() == 1 and capsys.readouterr().out == ""
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "its results are incomplete: a.xlsx is not written (free disk space" in record.getMessage()
    assert "then %s writes them" % RESUME in record.getMessage()
