"""Messages to sinks are read back as they were written."""

import json

import pytest
from factory import settings_with
from report_rows import HOSTILE, INFINITY, NAN, a_round, a_worker

from flq.errors import WireError
from flq.sinks.messages import KINDS, Began, Ended, Happened, Round, line_of, read

ROUND = Round(a_round(7, accuracy=None), {0: "uploaded", 63: "lost"})
MESSAGES = (
    Began("run", settings_with(seed=2**63 - 1, lr=0.1, trackers=["jsonl"]), "results/figures/run", [ROUND]),
    ROUND,
    Happened("problem", "worker 3: <script>\u05d0 \u4e2d\n\u202e", 3, 7, 1.5),
    Ended("2 rounds are done", False, True, [a_worker(3, name=HOSTILE[0], energy_j=None)]),
)


def test_each_kind_of_message_is_read_back_equal():
    assert {type(message) for message in MESSAGES} == set(KINDS.values())
    lines = b"".join(map(line_of, MESSAGES)).splitlines(keepends=True)
    assert len(lines) == len(MESSAGES)
    heard = list(read(lines))
    assert [type(message) for message in heard] == [type(message) for message in MESSAGES]
    assert heard == list(MESSAGES)


def test_the_statuses_of_a_roll_call_share_memory():
    heard = list(read([line_of(ROUND), line_of(ROUND)]))
    assert heard[0].roll_call[63] is heard[1].roll_call[63]


def test_non_finite_numbers_become_null():
    (heard,) = read([line_of(Round(a_round(1, training_loss=NAN, test_loss=INFINITY), {}))])
    assert heard.row.training_loss is None and heard.row.test_loss is None


def test_an_incomplete_last_line_is_ignored():
    first, second = line_of(ROUND), line_of(MESSAGES[2])
    assert list(read([first, second[:-1]])) == [ROUND]
    assert list(read([second[:5]])) == []


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"is": "Other"}\n',
        b'{"is": "Round", "row": {}}\n',
        json.dumps({"is": "Happened", "kind": "lost"}).encode() + b"\n",
    ],
)
def test_an_invalid_message_is_rejected(line):
    with pytest.raises(WireError, match="is not a message"):
        list(read([line]))
