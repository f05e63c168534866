"""Random kills of random processes, over one run: the same model. The seed is printed, and FLQ_DRILL_SEED sets it."""

import os
import random

import pytest
from armed import ANYWHERE, MASTER, POINTS
from armed_cluster import ArmedCluster, Kill, check_same, drill, rounds_of
from cluster import settings_of

from flq.simulate import loopback

ALL = os.environ.get("FLQ_DRILLS") == "all"
N_ROUNDS, N_KILLS = (400, 100) if ALL else (60, 24)
RUN = ("model.name=quadratic", "model.lr=0.05", "model.dim=200", "system.total_workers=2", "system.min_workers=2",
       "system.max_rounds=%d" % N_ROUNDS, "system.snapshot_every=2", "mode=bbit", "memory=mirror", "thr_scale=2", "C=3")
ONCE_PER_LIFE = ("while it resumes", "in the middle of a snapshot")  # or so seldom that once will do
NAMES = ("master", "worker0", "worker1")
ONCE_PER_RUN = ("before the results are saved", "while a keyframe is encoded")  # which may not come in a life
BEGUN = Kill("after the journal, before the answer", 3)  # before that there may be no run to go on with


def kills_of(name, seed):
    """Draw the ends of a program's lives: at points, and in between; each comes after a little progress."""
    draws = random.Random("%s %s" % (seed, name))
    points = [point for point, where in POINTS.items()
              if (where.program == MASTER) == (name == "master") and point not in ONCE_PER_RUN]
    count = N_KILLS // len(NAMES) + (NAMES.index(name) < N_KILLS % len(NAMES))
    kills = [Kill(ANYWHERE, draws.randrange(1, 4000)) if draws.random() < 0.3 else
             Kill(point, 1 if point in ONCE_PER_LIFE else draws.randrange(1, 4))
             for point in (draws.choice(points) for _ in range(count))]
    return ([BEGUN] + kills[1:]) if name == "master" else kills


@pytest.fixture
def cluster(tmp_path):
    """Return an ArmedCluster; what it started is ended afterwards."""
    made = ArmedCluster(str(tmp_path), RUN)
    yield made
    made.close()


@pytest.mark.slow
def test_random_kills_of_random_processes_change_nothing(cluster):
    seed = int(os.environ.get("FLQ_DRILL_SEED", "20260801"))
    print("FLQ_DRILL_SEED=%d" % seed)
    kills = {name: kills_of(name, seed) for name in NAMES}
    assert sum(map(len, kills.values())) == N_KILLS
    seats = drill(cluster, kills)
    assert sum(len(seat.fired) for seat in seats.values()) == N_KILLS
    undisturbed = loopback.simulate(settings_of(*RUN))
    check_same(cluster, undisturbed.master.server.result, rounds_of(undisturbed.reports))
