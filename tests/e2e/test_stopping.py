"""A run that is stopped early saves its results and ends all workers."""

import json
import os
import shutil
import signal
import threading
import time
import urllib.error

import pytest
from cluster import ask, end_well, stop

ENDLESS = ("model.name=quadratic", "model.lr=0.05", "system.max_rounds=1000000")


def test_stop_answers_with_the_workbook_and_ends_master_and_workers(cluster):
    master = cluster.master(*ENDLESS)
    workers = cluster.workers(range(4), master.port)
    master.wait_for(r"round=5/")
    began = time.monotonic()
    answer = stop(master)
    assert time.monotonic() - began < 10.0
    assert answer["status"] == "stopped"
    assert answer["results_saved"] == master.files(".xlsx")[0]
    rounds = master.table("Rounds")  # complete when the answer comes, not later
    assert [row["round"] for row in rounds] == list(range(1, len(rounds) + 1))
    assert len(rounds) >= 5
    end_well(master, workers)
    assert master.summary()["ended because"] == "stopped by POST /stop"
    assert master.summary()["rounds"] == len(rounds)
    assert len(master.files("model.npz")) == 1
    for worker in workers:
        assert "the run has ended after round" in worker.text.splitlines()[-1]


def test_stop_reports_unwritten_results_and_so_does_the_exit_code(cluster):
    master = cluster.master(*ENDLESS)
    shutil.rmtree(master.results_dir)
    with pytest.raises(urllib.error.HTTPError) as caught:
        stop(master)
    with caught.value as answer:
        assert answer.code == 500
        content = json.loads(answer.read().decode("utf-8"))
    assert set(content) == {"error", "detail", "hint"}
    assert content["detail"].startswith("the folder of the run is gone: %s/" % master.results_dir)
    assert master.wait() == 1
    assert "Traceback" not in master.text and "results: " not in master.text


def test_stop_before_any_worker_has_come_leaves_a_workbook_without_rounds(cluster):
    master = cluster.master(*ENDLESS)
    began = time.monotonic()
    answer = stop(master)
    assert time.monotonic() - began < 10.0
    assert master.wait() == 0
    assert os.path.exists(answer["results_saved"])
    assert master.table("Rounds") == []


def test_a_second_stop_has_the_same_answer(cluster):
    master = cluster.master(*ENDLESS, flags=("--keep_serving",))
    workers = cluster.workers(range(4), master.port)
    master.wait_for(r"round=2/")
    # The first releases a master that keeps serving: both are asked before it has left.
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(stop(master))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 2 and answers[0] == answers[1]
    end_well(master, workers)


def test_a_master_that_keeps_serving_answers_after_the_run_until_it_is_stopped(cluster):
    master = cluster.master(*ENDLESS, "system.max_rounds=3", flags=("--keep_serving",))
    workers = cluster.workers(range(4), master.port)
    assert [worker.wait() for worker in workers] == [0] * 4
    status = ask(master, "/status")
    assert (status["current_round"], status["max_rounds"]) == (3, 3)
    assert status["state"] in ("CLOSING", "FINISHED")
    late = cluster.worker(0, master.port)
    assert late.wait() == 0 and "the run has ended" in late.text
    assert stop(master)["status"] == "stopped"
    assert master.wait() == 0


@pytest.mark.parametrize(
    "number, name, named", [(signal.SIGTERM, "results", "2"), (signal.SIGINT, "my results", "'{folder}/my results/2")]
)
def test_a_signal_saves_the_results_and_ends_the_master_while_the_workers_wait_for_it(cluster, number, name, named):
    master = cluster.master(*ENDLESS, name=name)
    workers = cluster.workers(range(4), master.port)
    master.wait_for(r"round=5/")
    began = time.monotonic()
    master.signal(number)
    assert master.wait() == 128 + number
    assert time.monotonic() - began < 10.0
    assert "Traceback" not in master.text
    assert "to resume: ./start_master.sh --resume " + named.format(folder=cluster.folder) in master.text
    rounds = master.table("Rounds")
    assert len(rounds) >= 5
    assert master.summary()["ended because"] == "interrupted by signal %d, it can be resumed" % number
    for worker in workers:
        worker.wait_for("no answer from the master .* trying again")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_worker_without_a_trace(cluster, number):
    master = cluster.master(*ENDLESS)
    worker = cluster.worker(0, master.port)
    worker.wait_for("worker 0: 100 samples")
    worker.signal(number)
    assert worker.wait() == 128 + number
    assert "Traceback" not in worker.text
    assert "ended by signal %d" % number in worker.text.splitlines()[-1]
