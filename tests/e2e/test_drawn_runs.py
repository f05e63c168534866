"""Figures of a run over HTTP: they exist when the program has ended, and nothing depends on the drawing process."""

import os
import signal
from contextlib import suppress

import numpy as np
import pytest
from cluster import ask, children_of, end_well, settings_of
from waits import wait_until

from flq.master.records.artifacts import FIGURE
from flq.report.figures import FIGURES

OVERRIDES = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=200",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=12",
    "report.figure_every=2",
)
DRAWN = ["loss", "participation", "time"]  # of a quadratic run, on machines without sensors
SIGNATURES = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml"}


def drawer_of(master):
    """Return the process id of the drawing process; None if there is none yet."""
    for pid in children_of(master.process.pid):
        with suppress(FileNotFoundError), open("/proc/%d/cmdline" % pid, "rb") as stream:  # others may end meanwhile
            if b"flq.sinks.figures" in stream.read():
                return pid
    return None


def assert_drawn(master, names):
    """Check that exactly these figures exist and are complete."""
    (folder,) = {os.path.dirname(path) for ending in SIGNATURES for path in master.files(ending)}
    assert os.path.dirname(folder) == os.path.join(master.results_dir, "figures")
    assert sorted(os.listdir(folder)) == sorted(name + ending for name in names for ending in SIGNATURES)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as stream:
            assert stream.read(8).startswith(SIGNATURES[os.path.splitext(name)[1]])


def test_a_run_leaves_figures_and_the_model_that_it_leaves_without(cluster):
    master = cluster.master(*OVERRIDES)
    end_well(master, cluster.workers(range(2), master.port))
    assert_drawn(master, DRAWN)
    without = cluster.master(*OVERRIDES, "report.figure_every=0", name="without")
    end_well(without, [cluster.worker(index, without.port, "again%d" % index) for index in range(2)])
    assert not without.files(".png")
    settings = settings_of(*OVERRIDES)
    assert np.array_equal(master.model(settings), without.model(settings))


def test_one_that_is_killed_is_no_loss(cluster):
    master = cluster.master(*OVERRIDES)
    wait_until(lambda: drawer_of(master), "nobody draws")
    os.kill(drawer_of(master), signal.SIGKILL)
    end_well(master, cluster.workers(range(2), master.port))
    assert "figures has ended with exit code -9" in master.text
    assert_drawn(master, DRAWN)  # by the next one


def figures_of(master):
    """Return the names of the figures so far."""
    return {file["name"] for file in ask(master, "/results")["files"] if file["kind"] == FIGURE}


@pytest.mark.tf
def test_a_run_with_data_leaves_accuracies_and_classes_too(cluster):
    master = cluster.master(
        "system.total_workers=2",
        "system.min_workers=2",
        "system.max_rounds=3",
        "report.figure_every=1",
        flags=("--keep_serving",),
    )
    workers = cluster.workers(range(2), master.port)
    for worker in workers:
        assert worker.wait(300.0) == 0
    expected = {name + ending for name in (set(FIGURES) - {"energy"}) | {"classes"} for ending in SIGNATURES}
    wait_until(lambda: figures_of(master) == expected)
    master.signal(signal.SIGTERM)
    assert master.wait() in (0, 143)
