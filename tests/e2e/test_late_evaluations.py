"""Rounds whose evaluation was late get their test results from the journal, if possible."""

import os
import signal

import pytest
from cluster import children_of, end_well, free_port

# A model of which one waits at a time: 2 vectors of 200 kB.
RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=100000",
    "report.evaluation_backlog_mb=1",
    "system.total_workers=1",
    "system.min_workers=1",
    "system.max_rounds=15",
)


def losses(master):
    return [row["test loss"] for row in master.table("Rounds")]


@pytest.fixture
def undisturbed(cluster):
    """Return the losses of an undisturbed run."""
    master = cluster.master(*RUN, "system.snapshot_every=100", name="undisturbed")
    end_well(master, [cluster.worker(0, master.port, state="undisturbed")])
    assert None not in losses(master)
    return losses(master)


def test_rounds_that_an_evaluator_could_not_keep_up_with_are_evaluated_at_the_end(cluster, undisturbed):
    master = cluster.master(*RUN, "system.snapshot_every=100")
    (evaluator,) = children_of(master.pid)
    os.kill(evaluator, signal.SIGSTOP)
    worker = cluster.worker(0, master.port)
    master.wait_for("round 10 is not evaluated: the evaluator cannot keep up")
    os.kill(evaluator, signal.SIGCONT)
    end_well(master, [worker])
    master.wait_for("rounds were evaluated late, from the journal")
    assert losses(master) == undisturbed


def test_rounds_without_written_results_of_a_killed_master_are_evaluated_on_resume(cluster, undisturbed):
    port = free_port()
    overrides = RUN + ("system.snapshot_every=4", "system.snapshots_kept=4")
    master = cluster.master(*overrides, port=port)
    (evaluator,) = children_of(master.pid)
    os.kill(evaluator, signal.SIGSTOP)
    worker = cluster.worker(0, port)
    master.wait_for("round 10 is not evaluated: the evaluator cannot keep up")
    master.signal(signal.SIGKILL)
    os.kill(evaluator, signal.SIGKILL)
    master.wait()
    again = cluster.master(*overrides, flags=("--resume",), port=port)
    end_well(again, [worker])
    again.wait_for("rounds were evaluated late, from the journal")
    assert losses(again) == undisturbed
