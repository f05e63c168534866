"""GET /history: the closed rounds, a page at a time."""

import json
import math

import pytest
from local_master import LocalMaster
from test_bad_requests import assert_refused

from flq.master.live.history import DEFAULT_ROWS, MAX_ROWS, history
from flq.master.records import round_log as record_module
from flq.report.rows import RoundRow

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=5")


def row(index, **fields):
    """Return the row of an uneventful round."""
    values = dict.fromkeys(RoundRow._fields, 0)
    values.update(round_index=index, accuracy=None, test_loss=None, **fields)
    return RoundRow(**values)


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """One master for all rejected requests."""
    with LocalMaster(str(tmp_path_factory.mktemp("refusing")), *RUN) as made:
        yield made


def get(master, query=""):
    code, headers, body = master.send("GET", "/history" + query)
    assert code == 200 and headers["Content-Type"] == "application/json"
    return json.loads(body)


def indices(page):
    return [row["round_index"] for row in page["rounds"]]


def test_a_row_has_every_field_of_the_report(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    page = get(master)
    assert indices(page) == [1, 2, 3, 4, 5] and page["next"] == 5
    assert page["rounds"] == [dict(row._asdict()) for row in master.run.record.rounds()]
    assert [row["test_loss"] for row in page["rounds"]] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert all(row["uploaded"] == 2 and row["payload_bits_up"] > 0 for row in page["rounds"])


def test_pages_follow_each_other_without_gap_or_repeat(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    seen, since = [], 0
    while True:
        page = get(master, "?limit=2&since=%d" % since)
        seen.append(indices(page))
        if not page["rounds"]:
            break
        since = page["next"]
    assert seen == [[1, 2], [3, 4], [5], []] and page["next"] == 5


def test_before_the_first_round_there_are_none(master):
    assert get(master) == {"rounds": [], "next": 0}


@pytest.mark.parametrize("since", [5, 10**9, 2**63 - 1])
def test_after_the_last_round_there_are_none_and_next_stays(since):
    assert history([], since) == {"rounds": [], "next": since}


@pytest.mark.parametrize("since", [5, 10**9, 2**63 - 1])
def test_the_master_has_no_rounds_after_the_last(make_master, run_workers, since):
    master = make_master(*RUN)
    run_workers(master)
    assert get(master, "?since=%d" % since) == {"rounds": [], "next": since}


def test_only_the_rows_of_the_page_are_made_and_nothing_waits_for_them(make_master, run_workers, monkeypatch):
    master = make_master(*RUN)
    run_workers(master)
    made, make = [], record_module.row_of

    def row_of(closed, *more):
        assert not master.run.record._lock.locked()
        made.append(closed.report.round_index)
        return make(closed, *more)

    monkeypatch.setattr(record_module, "row_of", row_of)
    assert indices(get(master, "?since=2&limit=1")) == made == [3]
    assert len(master.run.record.rounds()) == 5


def test_without_a_limit_a_page_is_bounded(master, monkeypatch):
    asked = []
    monkeypatch.setattr(master.run.record, "rounds", lambda *bounds: asked.append(bounds) or [])

    get(master)
    get(master, "?since=7&limit=%d" % MAX_ROWS)
    assert asked == [(0, DEFAULT_ROWS), (7, MAX_ROWS)]


def test_non_finite_numbers_become_null():
    page = history([row(1, training_loss=math.nan, own_loss=math.inf, own_accuracy=-math.inf, round_s=0.5)], 0)
    (found,) = page["rounds"]
    assert (found["training_loss"], found["own_loss"], found["own_accuracy"], found["round_s"]) == (None,) * 3 + (0.5,)
    json.dumps(page, allow_nan=False)


@pytest.mark.parametrize(
    "query, what",
    [
        ("since=-1", "since must be in 0.."),
        ("since=x", "since must be an integer"),
        ("since=", "since must be an integer"),
        ("since=1.5", "since must be an integer"),
        ("since=" + "9" * 5000, "since must be an integer"),
        ("since=9223372036854775808", "since must be an integer"),
        ("limit=0", "limit must be in 1.."),
        ("limit=-5", "limit must be in 1.."),
        ("limit=%d" % (MAX_ROWS + 1), "limit must be in 1.."),
        ("limit=NaN", "limit must be an integer"),
        ("sinse=3", "may hold since and limit"),
        ("%ff=3", "may hold since and limit"),
        ("x" * 3000 + "=1", "may hold since and limit"),
    ],
)
def test_a_query_that_means_nothing_is_422(master, query, what):
    assert what in assert_refused(master.send("GET", "/history?" + query), 422)


def test_head_has_the_length(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    code, headers, body = master.send("HEAD", "/history")
    assert code == 200 and body == b""
    assert int(headers["Content-Length"]) == len(master.send("GET", "/history")[2]) > 1000
