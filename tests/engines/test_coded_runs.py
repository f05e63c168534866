"""Coding of payloads makes them smaller and changes nothing else, in clusters of all kinds."""

from functools import partial

import pytest
from factory import quadratic_with

from flq.core.codecs import QUANTIZERS, lossless
from flq.engines import simulation
from flq.engines.simulation import simulate
from flq.protocol import exchange
from flq.training.frameworks import make_task
from flq_fed_v3 import federate

CONFIGURATIONS = {
    "two bits": dict(b_up=2, b_down=4),
    "three bits, mirrors": dict(b_up=3, memory="mirror", thr_scale=1.0),
    "float32": dict(mode="fedavg"),
    "laq8": dict(mode="laq8"),
}
MEDIUM = dict(dim=3001, max_rounds=4, total_workers=3)
LARGE = dict(dim=150001, max_rounds=3, total_workers=3, memory="mirror", thr_scale=0.0)  # large: zstd


def bits(run):
    """Return the payload bits of a run, up and down."""
    return (
        sum(report.payload_bits_up for report in run.reports),
        sum(report.payload_bits_down for report in run.reports),
    )


def simulate_mixed(monkeypatch, known, **changes):
    """Simulate with workers that know the codings ``known``, by id."""

    class Machine(simulation.WorkerMachine):
        def __init__(self, worker_id, *args, **more):
            super().__init__(worker_id, *args, codings=known[worker_id], **more)

    monkeypatch.setattr(simulation, "WorkerMachine", Machine)
    return simulate(quadratic_with(**changes))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_run_is_the_same_with_coding_in_fewer_bits(name):
    changes = dict(MEDIUM, **CONFIGURATIONS[name])
    raw, coded, zlib = (simulate(quadratic_with(coding=setting, **changes)) for setting in lossless.SETTINGS[::-1])
    for run in coded, zlib:
        assert run.model.tobytes() == raw.model.tobytes() and run.shared.tobytes() == raw.shared.tobytes()
        assert all(less < more for less, more in zip(bits(run), bits(raw)))
    assert bits(coded) == bits(zlib)  # payloads of this size


@pytest.mark.skipif("zstd" not in lossless.known(), reason="zstandard is not installed")
def test_each_worker_of_a_mixed_cluster_gets_codings_that_it_reads(monkeypatch):
    known = {0: ("zlib", "zstd"), 1: ("zlib",), 2: ()}
    used = []

    def decode(frame, link, expected, decode=exchange.decode):
        answer = decode(frame, link, expected)
        used.append((answer.worker_id, answer.coded and answer.coded.coding))
        return answer

    monkeypatch.setattr(exchange, "decode", decode)
    mixed = simulate_mixed(monkeypatch, known, **LARGE)
    assert set(used) == {(0, lossless.ZSTD), (1, lossless.ZLIB), (2, None)}
    raw = simulate(quadratic_with(coding="none", **LARGE))
    assert mixed.model.tobytes() == raw.model.tobytes()
    for worker_id, member in mixed.master.members.items():
        assert mixed.master.model.mirrors[worker_id].tobytes() == raw.master.model.mirrors[worker_id].tobytes()
        assert list(member.codings) == [name for name in known[worker_id]]
    traffic = mixed.master.delivery.traffic
    layout = make_task(quadratic_with(**LARGE)).layout
    uncoded = 8 * QUANTIZERS[4].payload_size(layout)
    assert traffic[2].payload_bits_up == 3 * uncoded and traffic[2].payload_bits_down == 2 * uncoded
    assert all(
        traffic[worker_id].payload_bits_up < 3 * uncoded and traffic[worker_id].payload_bits_down < 2 * uncoded
        for worker_id in (0, 1)
    )


def test_a_budget_is_spent_on_coded_bytes_and_the_reference_agrees():
    changes = dict(MEDIUM, b_up=2, total_workers=4, max_rounds=6)
    layout = make_task(quadratic_with(**changes)).layout
    changes["up_budget_bits"] = int(1.5 * 8 * QUANTIZERS[2].payload_size(layout))
    uploads = {}
    for setting in "none", "auto":
        settings = quadratic_with(coding=setting, **changes)
        run, rounds = simulate(settings), list(federate(settings))
        assert run.model.tobytes() == rounds[-1].server.model.tobytes()
        assert bits(run)[0] == sum(done.bits_up for done in rounds)
        assert all(report.payload_bits_up <= changes["up_budget_bits"] for report in run.reports)
        uploads[setting] = sum(list(report.roll_call.values()).count("uploaded") for report in run.reports)
    assert uploads["none"] == 6 and uploads["auto"] > 6


def test_a_master_without_a_workers_coding_learns_it_again(monkeypatch):
    calls = []
    monkeypatch.setattr(lossless, "known", partial(lambda calls: calls.append(1) or ("zlib",), calls))
    run = simulate_mixed(monkeypatch, {0: ("zlib", "zstd"), 1: ("zlib", "zstd"), 2: ("lzma",)}, **MEDIUM)
    assert [list(run.master.members[worker_id].codings) for worker_id in range(3)] == [["zlib"], ["zlib"], []]
    assert calls and run.reason == "4 rounds are done"
