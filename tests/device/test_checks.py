"""The output of findings, and the exit code of a doctor."""

import io
import json

import pytest

from flq.device.checks import FAIL, OK, WARN, Line, as_json, as_text, show

LINES = [
    Line(OK, "board", "a Nano"),
    Line(WARN, "power mode", "2 of 4", "sudo nvpmodel -m 0"),
    Line(FAIL, "disk", "full", "remove old results"),
]


def test_text_is_in_columns_with_each_fix_below_its_line():
    assert as_text(LINES).splitlines() == [
        "ok    board       a Nano",
        "warn  power mode  2 of 4",
        "                  -> sudo nvpmodel -m 0",
        "fail  disk        full",
        "                  -> remove old results",
        "checks: 3, failures: 1, warnings: 1",
    ]


def test_json_has_the_same_findings():
    told = json.loads(as_json(LINES))
    assert told["failures"] == 1
    assert [Line(**line) for line in told["lines"]] == LINES


@pytest.mark.parametrize("n_failures, code", [(0, 0), (3, 3), (99, 99), (300, 99)])
def test_the_exit_code_counts_failures_and_never_means_a_signal(n_failures, code):
    lines = [Line(WARN, "a", "b", "c")] * 5 + [Line(FAIL, "a", "b", "c")] * n_failures
    assert show(lines, False, io.StringIO()) == code


@pytest.mark.parametrize("is_json", [False, True])
def test_a_terminal_that_knows_only_ascii_gets_ascii(is_json):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    assert show([Line(OK, "disk", "/home/\u738b/flq")], is_json, stream) == 0
    assert b"\\u738b/flq" in raw.getvalue()


def test_control_characters_of_others_do_not_reach_the_terminal():
    assert "\x1b" not in as_text([Line(FAIL, "token", "\x1b[2J\nok    all is well", "\x1b]0;x\x07")])
    assert len(as_text([Line(FAIL, "token", "a\nb", "c\nd")]).splitlines()) == 3
