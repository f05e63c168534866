"""Bytes counted by a relay between the programs: per upload, totals, duplicates, budgets."""

import time
from collections import defaultdict

import numpy as np
import pytest
from cluster import ask, end_well, settings_of, stop
from passage import drop, truncate
from relay import Relay

from flq.engines import simulation
from flq.protocol.messages import Kind
from flq.protocol.wire import ANSWER, PREFIX_SIZE

N_PARAMS, N_TENSORS = 159010, 4  # of mlp on 28 x 28 images
LARGE = ("model.name=quadratic", "model.lr=0.05", "model.dim=%d" % N_PARAMS)
SMALL = ("model.name=quadratic", "model.lr=0.05")
HEAD_UP, HEAD_DOWN = 203, 45  # bytes of HTTP in one exchange; the token has 43, the key of the session 12


def run_through_relay(cluster, overrides, n_workers=4, faults=None):
    """Run to the end; return the master and the relay with its final counts."""
    master = cluster.master(*overrides)
    with Relay(("127.0.0.1", master.port), faults) as relay:
        end_well(master, cluster.workers(range(n_workers), relay.port))
    return master, relay


@pytest.mark.parametrize("bits, overrides", [(1, ("mode=bin",)), (2, ("b_up=2",)), (4, ("b_up=4",)), (8, ("b_up=8",))])
def test_an_upload_costs_its_bits_and_next_to_nothing_more(cluster, bits, overrides):
    alone = ("system.total_workers=1", "system.min_workers=1", "system.max_rounds=2", "coding=none")
    master, relay = run_through_relay(cluster, LARGE + alone + overrides, n_workers=1)
    uploads = relay.exchanges("/upload_update")
    limit = bits * N_PARAMS / 8 * 1.01 + 4 * N_TENSORS + 1024
    assert len(uploads) == 2
    for upload in uploads:
        assert upload.status == 200
        assert [frame.kind for frame in upload.sent] == [Kind.UPLOAD]
        assert bits * N_PARAMS / 8 < upload.request_bytes <= limit
    # The way down: one delta frame per round after the first, and never a whole model.
    frames = [frame for exchange in relay.exchanges() for frame in exchange.received]
    assert [frame.kind for frame in frames].count(Kind.DELTA) == 1
    assert Kind.KEYFRAME not in [frame.kind for frame in frames]
    assert relay.bytes_down < limit + 2 * 4096


def test_a_round_is_one_exchange_with_little_around_its_frames(cluster):
    overrides = SMALL + ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=4", "telemetry_s=0")
    _, relay = run_through_relay(cluster, overrides, n_workers=2)
    uploads = relay.exchanges("/upload_update")
    assert len(uploads) == 2 * 4 and len(relay.exchanges("/get_global_model")) == 2 and relay.n_connections == 2
    for upload in uploads:
        kinds = [frame.kind for frame in upload.received]
        assert kinds in ([Kind.VERDICT, Kind.PLAN, Kind.DELTA], [Kind.VERDICT, Kind.PLAN])  # the second is the end
        assert upload.request_head_bytes <= HEAD_UP
        assert upload.response_bytes - sum(frame.size for frame in upload.received) <= HEAD_DOWN


def test_the_workbook_agrees_with_the_relay_in_a_run_with_faults(cluster):
    overrides = LARGE + ("system.max_rounds=6", "b_up=4")
    faults = {("/upload_update", 6): truncate, ("/upload_update", 11): drop, ("/get_global_model", 3): drop}
    master, relay = run_through_relay(cluster, overrides, faults=faults)
    fired = [exchange.fault for exchange in relay.exchanges() if exchange.fault]
    assert (fired.count(drop), fired.count(truncate)) == (2, 1)

    # The faults cost bytes and nothing else.
    simulated = simulation.simulate(settings_of(*overrides))
    assert np.array_equal(master.model(settings_of(*overrides)), simulated.model)
    rounds, summary = master.table("Rounds"), master.summary()
    assert [row["uploaded"] for row in rounds] == [4] * 6
    assert [row["payload up (bits)"] for row in rounds] == [report.payload_bits_up for report in simulated.reports]

    for direction, relayed in ("up", relay.bytes_up), ("down", relay.bytes_down):
        title = "wire %s (bytes)" % direction
        after = summary["wire %s after the last round (bytes)" % direction]
        assert sum(row[title] for row in rounds) + after == summary[title]
        assert after > 0 if direction == "down" else after >= 0  # the last verdicts come after the round
        assert abs(summary[title] - relayed) <= relayed / 100
        # Frames are what the relay saw of them, but for the end, which comes after the last round.
        in_frames = sum(row["frames %s (bytes)" % direction] for row in rounds)
        assert 0 < in_frames < summary[title]

    # Sent again: the upload whose answer was lost, with the delta frame in it, and a plan; the half upload is no frame.
    (upload,) = [exchange for exchange in relay.exchanges("/upload_update") if exchange.fault == drop]
    (poll,) = [exchange for exchange in relay.exchanges("/get_global_model") if exchange.fault == drop]
    again = sum(row["sent again (bytes)"] for row in rounds)
    assert [frame.kind for frame in upload.received] == [Kind.VERDICT, Kind.PLAN, Kind.DELTA]
    least = sum(frame.size for frame in upload.sent + upload.received + poll.received)
    assert least > N_PARAMS / 2  # 4 bits up and 4 down, coded
    assert least <= again < least + 1000

    assert Kind.KEYFRAME not in [frame.kind for exchange in relay.exchanges() for frame in exchange.received]


def test_the_status_agrees_with_the_relay_to_the_byte(cluster):
    master = cluster.master(*SMALL, "system.max_rounds=5", "telemetry_s=0", flags=("--keep_serving",))
    with Relay(("127.0.0.1", master.port)) as relay:
        workers = cluster.workers(range(4), relay.port)
        assert [worker.wait() for worker in workers] == [0] * 4
    deadline = time.monotonic() + 10.0  # the status is updated every second
    while True:
        totals = ask(master, "/status")["totals"]
        counted = (totals["wire_bytes_up"], totals["wire_bytes_down"])
        if counted == (relay.bytes_up, relay.bytes_down) or time.monotonic() > deadline:
            break
    assert counted == (relay.bytes_up, relay.bytes_down)
    assert totals["retransmitted_bytes"] == 0
    assert relay.n_connections == 4 and len(relay.exchanges()) == 4 * (2 + 1 + 5)  # to join, a poll, and the rounds
    stop(master)
    assert master.wait() == 0
    summary = master.summary()  # made after the last byte, so it has the looks at the status too
    assert (summary["wire up (bytes)"], summary["wire down (bytes)"]) == counted
    assert summary["wire of other peers (bytes)"] > 0


def test_a_short_run_has_two_small_reports(cluster):
    _, relay = run_through_relay(cluster, SMALL + ("system.max_rounds=5",))
    reports = relay.exchanges("/heartbeat")
    assert len(reports) == 4 * 2  # when it has joined, and with the last round
    assert 4 <= relay.n_connections <= 4 * 2  # a report opens a connection only while the worker's other one is in use
    assert max(report.request_bytes for report in reports) < 550
    assert max(report.response_bytes for report in reports) < 250


def test_a_worker_that_comes_late_gets_one_keyframe_and_then_deltas(cluster):
    overrides = SMALL + ("system.min_workers=3", "system.max_rounds=100000", "system.linger_s=5")
    master = cluster.master(*overrides)
    with Relay(("127.0.0.1", master.port)) as relay:
        early = cluster.workers(range(3), master.port)
        master.wait_for(r"round=20/")  # by then a chain of deltas is dearer than a keyframe
        late = cluster.worker(3, relay.port)
        late.wait_for(r"round=\d+ applied")
        stop(master)
        end_well(master, early + [late])
    first, *others = [exchange.received for exchange in relay.exchanges() if exchange.received]
    assert [frame.kind for frame in first] == [Kind.PLAN, Kind.KEYFRAME]
    assert Kind.KEYFRAME not in [frame.kind for frames in others for frame in frames]


@pytest.mark.parametrize(
    "limits, n_most",
    [
        (("up_budget_bits=8300",), 2),
        (("sel_clients=2", "up_budget_bits=4200"), 1),
        (("sel_clients=3", "up_budget_bits=10000", "memory=mirror", "C=2"), 2),
    ],
    ids=["bits", "workers and bits", "mirror"],
)
def test_no_round_spends_more_than_its_budget(cluster, limits, n_most):
    faults = {("/upload_update", 3): drop, ("/offer", 6): drop, ("/offer", 9): drop, ("/upload_update", 5): truncate}
    overrides = SMALL + ("system.max_rounds=10",) + limits
    settings = settings_of(*overrides)
    master, relay = run_through_relay(cluster, overrides, faults=faults)

    by_round = defaultdict(dict)
    for exchange in relay.exchanges("/upload_update"):
        for frame in exchange.sent:  # a frame that is sent again is the same frame
            assert frame.kind == Kind.UPLOAD
            by_round[frame.index][exchange.query] = 8 * (frame.size - PREFIX_SIZE - ANSWER.size)
    assert sorted(by_round) == list(range(1, 11))
    budget = settings.budget_selection.up_budget_bits or 10**9
    for bits_of in by_round.values():
        assert 1 <= len(bits_of) <= n_most
        assert sum(bits_of.values()) <= budget
    assert max(map(len, by_round.values())) == n_most  # the limit was felt

    rounds = master.table("Rounds")
    assert [row["payload up (bits)"] for row in rounds] == [sum(by_round[k].values()) for k in sorted(by_round)]
    assert np.array_equal(master.model(settings), simulation.simulate(settings).model)
