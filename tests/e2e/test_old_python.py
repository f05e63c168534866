"""Workers with Python 3.6 and numpy 1.19 beside a master and workers of today: the same bits on both sides."""

import os
import subprocess

import numpy as np
import pytest
from cluster import REPOSITORY, ask, end_well, settings_of, stop

from flq.simulate.loopback import simulate

PYTHON36 = os.path.join(REPOSITORY, ".venv36", "bin", "python")
COMMON = ("model.name=quadratic", "model.dim=6000", "model.lr=0.05", "system.total_workers=3", "system.min_workers=3",
          "system.max_rounds=12")
MODES = {
    # Of matrices another BLAS makes other payloads; that all decode a payload alike is tested in core/test_lowrank.py.
    "lowrank, without matrices": ("mode=lowrank",),
    "bbit, mirror, lazy, coded": ("mode=bbit", "b_up=4", "b_down=8", "memory=mirror"),
    "bbit, residual, budget": ("mode=bbit", "b_up=3", "memory=residual", "sel_clients=2", "grant_by=age"),
    "laq": ("mode=laq", "update=gradient", "lr=0.02"),
    "bin": ("mode=bin", "memory=residual"),
}


@pytest.fixture
def python36():
    if not os.path.exists(PYTHON36) or subprocess.call([PYTHON36, "-c", ""]) != 0:
        pytest.skip("no .venv36: run_tests.sh makes it where a CPython 3.6 is found")
    return PYTHON36


@pytest.mark.parametrize("name", MODES)
def test_old_and_new_workers_hold_the_same_copy_and_make_the_same_model(cluster, python36, name):
    overrides = COMMON + MODES[name]
    master = cluster.master(*overrides, flags=("--keep_serving",))
    old = [cluster.worker(worker_id, master.port, python=python36) for worker_id in (0, 2)]
    new = cluster.worker(1, master.port)
    for worker in old + [new]:
        assert worker.wait() == 0, worker.text
    tally = ask(master, "/status")["worker_status"]
    stop(master)
    end_well(master, [])
    expected = simulate(settings_of(*overrides)).model
    assert np.array_equal(master.model(settings_of(*overrides)).view(np.uint32), expected.view(np.uint32))
    assert all(row["late"] == row["lost"] == 0 for row in tally.values())
    assert "(epoch 2)" not in master.text, master.text
    assert not any("asking for a keyframe" in worker.text for worker in old + [new])
