"""The feed of the page: correct, and of bounded size for any length of a run."""

import json
import math

import pytest
from factory import settings_with
from hypothesis import given
from hypothesis import strategies as st
from report_rows import a_round

from flq.core.layout import Layout, Tensor
from flq.core.statuses import STATUSES
from flq.master.live import feed
from flq.master.live.news import News
from flq.master.live.sources import Rows
from flq.master.live.status import status_before
from flq.master.records.round_log import Closed, Evaluated, Record
from flq.master.records.wire_meter import Wire
from flq.protocol.events import RoundReport

HOSTILE = "<script>alert(1)</script>\u202eabc\u200f=1+1\"'&\u2028"
SETTINGS = settings_with(up_budget_bits=16000)
FACTS = feed.facts_of(SETTINGS, "digits", 1000)
WORKER = dict(
    {name: 3 for name in STATUSES},
    connected=True,
    samples=100,
    round=7,
    loss=0.5,
    last_seen_s=1.5,
    wire_bytes_up=10,
    wire_bytes_down=5,
    device=None,
)


def status(**workers):
    said = status_before("run", "0" * 64, "OPEN", 2000)
    return dict(said, worker_status={name[1:]: dict(WORKER, **worker) for name, worker in workers.items()})


# -- curves ------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e9, 1e9), max_size=400), st.integers(4, 50))
def test_a_thinned_curve_keeps_both_ends_and_the_extremes(values, n_most):
    chosen = feed.thinned(values, n_most)
    assert chosen == sorted(set(chosen)) and len(chosen) <= n_most
    if values:
        kept = [values[index] for index in chosen]
        assert chosen[0] == 0 and chosen[-1] == len(values) - 1
        assert min(kept) == min(values) and max(kept) == max(values)


def test_a_short_curve_is_whole():
    assert feed.thinned([3.0, 1.0, 2.0], 4) == [0, 1, 2]


def test_a_curve_has_points_where_a_value_is_known_with_all_bytes_by_then():
    rows = [
        a_round(index, wire_bytes_up=10 * index, wire_bytes_down=1, test_loss=value, own_loss=None)
        for index, value in enumerate([None, 0.123456789, math.nan, math.inf, 0.25], 1)
    ]
    curve = feed.rounds_message(rows, [], 2000, FACTS)["curves"]["test_loss"]
    assert curve == {"round": [2, 5], "bytes": [32, 155], "value": [0.12346, 0.25]}


def test_where_nothing_is_tested_the_workers_own_results_are_shown():
    rows = [a_round(1, accuracy=None, test_loss=None, own_accuracy=0.75, own_loss=2.5)]
    curves = feed.rounds_message(rows, [], 2000, FACTS)["curves"]
    assert curves["accuracy"]["value"] == [0.75] and curves["test_loss"]["value"] == [2.5]


# -- histories ---------------------------------------------------------------------------


def test_a_history_has_a_letter_for_each_round():
    calls = [{0: "uploaded", 1: "skipped"}, {0: "refused"}, {0: "late", 1: "lost"}]
    assert feed.histories(calls) == {"0": "url", "1": "s.x"}


def test_there_is_a_letter_for_every_status():
    assert set(feed.LETTERS) == set(STATUSES) and len(set(feed.LETTERS.values()) | {feed.ABSENT}) == len(STATUSES) + 1


# -- numbers -----------------------------------------------------------------------------


def test_the_bytes_in_float32_are_known_with_the_layout():
    rows = [a_round(2, uploaded=3, skipped=2, refused=1, late=1, lost=5)]
    layout = Layout((Tensor("kernel", (2, 5)),))
    snapshots = [feed.rounds_message(rows, [], 2000, FACTS, known)["snapshot"] for known in (layout, None)]
    assert [snapshot["float_bytes"] for snapshot in snapshots] == [4 * 10 * ((3 + 2 + 1 + 1) + 3), 0]


def test_the_use_of_a_budget_is_by_payload_bits():
    rows = [a_round(1, payload_bits_up=8000), a_round(2, payload_bits_up=12000)]
    snapshot = feed.rounds_message(rows, [], 2000, FACTS)["snapshot"]
    assert snapshot["budget"] == {"bits": 16000, "last": 0.75, "mean": 0.625}
    assert feed.budget(rows, 0) is None and feed.budget([], 16000) is None


# -- key figures -------------------------------------------------------------------------


def test_all_key_figures_are_of_the_newest_round_with_test_results():
    """An accuracy of round 2 beside the bytes of round 4 would be no run's."""
    rows = [
        a_round(
            1, accuracy=0.5, test_loss=2.0, own_loss=None, wire_bytes_up=1, wire_bytes_down=10, uploaded=2, skipped=0
        ),
        a_round(
            2, accuracy=0.4, test_loss=2.5, own_loss=None, wire_bytes_up=2, wire_bytes_down=20, uploaded=2, skipped=0
        ),
        a_round(3, accuracy=None, test_loss=None, own_accuracy=None, own_loss=None, wire_bytes_up=4),
        a_round(4, accuracy=None, test_loss=None, own_accuracy=None, own_loss=None, wire_bytes_up=8),
    ]
    assert feed.snapshot(rows, FACTS, Layout((Tensor("kernel", (1000,)),))) == {
        "round": 2,
        "accuracy": 0.4,
        "highest": 0.5,
        "test_loss": 2.5,
        "lowest": 2.0,
        "training_loss": 2.0,
        "wire_bytes_up": 3,
        "wire_bytes_down": 30,
        "float_bytes": 4 * 1000 * (2 + 2 + 2),  # no download in round 1
        "budget": {"bits": 16000, "last": 0.5, "mean": 0.5},
    }


def test_without_test_results_the_key_figures_are_of_the_newest_round():
    bare = dict(accuracy=None, test_loss=None, own_accuracy=None, own_loss=None)
    snapshot = feed.snapshot([a_round(1, **bare), a_round(2, training_loss=0.5, **bare)], FACTS)
    assert (snapshot["round"], snapshot["training_loss"], snapshot["test_loss"], snapshot["lowest"]) == (
        2,
        0.5,
        None,
        None,
    )
    assert feed.snapshot([], FACTS) is None


def test_results_are_named_without_their_folders():
    places = {"workbook": "flq_results.xlsx", "folder": "run_7"}
    assert feed.state_message(status(), FACTS, places)["results"] == places
    assert feed.state_message(status(), FACTS)["results"] is None


# -- the whole ---------------------------------------------------------------------------


def test_the_size_is_bounded_with_64_workers_and_2000_rounds():
    def size(n_rounds):
        rows = [
            a_round(index, accuracy=math.sin(index), test_loss=1 / index, training_loss=2 / index)
            for index in range(1, n_rounds + 1)
        ]
        message = feed.rounds_message(rows, [dict.fromkeys(range(64), "uploaded")] * feed.HISTORY, 10**6, FACTS)
        assert all(len(curve["value"]) <= feed.MOST_POINTS for curve in message["curves"].values())
        return len(json.dumps(message, separators=(",", ":")))

    assert size(20000) < 1.2 * size(2000) < 50000
    news = News()
    for _ in range(2000):
        news.add("lost", "x" * 100)
    assert len(feed.log_message(news.newest())["items"]) == feed.MOST_LINES
    state = feed.state_message(status(**{"w%d" % index: {} for index in range(64)}), FACTS)
    assert len(json.dumps(state, separators=(",", ":"))) < 20000


def test_texts_of_workers_stay_as_they_are():
    device = {"name": HOSTILE, "problem": HOSTILE, "temperature_c": 41.5, "age_s": 1.0}
    (worker,) = feed.state_message(status(w0={"device": device}), FACTS)["workers"]
    assert worker["name"] == worker["problem"] == HOSTILE
    assert worker["temperature_c"] == 41.5 and worker["power_w"] is None
    item = News(lambda: 5.0).add("problem", HOSTILE, 3, 7)
    assert feed.log_message([item])["items"] == [
        {"number": 1, "at": 5.0, "kind": "problem", "text": HOSTILE, "worker_id": 3, "round_index": 7}
    ]


def test_non_finite_numbers_are_null():
    (worker,) = feed.state_message(status(w0={"loss": math.nan}), FACTS)["workers"]
    assert worker["loss"] is None
    rows = [a_round(1, test_loss=math.nan, accuracy=math.inf, training_loss=-math.inf)]
    message = feed.rounds_message(rows, [], 2000, FACTS)
    json.dumps(message, allow_nan=False)
    snapshot = message["snapshot"]
    assert [snapshot[name] for name in ("accuracy", "highest", "test_loss", "lowest", "training_loss")] == [None] * 5


@pytest.mark.parametrize(
    "message", [feed.state_message(status(w0={}), FACTS), feed.rounds_message([a_round()], [{0: "late"}], 2000, FACTS)]
)
def test_there_is_no_path_and_no_address(message):
    assert "/" not in json.dumps(message)


def test_only_rounds_that_may_change_are_read_again(monkeypatch):
    report, record, read = RoundReport(0, {}, *[0] * 11), Record(), []
    for round_index in range(1, 7):
        record.add_round(Closed(report._replace(round_index=round_index), Wire()))
    rounds = record.rounds
    monkeypatch.setattr(record, "rounds", lambda since: [read.append(since), rounds(since)][1])
    rows = Rows(record)
    record.add_evaluation(2, Evaluated(0.2))
    assert [row.test_loss for row in rows.newest()] == [None, 0.2] + [None] * 4
    record.give_up_before(4)  # a master that takes a run up does not know the models of these rounds
    record.add_evaluation(5, Evaluated(0.5))
    assert [row.test_loss for row in rows.newest()] == [None, 0.2, None, None, 0.5, None]
    record.add_evaluation(4, Evaluated(0.4))
    assert [row.test_loss for row in rows.newest()] == [None, 0.2, None, 0.4, 0.5, None]
    assert len(rows.newest()) == 6 and read == [0, 0, 3, 5]
