"""Workers with different copies of the data are rejected; workers with data of their own use one scale."""

import os
import signal

import numpy as np
import pytest
from cluster import ask, end_well, free_port, settings_of

from flq.engines import simulation
from flq.training.frameworks import build_trainer

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

TWO = ("model.name=logreg", "dataset.batch_size=8", "system.total_workers=2", "system.max_rounds=3")
SHARED = TWO + ("dataset.name=csv:x.csv",)
LOCAL = TWO + (
    "dataset.name=npz:own.npz",
    "dataset.partition=local",
    "dataset.input_shape=[4,4,1]",
    "dataset.n_classes=3",
)


def folder_with(path, rows):
    os.makedirs(str(path))
    (path / "x.csv").write_text("".join("0.%d,1.5,%d\n" % (i, i % 3) for i in rows))
    return str(path)


@pytest.mark.parametrize("flags", [(), ("--stay",)])
def test_a_worker_with_another_copy_exits_with_both_values_and_joins_with_the_right_one(cluster, tmp_path, flags):
    right, wrong = folder_with(tmp_path / "right", range(100, 300)), folder_with(tmp_path / "wrong", range(159, 300))
    master = cluster.master(*SHARED, "dataset.data_dir=" + right)
    first = cluster.worker(0, master.port, flags=("--data_dir", right))
    master.wait_for("worker 0 joined")
    other = cluster.worker(1, master.port, flags=("--data_dir", wrong, *flags))
    assert other.wait() == 2
    sentence = (
        "the data of worker 1 differ from those of the run: 127 training and 14 test samples, checksum ad61fc1b; "
        "worker 0 has 180 training and 20 test samples, checksum 52f81979 "
        "(copy the same files to every worker, or set dataset.partition=local in a new run; until round 1 begins, "
        "worker 0 may be started again with other data)"
    )
    assert other.text.rstrip().endswith(sentence)
    master.wait_for("worker 1 is rejected: the data of worker 1 differ")
    seen = ask(master, "/status")["data"]
    assert (seen["n_train"], seen["n_test"], seen["checksum"], seen["lowest"]) == (180, 20, "52f81979", 0.1)
    end_well(master, [first, cluster.worker(1, master.port, flags=("--data_dir", right))])


def test_a_resumed_run_rejects_another_copy_and_its_master_is_warned_of_its_own(cluster, tmp_path):
    right, wrong = folder_with(tmp_path / "right", range(100, 300)), folder_with(tmp_path / "wrong", range(159, 300))
    master = cluster.master(*SHARED, "dataset.data_dir=" + wrong, port=free_port())
    first = cluster.worker(0, master.port, flags=("--data_dir", right))
    master.wait_for("the master has other data than the workers: 127 training and 14 test samples")
    master.signal(signal.SIGTERM)
    assert master.wait() == 128 + signal.SIGTERM
    master = cluster.master(port=master.port, flags=("--resume",))
    other = cluster.worker(1, master.port, flags=("--data_dir", wrong))
    assert other.wait() == 2 and "the data of worker 1 differ from those of the run" in other.text
    end_well(master, [first, cluster.worker(1, master.port, flags=("--data_dir", right))])
    assert ("checksum of the labels", "52f81979") in master.sheets()["Data"]


def plant(tmp_path, worker_id):
    """Write a worker's own data, pixels at worker 0 and brighter ones at the other; return their folder."""
    generator = np.random.default_rng(worker_id)
    x, y = generator.integers(0, 60, (60, 4, 4)), np.arange(60) % 3
    x[np.arange(60), y] += 180
    folder = tmp_path / ("own%d" % worker_id)
    folder.mkdir(parents=True)
    x = x.astype(np.uint8) if worker_id == 0 else x * 5 // 4
    np.savez(str(folder / "own.npz"), x_train=x, y_train=y)
    return str(folder)


def test_the_first_worker_decides_the_scale_and_the_simulation_makes_the_same_model(cluster, tmp_path):
    folders = [plant(tmp_path, worker_id) for worker_id in range(2)]
    master = cluster.master(*LOCAL)
    workers = [cluster.worker(0, master.port, flags=("--data_dir", folders[0]))]
    master.wait_for("worker 0 joined")
    workers.append(cluster.worker(1, master.port, flags=("--data_dir", folders[1])))
    end_well(master, workers)
    warning = (
        "0 to 298, are divided by 255, which worker 0 has chosen for its values, 0 to 239; alone they would be divided"
    )
    assert "the values of worker 1, " + warning in master.text
    assert "the values of this worker, " + warning in workers[1].text
    rows = {row[0]: row[1:] for row in master.sheets()["Data"]}
    assert rows["divided by"] == (255, 255, 255) and rows["training samples"] == (108, 54, 54)

    def build(settings, worker_id):
        dataset = settings.dataset._replace(data_dir=folders[worker_id])
        return build_trainer(settings._replace(dataset=dataset), worker_id)

    settings = settings_of(*LOCAL)
    model = master.model(settings)
    assert np.array_equal(model, simulation.simulate(settings, build=build).model)
    given = settings_of(*LOCAL, "dataset.scale=255")
    assert np.array_equal(model, simulation.simulate(given, build=build).model)


def test_local_data_far_from_the_scale_of_the_run_are_rejected(cluster, tmp_path):
    folders = [plant(tmp_path, worker_id) for worker_id in range(2)]
    path = os.path.join(folders[1], "own.npz")
    with np.load(path) as pixels:
        fractions = dict(pixels, x_train=(pixels["x_train"] / 298.0).astype(np.float32))
    master = cluster.master(*LOCAL)
    first = cluster.worker(0, master.port, flags=("--data_dir", folders[0]))
    master.wait_for("worker 0 joined")
    np.savez(path, **fractions)
    other = cluster.worker(1, master.port, flags=("--data_dir", folders[1]))
    assert other.wait() == 2
    assert other.text.rstrip().endswith(
        "the values of worker 1, 0 to 1, are not in the range of the run: worker 0 has 0 to 239, divided by 255 "
        "(give all workers values of one range, or set dataset.scale in a new run; until round 1 begins, worker 0 may "
        "be started again with other data)"
    )
    plant(tmp_path / "again", 1)
    right = str(tmp_path / "again" / "own1")
    end_well(master, [first, cluster.worker(1, master.port, flags=("--data_dir", right))])
