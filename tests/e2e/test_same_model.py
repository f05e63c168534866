"""The cluster, the simulation and the reference train the same model, bit for bit."""

import subprocess
import sys

import numpy as np
import pytest
from cluster import REPOSITORY, RUN_S, end_well, settings_of

import flq_fed_v3
from flq.engines import simulation
from flq.training.datasets import load_dataset

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
    "lowrank, momentum, average": ("mode=lowrank", "server_optimizer=momentum", "server_lr=0.6", "ema=0.8"),
    "lowrank, two of four, budget": ("mode=lowrank", "sel_clients=2", "up_budget_bits=6000"),
    "laq8, momentum": ("mode=laq8", "server_optimizer=momentum", "server_lr=0.5"),
    "laq, lazy": ("mode=laq", "update=gradient", "lr=0.02", "C=3"),
    "laq8, gradients, adam": ("mode=laq8", "update=gradient", "server_optimizer=adam", "lr=0.01"),
    "fedavg, gradients, momentum, average": ("mode=fedavg", "update=gradient", "server_optimizer=momentum", "ema=0.9"),
    "bbit 4, gradients, flq, adam, budget": (
        "b_up=4",
        "b_down=8",
        "update=gradient",
        "server_optimizer=adam",
        "lr=0.01",
        "scale_by_selected=1",
        "up_budget_bits=9000",
    ),
    "bin, gradients, flq, adam, clip": (
        "mode=bin",
        "b_down=8",
        "update=gradient",
        "server_optimizer=adam",
        "lr=0.01",
        "clip_global=1",
    ),
    "bbit 3, gradients, mirror, lazy": ("b_up=3", "update=gradient", "memory=mirror", "thr_scale=10", "C=3"),
    "bbit 8, no memory, adam, schedule": (
        "b_up=8",
        "memory=none",
        "server_optimizer=adam",
        "server_lr=0.01",
        "lr_schedule=cosine",
        "lr_decay_rounds=10",
    ),
    "bbit 4, momentum, local adam, mu": (
        "b_up=4",
        "server_optimizer=momentum",
        "server_lr=0.6",
        "local_optimizer=adam",
        "local_steps=3",
        "mu=0.1",
        "lr=0.01",
    ),
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

    reference, simulated = federate(settings).server.result, simulation.simulate(settings)
    assert np.array_equal(simulated.master.model.state.result, reference)
    assert np.array_equal(master.model(settings), reference)
    assert np.any(reference != 0)

    # The run has done what its name says: otherwise equality would prove nothing.
    rounds = master.table("Rounds")
    assert (sum(row["skipped"] for row in rounds) > 0) == ("lazy" in name)
    assert (sum(row["refused"] for row in rounds) > 0) == ("budget" in name or "of four" in name)
    assert [row["uploaded"] for row in rounds] == [
        list(report.roll_call.values()).count("uploaded") for report in simulated.reports
    ]
    assert [row["payload up (bits)"] for row in rounds] == [report.payload_bits_up for report in simulated.reports]


DIGITS = ("dataset.name=digits", "model.name=mlp", "system.max_rounds=5")
TENSORFLOW_RUNS = {
    "bbit 4, mirror, lazy, budget": ("b_up=4", "memory=mirror", "thr_scale=1", "C=3", "up_budget_bits=61000"),
    "lowrank, two of four": ("mode=lowrank", "logit_adjustment=1", "partition=non_iid", "sel_clients=2"),
}
IN_ONE_PROCESS = """
import sys
import numpy as np
import flq_fed_v3
from cluster import settings_of
from flq.engines import simulation
settings = settings_of(*sys.argv[2:])
*_, last = flq_fed_v3.federate(settings)
np.savez(sys.argv[1], reference=last.server.model, simulated=simulation.simulate(settings).model)
"""


def beside(code, *arguments, folder=""):
    """Run Python code while the cluster runs.

    It uses a new process, because the number of TensorFlow's threads is fixed once per process.
    """
    folders = [REPOSITORY, REPOSITORY + "/tests/e2e"] + [folder] * bool(folder)
    return subprocess.Popen(
        [sys.executable, "-c", code] + list(arguments),
        env={
            "PYTHONPATH": ":".join(folders),
            "PATH": "/usr/bin:/bin",
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    )


@pytest.mark.tf
@pytest.mark.parametrize("name", TENSORFLOW_RUNS)
def test_three_implementations_make_the_same_model_with_tensorflow(cluster, tmp_path, name):
    pytest.importorskip("tensorflow")
    overrides = DIGITS + TENSORFLOW_RUNS[name]
    path = str(tmp_path / "models.npz")
    with beside(IN_ONE_PROCESS, path, *overrides) as both:
        master = cluster.master(*overrides)
        workers = cluster.workers(range(4), master.port)
        end_well(master, workers, 2 * RUN_S)
        assert both.wait(2 * RUN_S) == 0
    with np.load(path) as models:
        assert np.array_equal(models["simulated"], models["reference"])
        assert np.array_equal(master.model(settings_of(*overrides)), models["reference"])
    rounds = master.table("Rounds")
    assert sum(row["refused"] for row in rounds) > 0
    assert [row["uploaded"] + row["skipped"] + row["refused"] for row in rounds] == [4] * 5
    assert all(row["test accuracy (%)"] is not None for row in rounds)
    assert len(master.files(".keras")) == 1


OWN_MODEL = """
import tensorflow as tf

def small(input_shape, n_classes):
    keras = tf.keras
    return keras.Sequential([
        keras.Input(shape=input_shape), keras.layers.Flatten(), keras.layers.Dense(16),
        keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Dense(n_classes)])
"""
OWN_RUN = (
    "dataset.name=npz:own.npz",
    "dataset.partition=local",
    "dataset.input_shape=[8,8,1]",
    "dataset.n_classes=10",
    "model.name=own_model:small",
    "total_workers=2",
    "min_workers=2",
    "max_rounds=4",
    "lr=0.05",
    "b_up=4",
    "memory=mirror",
    "thr_scale=0",
)
SIMULATED = """
import sys
import numpy as np
from cluster import settings_of
from flq.engines import simulation
from flq.training.frameworks import build_trainer
settings = settings_of(*sys.argv[3:])
def build(settings, m):
    dataset = settings.dataset._replace(data_dir="%s/data%d" % (sys.argv[2], m))
    return build_trainer(settings._replace(dataset=dataset), m)
run = simulation.simulate(settings, build=build)
np.savez(sys.argv[1], model=run.model, own=[report.own_accuracy for report in run.reports])
"""


@pytest.mark.tf
def test_a_users_own_model_on_the_workers_own_data(cluster, tmp_path):
    """The master has neither the data nor TensorFlow; statistics of batch normalisation are part of the model."""
    pytest.importorskip("tensorflow")
    (tmp_path / "own_model.py").write_text(OWN_MODEL)
    with open(cluster.folder + "/own_model.py", "w") as file:
        file.write(OWN_MODEL)
    digits = load_dataset(settings_of())
    for m in range(2):
        part = slice(300 * m, 300 * (m + 1))
        (tmp_path / ("data%d" % m)).mkdir()
        np.savez(str(tmp_path / ("data%d" % m) / "own.npz"), x_train=digits.x_train[part], y_train=digits.y_train[part])

    path = str(tmp_path / "simulated.npz")
    with beside(SIMULATED, path, str(tmp_path), *OWN_RUN, folder=str(tmp_path)) as simulating:
        master = cluster.start_master(*OWN_RUN)
        master.wait_until_ready()
        unwilling = cluster.worker(0, master.port, flags=["--data_dir", str(tmp_path / "data0")])
        assert unwilling.wait() == 2 and "--model own_model:small" in unwilling.text
        workers = [
            cluster.worker(
                m, master.port, flags=["--data_dir", str(tmp_path / ("data%d" % m)), "--model", "own_model:small"]
            )
            for m in range(2)
        ]
        end_well(master, workers, 2 * RUN_S)
        assert simulating.wait(2 * RUN_S) == 0

    (saved,) = master.files("model.npz")
    with np.load(saved) as tensors, np.load(path) as simulated:
        names = list(tensors)
        assert np.array_equal(np.concatenate([tensors[name].ravel() for name in names]), simulated["model"])
        own = simulated["own"].tolist()
    assert [name.rpartition("/")[2] for name in names[-2:]] == ["moving_mean", "moving_variance"]
    rounds = master.table("Rounds")
    # A workbook keeps 15 digits.
    assert [row["accuracy on workers' own data (%)"] for row in rounds] == pytest.approx(own, rel=1e-14)
    assert own[-1] > own[0]
    assert "test accuracy (%)" not in rounds[0]
    assert len(master.files("model.keras")) == 1
