"""The cluster, the simulation and the reference make the same model, bit for bit."""

import subprocess
import sys

import numpy as np
import pytest
from cluster import REPOSITORY, RUN_S, end_well, settings_of

import flq_fed_v3
from flq.simulate import loopback

QUADRATIC = ("model.name=quadratic", "model.lr=0.05", "system.max_rounds=12")

RUNS = {
    "fedavg": ("mode=fedavg",),
    "fedavg, two of four": ("mode=fedavg", "sel_clients=2"),
    "bbit 2, mirror, lazy": ("b_up=2", "memory=mirror", "thr_scale=10", "C=3"),
    "bbit 4, down 8, lazy": ("b_up=4", "b_down=8", "thr_scale=10", "warmup=2", "C=2"),
    "bbit 4, mirror, lazy, three of four": ("b_up=4", "memory=mirror", "sel_clients=3", "C=3"),
    "bbit 4, mirror, lazy, budget": ("b_up=4", "memory=mirror", "up_budget_bits=8300", "C=4"),
    "bin, down float32, budget": ("mode=bin", "b_down=0", "up_budget_bits=3400"),
    "bin, mirror, lazy, budget": ("mode=bin", "memory=mirror", "thr_scale=3", "C=3", "up_budget_bits=2400"),
}


def federate(settings):
    """Return the last round of the reference."""
    *_, last = flq_fed_v3.federate(settings)
    return last


@pytest.mark.parametrize("name", RUNS)
def test_three_implementations_make_the_same_model(cluster, name):
    overrides = QUADRATIC + RUNS[name]
    settings = settings_of(*overrides)
    master = cluster.master(*overrides)
    end_well(master, cluster.workers(range(4), master.port))

    reference, simulated = federate(settings).server.model, loopback.simulate(settings)
    assert np.array_equal(simulated.model, reference)
    assert np.array_equal(master.model(settings), reference)
    assert np.any(reference != 0)

    # The run has done what its name says: otherwise equality would prove nothing.
    rounds = master.table("Rounds")
    assert (sum(row["skipped"] for row in rounds) > 0) == ("lazy" in name)
    assert (sum(row["refused"] for row in rounds) > 0) == ("budget" in name or "of four" in name)
    assert [row["uploaded"] for row in rounds] == [
        list(report.roll_call.values()).count("uploaded") for report in simulated.reports]
    assert [row["payload up (bits)"] for row in rounds] == [report.payload_bits_up for report in simulated.reports]


TENSORFLOW_RUN = ("dataset.name=digits", "model.name=mlp", "system.max_rounds=5", "b_up=4", "memory=mirror",
                  "thr_scale=1", "C=3", "up_budget_bits=110000")
IN_ONE_PROCESS = """
import sys
import numpy as np
import flq_fed_v3
from cluster import settings_of
from flq.simulate import loopback
settings = settings_of(*sys.argv[2:])
*_, last = flq_fed_v3.federate(settings)
np.savez(sys.argv[1], reference=last.server.model, simulated=loopback.simulate(settings).model)
"""


@pytest.mark.tf
@pytest.mark.slow
def test_three_implementations_make_the_same_model_with_tensorflow(cluster, tmp_path):
    pytest.importorskip("tensorflow")
    path = str(tmp_path / "models.npz")
    master = cluster.master(*TENSORFLOW_RUN)
    workers = cluster.workers(range(4), master.port)
    end_well(master, workers, 2 * RUN_S)
    # In a process of its own: how many threads TensorFlow has is settled once per process.
    done = subprocess.run([sys.executable, "-c", IN_ONE_PROCESS, path] + list(TENSORFLOW_RUN), timeout=2 * RUN_S,
                          env={"PYTHONPATH": REPOSITORY + ":" + REPOSITORY + "/tests/e2e", "PATH": "/usr/bin:/bin",
                               "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"})
    assert done.returncode == 0
    with np.load(path) as models:
        assert np.array_equal(models["simulated"], models["reference"])
        assert np.array_equal(master.model(settings_of(*TENSORFLOW_RUN)), models["reference"])
    rounds = master.table("Rounds")
    assert sum(row["refused"] for row in rounds) > 0
    assert [row["uploaded"] + row["skipped"] + row["refused"] for row in rounds] == [4] * 5
    assert all(row["test accuracy (%)"] is not None for row in rounds)
    assert len(master.files(".keras")) == 1
