"""kill -9 of real processes at each relevant step: restarted, they train the same model, bit for bit.

Each drill has one run with several kills; --drills kills at every point, with every stateful setting.
test_kills_in_memory.py does so too, but in one process.
"""

import json
import os
import subprocess
import sys
from functools import lru_cache

import numpy as np
import pytest
from armed import MASTER, POINTS
from armed_cluster import ArmedCluster, Kill, check_same, drill, rounds_of
from cluster import REPOSITORY, RUN_S, settings_of

from flq.engines import simulation

SMALL = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=200",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=14",
    "system.snapshot_every=3",
    "system.linger_s=5",
)
CONFIGURATIONS = {
    "bbit, residual, lazy": ("thr_scale=3", "C=2"),
    "bin, mirror, lazy, budget": ("mode=bin", "b_down=8", "memory=mirror", "thr_scale=3", "C=2", "up_budget_bits=400"),
    "gradients, flq, adam, average": ("update=gradient", "server_optimizer=adam", "lr=0.01", "ema=0.5"),
    "laq8, momentum": ("mode=laq8", "server_optimizer=momentum", "server_lr=0.5"),
    "bin, residual, one at a time": ("mode=bin", "b_down=0", "sel_clients=1", "C=1"),
    "bbit, mirror": ("memory=mirror",),
    "fedavg": ("mode=fedavg",),
    "lowrank, momentum, average": ("mode=lowrank", "server_optimizer=momentum", "server_lr=0.6", "ema=0.5"),
}
SEVERAL = {
    "bbit, residual, lazy": {
        "master": [
            Kill("before the journal", 4),
            Kill("after the journal, before the answer", 3),
            Kill("while it resumes"),
            Kill("in the middle of a snapshot"),
            Kill("between model and workbook"),
        ],
        "worker0": [Kill("after training", 2)],
        "worker1": [Kill("after the commit", 3)],
    },
    "bin, mirror, lazy, budget": {
        "master": [
            Kill("within the journal", 7),
            Kill("after the answer", 3),
            Kill("before the results are saved"),
            Kill("in the middle of the workbook"),
        ],
        "worker0": [Kill("after sending", 3), Kill("in the middle of the record", 2)],
        "worker1": [Kill("before the commit", 2), Kill("after the record", 2)],
    },
    "gradients, flq, adam, average": {
        "master": [
            Kill("before a round closes", 2),
            Kill("when a round has closed", 5),
            Kill("while a keyframe is encoded"),
            Kill("before the run has ended for good"),
        ],
        "worker0": [Kill("after training", 11)],
        "worker1": [Kill("after the record")],
    },
}
AT_THE_END = (
    "before the results are saved",
    "between model and workbook",
    "in the middle of the workbook",
    "before the run has ended for good",
)  # once in each life

WITH_TENSORFLOW = (
    "dataset.name=digits",
    "model.name=mlp",
    "system.max_rounds=4",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.snapshot_every=2",
    "memory=mirror",
    "thr_scale=1",
    "C=3",
)
SIMULATED = """
import json, sys
import numpy as np
from armed_cluster import rounds_of
from cluster import settings_of
from flq.engines import simulation
run = simulation.simulate(settings_of(*sys.argv[2:]))
np.save(sys.argv[1], run.master.model.state.result)
print(json.dumps(rounds_of(run.reports)))
"""


@lru_cache(maxsize=None)
def undisturbed(name):
    """Return the model and the rounds of the run without kills."""
    run = simulation.simulate(settings_of(*SMALL + CONFIGURATIONS[name]))
    return run.master.model.state.result, rounds_of(run.reports)


@pytest.fixture
def make_cluster(tmp_path):
    """Return a function that makes an ArmedCluster; its programs are ended afterwards."""
    made = []

    def make(*overrides):
        folder = tmp_path / ("project%d" % len(made))
        folder.mkdir()
        made.append(ArmedCluster(str(folder), overrides))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


def test_a_program_that_cannot_be_armed_ends_the_drill_at_once(make_cluster):
    with pytest.raises(AssertionError, match="worker0 did not come to .*no such point(.|\n)*KeyError"):
        drill(make_cluster(*SMALL), {"master": [], "worker0": [Kill("no such point")], "worker1": []})


def test_every_point_has_its_turn():
    assert {kill.point for kills in SEVERAL.values() for lives in kills.values() for kill in lives} == set(POINTS)


@pytest.mark.parametrize("name", SEVERAL)
def test_killed_here_and_there_the_run_makes_the_same_model(make_cluster, name):
    cluster = make_cluster(*SMALL + CONFIGURATIONS[name])
    drill(cluster, SEVERAL[name])
    check_same(cluster, *undisturbed(name))


@pytest.mark.tf
def test_killed_at_three_points_with_tensorflow(make_cluster, tmp_path):
    pytest.importorskip("tensorflow")
    cluster = make_cluster(*WITH_TENSORFLOW)
    path, folders = str(tmp_path / "model.npy"), [REPOSITORY, os.path.dirname(os.path.abspath(__file__))]
    # In a process of its own: how many threads TensorFlow has is settled once per process.
    with subprocess.Popen(
        [sys.executable, "-c", SIMULATED, path] + list(WITH_TENSORFLOW),
        stdout=subprocess.PIPE,
        env={
            "PYTHONPATH": ":".join(folders),
            "PATH": "/usr/bin:/bin",
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    ) as simulating:
        drill(
            cluster,
            {
                "master": [Kill("before a round closes", 2)],
                "worker0": [Kill("after training", 2)],
                "worker1": [Kill("after the record", 3)],
            },
        )
        said, _ = simulating.communicate(timeout=2 * RUN_S)
    assert simulating.returncode == 0
    check_same(cluster, np.load(path), json.loads(said.decode("ascii").splitlines()[-1]))


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("point", POINTS)
def test_killed_twice_at_each_point_the_run_makes_the_same_model(make_cluster, point, name):
    kills = {"master": [], "worker0": [], "worker1": []}
    if point == "while a keyframe is encoded":
        kills.update(master=[Kill(point)], worker0=[Kill("after training", 12)])
    elif point == "while it resumes":
        kills.update(master=[Kill("after the answer", 9), Kill(point), Kill(point)])
    elif point in AT_THE_END:
        kills.update(master=[Kill(point), Kill(point)])
    else:
        kills["master" if POINTS[point].program == MASTER else "worker1"] = [Kill(point, 3), Kill(point, 2)]
    cluster = make_cluster(*SMALL + CONFIGURATIONS[name])
    drill(cluster, kills)
    check_same(cluster, *undisturbed(name))
