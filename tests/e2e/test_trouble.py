"""Workers that die, return, stay away or send nothing."""

import os
import signal

import numpy as np
import pytest
from cluster import children_of, end_well, free_port, settings_of, stop

from flq.engines import simulation

SMALL = ("model.name=quadratic", "model.lr=0.05")


def test_a_round_in_which_everybody_skips_is_a_round(cluster):
    overrides = SMALL + ("system.max_rounds=12", "memory=mirror", "thr_scale=1e6", "C=5")
    settings = settings_of(*overrides)
    master = cluster.master(*overrides)
    end_well(master, cluster.workers(range(4), master.port))
    rounds = master.table("Rounds")
    assert [row["skipped"] for row in rounds] == ([0] + 5 * [4]) * 2  # the clock ends each silence
    assert [row["uploaded"] for row in rounds] == ([4] + 5 * [0]) * 2
    assert [row["payload up (bits)"] > 0 for row in rounds] == ([True] + 5 * [False]) * 2
    assert np.array_equal(master.model(settings), simulation.simulate(settings).model)


def test_a_killed_worker_is_lost_when_its_lease_ends_and_the_run_ends_without_it(cluster):
    master = cluster.master(*SMALL + ("system.max_rounds=50", "system.lease_s=3"))
    workers = cluster.workers(range(4), master.port)
    master.wait_for(r"round=3/50 ")
    workers[2].signal(signal.SIGKILL)
    end_well(master, [worker for worker in workers if worker is not workers[2]])
    assert workers[2].wait() == -signal.SIGKILL

    master.wait_for(r"worker 2 is lost: silent for 3 s")
    assert master.text.splitlines()[-1] == "the run ended with 3 of the 4 workers that joined; lost: 2"
    rounds, last = master.table("Rounds"), master.table("Workers")
    assert [row["round"] for row in rounds] == list(range(1, 51))
    assert sum(row["lost"] for row in rounds) == 1
    k = next(row["round"] for row in rounds if row["lost"])
    assert rounds[k - 1]["round (s)"] > 2.5  # that round waited for the lease
    assert [row["uploaded"] for row in rounds] == [4] * (k - 1) + [3] * (51 - k)
    assert [row["state"] for row in last] == ["present", "present", "lost", "present"]
    assert str(master.summary()["workers lost"]) == "2"


def test_a_killed_worker_that_comes_back_takes_over_at_once(cluster):
    master = cluster.master(*SMALL + ("system.max_rounds=100000", "system.lease_s=300"))
    workers = cluster.workers(range(4), master.port)
    master.wait_for(r"round=3/")
    workers[1].signal(signal.SIGKILL)
    workers[1].wait()
    again = cluster.worker(1, master.port)  # with the same state folder
    master.wait_for(r"worker 1 is back with 110 samples \(epoch 1\)")
    again.wait_for(r"worker 1: round=\d+ applied")
    master.wait_for(r"round=[56]/")
    stop(master)
    end_well(master, (workers[0], again, workers[2], workers[3]))
    rounds = master.table("Rounds")
    assert [row["uploaded"] for row in rounds] == [4] * len(rounds)  # no worker was lost, and no round lacks it
    assert rounds[-1]["round"] > 3


def test_a_round_deadline_leaves_a_halted_worker_behind_and_takes_it_back(cluster):
    master = cluster.master(
        *SMALL + ("system.max_rounds=100000", "system.min_workers=3", "system.round_deadline_s=0.5")
    )
    workers = cluster.workers(range(4), master.port)
    for worker_id in range(4):
        master.wait_for("worker %d joined" % worker_id)
    master.wait_for(r"round=\d+/.* uploaded=4 ", after=master.n_lines)
    workers[0].signal(signal.SIGSTOP)
    master.wait_for(r"round=\d+/.* uploaded=3 .* late=1 ", after=master.n_lines)
    n_lines = workers[0].n_lines
    workers[0].signal(signal.SIGCONT)
    workers[0].wait_for(r"worker 0: round=\d+ applied", after=n_lines)
    stop(master)
    end_well(master, workers)
    rounds = master.table("Rounds")
    k = next(row["round"] for row in rounds if row["late"])
    assert rounds[k - 1]["round (s)"] >= 0.5
    assert all(row["uploaded"] + row["late"] == 4 for row in rounds[k - 1 :])
    assert master.table("Workers")[0]["late"] == sum(row["late"] for row in rounds) > 0


def test_a_worker_that_starts_before_its_master_waits_for_it(cluster):
    port = free_port()
    workers = cluster.workers(range(4), port)
    workers[0].wait_for(r"refused; trying again")
    overrides = SMALL + ("system.max_rounds=3",)
    master = cluster.master(*overrides, port=port)
    end_well(master, workers)
    settings = settings_of(*overrides)
    assert np.array_equal(master.model(settings), simulation.simulate(settings).model)


DIGITS = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=12", "local_epochs=2")
QUADRATIC = SMALL + ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=50")


@pytest.mark.parametrize(
    "overrides", [pytest.param(QUADRATIC, id="quadratic"), pytest.param(DIGITS, id="digits", marks=pytest.mark.tf)]
)
def test_a_killed_evaluator_is_replaced_and_every_round_is_evaluated_as_if_nothing_had_been(cluster, overrides):
    tables = []
    for number in range(2):
        master = cluster.master(*overrides, name="results%d" % number)
        workers = [cluster.worker(index, master.port, state="%d_%d" % (number, index)) for index in range(2)]
        if number:
            master.wait_for(r"round=3/\d+ .* test_loss=0\.\d+ ")
            (evaluator,) = children_of(master.pid)
            os.kill(evaluator, signal.SIGKILL)
            master.wait_for(r"the evaluator process has ended \(exit code -9\): .*; it is restarted")
        end_well(master, workers)
        tables.append([(row["test loss"], row.get("test accuracy (%)")) for row in master.table("Rounds")])
    assert tables[0] == tables[1] and not any(loss is None for loss, _ in tables[0])
    assert all((accuracy is None) == (overrides is QUADRATIC) for _, accuracy in tables[0])
