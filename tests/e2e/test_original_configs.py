"""The two sample configurations of the original programs run unchanged.

Their data sets are written in MNIST's file format, from the digits that come with FLQ.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from cluster import RUN_S, ask, end_well, settings_of, stop

from flq.config_file import load_config
from flq.training.datasets import load_dataset

ORIGINAL = Path(__file__).resolve().parent.parent / "original"
sys.path.append(str(Path(__file__).resolve().parent.parent / "training"))


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """A folder with digits as 28x28 images, under both data sets' names; every program finds it."""
    from published_files import IDX_NAMES, idx_bytes

    digits = load_dataset(settings_of())
    arrays = []
    for images, labels in ((digits.x_train, digits.y_train), (digits.x_test, digits.y_test)):
        larger = np.kron(images[..., 0], np.ones((3, 3), np.uint8)) * 15
        arrays += [np.pad(larger, ((0, 0), (2, 2), (2, 2)), "constant"), labels.astype(np.uint8)]
    for name in ("mnist", "fashion-mnist"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for file, values in zip(IDX_NAMES, arrays):
            (tmp_path / "data" / name / file).write_bytes(idx_bytes(values))
    monkeypatch.setenv("FLQ_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize(
    "name, workers, rounds, batch, epochs",
    [("two_workers", (2, 2), 100, 16, 1), ("eight_workers", (8, 4), 1000, 32, 2)],
)
def test_every_value_is_taken(name, workers, rounds, batch, epochs):
    settings = load_config(str(ORIGINAL / (name + ".json")))
    assert (settings.system.total_workers, settings.system.min_workers) == workers
    assert settings.system.max_rounds == rounds
    assert settings.dataset.batch_size == batch and settings.model.local_epochs == epochs
    assert settings.flq_algorithm.mode == "laq8" and settings.lazy_selection.C == 50
    assert settings.jetson_optimization.gpu_memory_limit_mb in (1024, 2048)


@pytest.mark.tf
def test_two_workers_train_a_hundred_rounds(cluster, data_dir):
    pytest.importorskip("tensorflow")
    config = ["--config", str(ORIGINAL / "two_workers.json")]
    master = cluster.master(flags=config)
    end_well(master, [cluster.worker(m, master.port, flags=config) for m in range(2)], 4 * RUN_S)
    rounds = master.table("Rounds")
    assert len(rounds) == 100
    assert all(row["uploaded"] == 2 for row in rounds)
    assert master.summary()["test accuracy"] > 0.8
    assert [os.path.basename(path).startswith("flq_results_mnist_laq8_") for path in master.files(".xlsx")] == [True]


@pytest.mark.tf
def test_four_of_eight_workers_are_enough_to_begin(cluster, data_dir):
    pytest.importorskip("tensorflow")
    config = ["--config", str(ORIGINAL / "eight_workers.json")]
    master = cluster.master(flags=config)
    workers = [cluster.worker(m, master.port, flags=config) for m in range(4)]
    master.wait_for("round=5/1000 ", timeout_s=4 * RUN_S)
    assert ask(master, "/status")["connected_workers"] == 4
    assert stop(master)["status"] == "stopped"
    end_well(master, workers)
    assert len(master.table("Rounds")) >= 5
    assert all(row["uploaded"] == 4 for row in master.table("Rounds"))
    assert "mixed" in workers[0].text and "memory limit" in workers[0].text  # asked and granted
