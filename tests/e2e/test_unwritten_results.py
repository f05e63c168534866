"""A run is over only when its results are on disk: until then the exit code is not 0, and --resume writes them."""

import json
import os
import re
import shutil
import signal
import urllib.error

import pytest
from cluster import ask, end_well, settings_of, stop

from flq.engines import simulation

N_ROUNDS = 12
RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=60",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=%d" % N_ROUNDS,
)
FOR_LONG = ("system.linger_s=1000", "system.lease_s=1000")  # no program may wait that long
OBSTACLES = {
    "model": ["{run}/model.npz"],
    "its part": ["{run}/model.npz.part"],
    "workbook": ["{workbook}"],
    "both": ["{run}/model.npz.part", "{workbook}.part"],
}


@pytest.fixture(scope="module")
def undisturbed():
    """Return the undisturbed run."""
    return simulation.simulate(settings_of(*RUN)).master.model.state.result


def run_dir(master):
    return os.path.dirname(*master.files("journal.sqlite"))


def workbook_of(run):
    folder, run_id = os.path.split(run)
    return os.path.join(folder, "flq_results_quadratic_bbit_%s.xlsx" % run_id.rpartition("_")[0])


def resumed(cluster, run):
    return cluster.start_master(flags=("--resume", os.path.basename(run)))


def check_results(master, undisturbed):
    assert master.model(settings_of(*RUN)).tobytes() == undisturbed.tobytes()
    assert [row["round"] for row in master.table("Rounds")] == list(range(1, N_ROUNDS + 1))
    assert master.summary()["ended because"] == "%d rounds are done" % N_ROUNDS


@pytest.mark.parametrize("name", OBSTACLES)
def test_an_obstacle_to_a_result_is_named_and_after_its_removal_resume_writes_it(cluster, undisturbed, name):
    master = cluster.master(*RUN, *FOR_LONG)
    run = run_dir(master)
    obstacles = [path.format(run=run, workbook=workbook_of(run)) for path in OBSTACLES[name]]
    for path in obstacles:
        os.makedirs(os.path.join(path, "in the way"))
    workers = cluster.workers(range(2), master.port)
    assert [program.wait() for program in workers + [master]] == [0, 0, 1]
    last = master.text.splitlines()[-1]
    for path in obstacles:
        assert re.search(" is not written: Is a directory: %s[; ]" % re.escape(path), last)
    assert "then ./start_master.sh --resume %s writes them" % os.path.basename(run) in last
    assert "results: " not in master.text and "Traceback" not in master.text

    for path in obstacles:
        shutil.rmtree(path)
    again = resumed(cluster, run)
    end_well(again, [])
    assert again.text.splitlines()[-1] == "results: " + workbook_of(run)
    check_results(again, undisturbed)
    third = resumed(cluster, run)
    assert third.wait() == 2 and "has ended: %d rounds are done" % N_ROUNDS in third.text


def test_the_files_of_an_interrupted_run_are_not_taken_for_those_of_its_end(cluster, undisturbed):
    master = cluster.master(*RUN, "system.max_rounds=1000000", "system.linger_s=0.1")
    workers = cluster.workers(range(2), master.port)
    master.wait_for(r"round=3/")
    master.signal(signal.SIGTERM)
    assert master.wait() == 128 + signal.SIGTERM
    run = run_dir(master)
    old = [workbook_of(run), os.path.join(run, "model.npz")]
    assert all(map(os.path.exists, old))
    for path in old:
        os.makedirs(path + ".part/in the way")

    for worker in workers:
        worker.signal(signal.SIGTERM)
        worker.wait()
    again = cluster.master("system.max_rounds=1000000", flags=("--resume", os.path.basename(run)))
    assert [file["kind"] for file in ask(again, "/results")["files"]] == ["configuration"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        stop(again)
    with caught.value as answer:
        content = json.loads(answer.read().decode("utf-8"))
    for path in old:
        assert "is not written: Is a directory: %s.part" % path in content["detail"]
    assert again.wait() == 1 and "results: " not in again.text


def test_results_that_become_writable_are_written_while_the_master_runs(cluster, undisturbed):
    master = cluster.master(*RUN, flags=("--keep_serving",))
    path = os.path.join(run_dir(master), "model.npz.part")
    os.makedirs(os.path.join(path, "in the way"))
    workers = cluster.workers(range(2), master.port)
    assert [worker.wait() for worker in workers] == [0, 0]  # who hear of the end all the same
    status = ask(master, "/status")
    assert status["problem"] == "model.npz is not written: Is a directory" and status["state"] == "CLOSING"
    shutil.rmtree(path)
    assert stop(master)["results_saved"] == workbook_of(run_dir(master))
    assert master.wait() == 0
    check_results(master, undisturbed)


def test_an_unwritten_workbook_of_an_interrupted_run_is_named_and_the_run_continues(cluster, undisturbed):
    master = cluster.master(*RUN, "system.min_workers=2")
    path = workbook_of(run_dir(master)) + ".part"
    os.makedirs(os.path.join(path, "in the way"))
    master.signal(signal.SIGTERM)
    assert master.wait() == 128 + signal.SIGTERM
    assert "is not written: Is a directory: %s" % path in master.text and "results: " not in master.text
    shutil.rmtree(path)
    again = cluster.master(flags=("--resume", os.path.basename(run_dir(master))))
    end_well(again, cluster.workers(range(2), again.port))
    check_results(again, undisturbed)
