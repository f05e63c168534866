"""Workers with other versions of Python, numpy and TensorFlow, beside a current master and workers.

Both ends decode a payload to the same bits: with memory mirror the master compares a fingerprint with each upload.
"""

import os
import subprocess

import numpy as np
import pytest
from cluster import REPOSITORY, ask, end_well, settings_of, stop

from flq.engines.simulation import simulate

QUADRATIC = ("model.name=quadratic", "model.dim=6000", "model.lr=0.05", "system.max_rounds=12")
DIGITS = (
    "dataset.name=digits",
    "model.name=cnn_small",
    "model.lr=0.2",
    "system.max_rounds=8",
    "mode=bbit",
    "b_up=4",
    "b_down=8",
    "memory=mirror",
    "thr_scale=0",
)
THREE = ("system.total_workers=3", "system.min_workers=3")
MODES = {
    # Of matrices another BLAS makes other payloads; that all decode a payload alike is tested in core/test_lowrank.py.
    "lowrank, without matrices": ("mode=lowrank",),
    "bbit, mirror, lazy, coded": ("mode=bbit", "b_up=4", "b_down=8", "memory=mirror"),
    "bbit, residual, budget": ("mode=bbit", "b_up=3", "memory=residual", "sel_clients=2", "grant_by=age"),
    "laq": ("mode=laq", "update=gradient", "lr=0.02"),
    "bin": ("mode=bin", "memory=residual"),
}


def python_of(version):
    """Return the Python of a worker's environment, or skip."""
    folder = ".venv" + version.replace(".", "")
    python = os.path.join(REPOSITORY, folder, "bin", "python")
    if not os.path.exists(python) or subprocess.call([python, "-c", ""]) != 0:
        pytest.skip("no %s: run_tests.sh --all makes it where a CPython %s is found" % (folder, version))
    return python


def run(cluster, overrides, pythons):
    """Run a current master with one worker per Python to the end; return the master."""
    master = cluster.master(*THREE, *overrides, flags=("--keep_serving",))
    workers = [cluster.worker(worker_id, master.port, python=python) for worker_id, python in enumerate(pythons)]
    for worker in workers:
        assert worker.wait(180) == 0, worker.text
    status = ask(master, "/status")
    stop(master)
    end_well(master, [])
    assert all(row["late"] == row["lost"] == 0 for row in status["worker_status"].values()), status
    assert "(epoch 2)" not in master.text, master.text
    assert not any("asking for a keyframe" in worker.text for worker in workers)
    return master


@pytest.mark.parametrize("name", MODES)
def test_python_36_and_today_and_313_make_the_model_of_the_simulation(cluster, name):
    overrides = QUADRATIC + MODES[name]
    master = run(cluster, overrides, [python_of(version) for version in ("3.6", "3.13")] + [python_of("")])
    expected = simulate(settings_of(*THREE, *overrides)).model
    assert np.array_equal(master.model(settings_of(*overrides)).view(np.uint32), expected.view(np.uint32))


@pytest.mark.tf
def test_tensorflow_26_and_211_and_today_train_one_model(cluster):
    master = run(cluster, DIGITS, [python_of(version) for version in ("3.6", "3.8", "3.13")])
    summary = master.summary()
    assert summary["uploads"] == 24 and summary["test accuracy"] > 0.9, summary


@pytest.mark.tf
@pytest.mark.parametrize("version", ["3.6", "3.8", "3.13"])
def test_the_reference_runs_too_and_learns(tmp_path, version):
    command = [
        python_of(version),
        os.path.join(REPOSITORY, "flq_fed_v3.py"),
        "--dataset",
        "digits",
        "--model",
        "mlp",
        "--mode",
        "bbit",
        "--b",
        "4",
        "--b_down",
        "8",
        "--M",
        "3",
        "--iters",
        "40",
        "--lr",
        "0.003",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=180
    )
    assert done.returncode == 0, done.stdout
    rounds = [line for line in done.stdout.splitlines() if line.startswith("round=")]
    first, last = (float(line.split("accuracy=")[1].split()[0]) for line in (rounds[0], rounds[-1]))
    assert last > 0.8 > first
    assert (tmp_path / "results_digits_bbit.xlsx").exists()
