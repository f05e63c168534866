"""Boards with their own data in different forms train one model; a board with unsuitable data is rejected."""

import os

import numpy as np
import pytest
from cluster import end_well

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

RUN = (
    "dataset.name=own",
    "dataset.partition=local",
    "dataset.input_shape=[4, 4, 1]",
    "dataset.n_classes=3",
    "dataset.scale=255",
    "dataset.batch_size=8",
    "model.name=logreg",
    "model.lr=0.1",
    "system.total_workers=3",
    "system.min_workers=3",
    "system.max_rounds=10",
)


def samples(seed):
    """Return 60 images of 4 x 4 pixels, uint8, and their classes: the row that is bright."""
    generator = np.random.default_rng(seed)
    y = np.arange(60) % 3
    x = generator.integers(0, 60, (60, 4, 4))
    x[np.arange(60), y] += 180
    return x.astype(np.uint8), y


def plant(kind, folder):
    x, y = samples(len(kind))
    os.makedirs(folder)
    if kind == "npz":
        np.savez(os.path.join(folder, "own.npz"), x_train=x, y_train=y)
    elif kind == "csv":
        np.savetxt(os.path.join(folder, "own.csv"), np.column_stack([x.reshape(60, 16), y]), delimiter=",", fmt="%d")
    else:
        for i, (image, label) in enumerate(zip(x, y)):
            os.makedirs(os.path.join(folder, str(label)), exist_ok=True)
            Image.fromarray(image, "L").save(os.path.join(folder, str(label), "%d.png" % i))
    return folder


def test_three_kinds_of_files_and_one_model(cluster, tmp_path):
    master = cluster.master(*RUN)
    workers = [
        cluster.worker(worker_id, master.port, flags=("--data_dir", plant(kind, str(tmp_path / kind))))
        for worker_id, kind in enumerate(("npz", "csv", "images"))
    ]
    end_well(master, workers)
    rounds = master.table("Rounds")
    assert rounds[-1]["accuracy on workers' own data (%)"] > 0.9
    assert [row["samples"] for row in master.table("Workers")] == [54, 54, 54]  # a tenth is held out


def test_data_of_another_shape_are_refused_before_the_worker_joins(cluster, tmp_path):
    master = cluster.master(*RUN)
    (tmp_path / "other").mkdir()
    np.savez(str(tmp_path / "other" / "own.npz"), x_train=np.zeros((9, 5, 5), np.uint8), y_train=np.arange(9) % 3)
    worker = cluster.worker(0, master.port, flags=("--data_dir", str(tmp_path / "other")))
    assert worker.wait() == 2
    assert "has samples of shape [5, 5, 1], but dataset.input_shape is [4, 4, 1]" in worker.text.splitlines()[-1]
    assert "joined" not in master.text
