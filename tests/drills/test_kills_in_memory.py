"""Killed at any step and restarted, master and workers train the same model, bit for bit.

The kills are at every point, with every stateful setting; in one process, with real files and virtual network and time.
test_kills.py has the same points with real processes.
"""

import os
import random
import sys
from functools import lru_cache
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "engines"))

from crash_master import BEFORE, CLOSING, JOURNALLED, KEYFRAME, MASTER_POINTS, RESUMED  # noqa: E402
from crash_network import POINTS, TRAINING, CrashNetwork  # noqa: E402
from factory import quadratic_with  # noqa: E402

from flq.engines.simulation import simulate  # noqa: E402

SMALL = dict(total_workers=3, max_rounds=7, dim=21, lease_s=1e9, give_up_s=3600.0)
CONFIGURATIONS = {
    "fedavg": dict(SMALL, mode="fedavg"),
    "laq8, momentum": dict(SMALL, mode="laq8", server_optimizer="momentum"),
    "bbit, residual": dict(SMALL, b_down=8),
    "bin, residual": dict(SMALL, mode="bin", b_down=0),
    "lowrank, momentum, average": dict(SMALL, mode="lowrank", server_optimizer="momentum", server_lr=0.6, ema=0.5),
    "laq": dict(SMALL, mode="laq", update="gradient", lr=0.02, C=2),
    "bbit, mirror, lazy": dict(SMALL, memory="mirror", thr_scale=3.0, C=2),
    "bbit, residual, lazy, average": dict(SMALL, thr_scale=3.0, C=2, ema=0.5),
    "gradients, flq, adam, average": dict(SMALL, update="gradient", server_optimizer="adam", lr=0.01, ema=0.5),
    "residual, one at a time": dict(SMALL, sel_clients=1, C=1),
    "mirror, budget, coded": dict(SMALL, dim=300, b_up=2, up_budget_bits=1400, memory="mirror"),
}


ALL = os.environ.get("FLQ_DRILLS") == "all"
CROSS = [
    (point, name, first)
    for i, point in enumerate(POINTS)
    for j, name in enumerate(CONFIGURATIONS)
    for first in (1, 2)
    if ALL or (i + j) % 2 == first % 2
]
CROSS = [
    (point, name, first) for point, name, first in CROSS if point != KEYFRAME or "coded" not in name
]  # whose deltas are always shorter than a keyframe


@lru_cache(maxsize=None)
def undisturbed(name):
    return simulate(quadratic_with(**CONFIGURATIONS[name]))


def check(folder, name, strikes, lease_s=1e9, **options):
    """Run with kills, and compare with the run without."""
    expected = undisturbed(name)
    settings = quadratic_with(**dict(CONFIGURATIONS[name], lease_s=lease_s))
    network = CrashNetwork(str(folder), settings, strikes, **options).run()
    machine = network.master.machine
    assert machine.model.state.model.tobytes() == expected.model.tobytes()
    assert machine.model.state.shared.tobytes() == expected.shared.tobytes()
    assert machine.model.state.result.tobytes() == expected.master.model.state.result.tobytes()
    assert [peer.action.code for peer in network.peers] == [0] * len(network.peers)
    for kept, report in zip(network.reports, expected.reports):
        assert (kept.round_index, kept.roll_call, kept.payload_bits_up) == (
            report.round_index,
            report.roll_call,
            report.payload_bits_up,
        )
    assert len(network.reports) == len(expected.reports)
    notes = " ".join(network.master.notes + [note for peer in network.peers for note in peer.notes])
    assert "differ" not in notes and "memories are empty" not in notes
    return network


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_without_kills_it_is_the_simulation(scratch, name):
    network = check(scratch, name, lambda point, n: False)
    assert network.master.n_keyframes == 0
    reached = set(network.reached_at)
    assert reached == set(POINTS) - {KEYFRAME, RESUMED}  # all points are reached; these two need a kill


@pytest.mark.parametrize("point, name, first", CROSS)
def test_killed_every_other_time_that_it_comes_to_a_point(scratch, point, name, first):
    def strikes(other, n):
        if point == KEYFRAME and other == TRAINING:
            return n % 5 == 0  # a worker that comes back needs one
        if point == RESUMED and other == "after the answer":
            return n % 5 == 0
        return other == point and n % 2 == first % 2

    network = check(scratch, name, strikes, together=first == 1)
    assert network.fired[point] > 0
    if point in MASTER_POINTS and point != KEYFRAME:
        assert network.master.n_keyframes == 0  # no other worker has lost anything


@pytest.mark.parametrize("seed", range(200 if ALL else 10))
def test_killed_at_random_points(scratch, seed):
    print("seed", seed)
    draws = random.Random(seed)
    network = check(
        scratch,
        draws.choice(sorted(CONFIGURATIONS)),
        lambda point, n: draws.random() < 0.1,
        together=draws.random() < 0.5,
    )
    assert sum(network.fired.values()) > 5


@pytest.mark.parametrize("point", [BEFORE, JOURNALLED, CLOSING])
@pytest.mark.parametrize("name", ["bbit, residual", "mirror, budget, coded"])
def test_a_master_that_is_away_for_ten_minutes_finds_everybody_waiting(scratch, name, point):
    """Longer than a lease, but workers that waited for the master have not been silent."""
    network = check(scratch, name, lambda other, n: other == point and n == 5, away_s=600.0, lease_s=300.0)
    assert network.fired[point] == 1 and network.now > 600.0
    assert not any("lost" in note for note in network.master.notes)
    assert any("trying again" in note for note in network.peers[0].notes)


def test_a_worker_gives_up_only_when_the_master_is_away_for_longer_than_its_limit(scratch):
    settings = quadratic_with(**CONFIGURATIONS["fedavg"])
    network = CrashNetwork(str(scratch), settings, lambda point, n: point == BEFORE and n == 5, away_s=4000.0).run()
    assert [peer.action.code for peer in network.peers] == [1] * 3
    assert all("giving up after" in peer.action.sentence for peer in network.peers)
    assert 3600.0 <= network.now < 4000.0
