"""A run whose folder is restored from a backup, with workers that are ahead of its journal. Real processes."""

import os
import shutil
import signal

import pytest
from cluster import ask, end_well, free_port
from waits import wait_until

RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=200",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.snapshot_every=5",
    "system.max_rounds=400",
)


def wait_for_round(master, round_index):
    wait_until(lambda: ask(master, "/status")["current_round"] >= round_index)


def kill(program):
    program.signal(signal.SIGKILL)
    program.wait()


@pytest.mark.parametrize("memory", ["residual", "mirror"])
def test_workers_ahead_of_the_journal_join_with_a_new_epoch_and_the_run_ends(cluster, memory):
    port = free_port()
    master = cluster.master(*RUN, "memory=" + memory, port=port)
    workers = cluster.workers([0, 1], port)
    wait_for_round(master, 10)
    kill(master)
    run_dir = os.path.dirname(master.files("journal.sqlite")[0])
    backup = os.path.join(cluster.folder, "backup")
    shutil.copytree(run_dir, backup)

    master = cluster.master(flags=("--resume", run_dir), port=port)
    wait_for_round(master, ask(master, "/status")["current_round"] + 10)
    kill(workers[1])  # worker 0 has answered, and waits for a round that the backup does not know
    told = ask(master, "/status")["current_round"]
    wait_until(lambda: ask(master, "/status")["worker_status"]["0"]["round"] >= told)
    kill(master)
    shutil.rmtree(run_dir)
    shutil.copytree(backup, run_dir)

    master = cluster.master(flags=("--resume", run_dir), port=port)
    workers[1] = cluster.worker(1, port)
    end_well(master, workers)
    assert len(master.table("Rounds")) == 400
    for worker_id in (0, 1):
        lines = [line for line in master.text.splitlines() if "worker %d joined" % worker_id in line]
        assert len(lines) == 1 and "it was ahead of the journal, whose end is lost" in lines[0]
