"""Random kills of random processes in one run leave the model unchanged. FLQ_DRILL_SEED sets the printed seed."""

import os
import random

import pytest
from armed import ANYWHERE, MASTER, POINTS
from armed_cluster import ArmedCluster, Kill, check_same, drill, rounds_of
from cluster import settings_of

from flq.engines import simulation

ALL = os.environ.get("FLQ_DRILLS") == "all"
N_ROUNDS, N_KILLS = (80, 20) if ALL else (60, 24)
RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=200",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=%d" % N_ROUNDS,
    "system.snapshot_every=2",
)
CONFIGURATIONS = {
    "bbit, mirror, lazy": ("mode=bbit", "memory=mirror", "thr_scale=2", "C=3"),
    "bbit, residual": ("mode=bbit", "memory=residual"),
    "bbit, flq, gradients, adam": (
        "mode=bbit",
        "b_up=3",
        "memory=flq",
        "update=gradient",
        "server_optimizer=adam",
        "lr=0.01",
    ),
    "bbit, mirror, coded, budget": ("mode=bbit", "b_up=2", "memory=mirror", "coding=zlib", "up_budget_bits=900"),
    "bin, residual, one at a time": ("mode=bin", "b_down=0", "sel_clients=1", "C=1"),
    "bin, mirror, lazy, budget": ("mode=bin", "b_down=8", "memory=mirror", "thr_scale=3", "C=2", "up_budget_bits=400"),
    "lowrank, momentum, average": ("mode=lowrank", "server_optimizer=momentum", "server_lr=0.6", "ema=0.5"),
    "laq8, momentum": ("mode=laq8", "server_optimizer=momentum", "server_lr=0.5"),
    "laq": ("mode=laq", "update=gradient", "lr=0.02", "C=2"),
    "fedavg": ("mode=fedavg",),
}
ONCE_PER_LIFE = ("while it resumes", "in the middle of a snapshot")  # or so seldom that once will do
NAMES = ("master", "worker0", "worker1")
ONCE_PER_RUN = (
    "before the results are saved",
    "between model and workbook",
    "in the middle of the workbook",
    "before the run has ended for good",
    "while a keyframe is encoded",
)  # which may not come in a life
BEGUN = Kill("after the journal, before the answer", 3)  # before that there may be no run to resume


def kills_of(name, seed):
    """Draw the kills of a program: at points, and in between, each after a little progress."""
    draws = random.Random("%s %s" % (seed, name))
    points = [
        point
        for point, where in POINTS.items()
        if (where.program == MASTER) == (name == "master") and point not in ONCE_PER_RUN
    ]
    count = N_KILLS // len(NAMES) + (NAMES.index(name) < N_KILLS % len(NAMES))
    kills = [
        Kill(ANYWHERE, draws.randrange(1, 4000))
        if draws.random() < 0.3
        else Kill(point, 1 if point in ONCE_PER_LIFE else draws.randrange(1, 4))
        for point in (draws.choice(points) for _ in range(count))
    ]
    return ([BEGUN] + kills[1:]) if name == "master" else kills


@pytest.mark.parametrize("name", CONFIGURATIONS if ALL else list(CONFIGURATIONS)[:1])
def test_random_kills_of_random_processes_change_nothing(name, tmp_path):
    seed = "%s %s" % (os.environ.get("FLQ_DRILL_SEED", "20260801"), name)
    print("FLQ_DRILL_SEED=%s" % seed)
    with ArmedCluster(str(tmp_path), RUN + CONFIGURATIONS[name]) as cluster:
        kill_and_compare(cluster, seed)


def kill_and_compare(cluster, seed):
    kills = {name: kills_of(name, seed) for name in NAMES}
    assert sum(map(len, kills.values())) == N_KILLS
    seats = drill(cluster, kills)
    assert sum(len(seat.fired) for seat in seats.values()) == N_KILLS
    undisturbed = simulation.simulate(settings_of(*cluster.overrides))
    check_same(cluster, undisturbed.master.model.state.result, rounds_of(undisturbed.reports))
