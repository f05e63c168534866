"""A full, read-only or locked disk makes a run wait and loses nothing; so does a clock that jumps."""

import os
import signal
import sqlite3

import pytest
from armed import JUMPS
from armed_cluster import UNHARMED, ArmedCluster, Kill, check_same, rounds_of
from cluster import ask, settings_of
from disks import Disk

from flq.engines import simulation
from flq.master.storage.journal import open_journal

RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=200",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=20",
    "system.snapshot_every=3",
    "thr_scale=2",
    "C=3",
)
WORKERS = ("worker0", "worker1")
KB = 1024


@pytest.fixture
def cluster(tmp_path):
    """Return an ArmedCluster; its programs are ended afterwards."""
    made = ArmedCluster(str(tmp_path), RUN)
    yield made
    made.close()


@pytest.fixture
def make_disk(tmp_path, cluster):
    """Return a function that mounts a small disk at a path below the project."""
    made = []

    def make(path, n_bytes):
        made.append(Disk(os.path.join(cluster.folder, path), n_bytes))
        return made[-1]

    yield make
    cluster.close()
    for disk in made:
        disk.close()


@pytest.fixture(scope="module")
def undisturbed():
    """Return the undisturbed run."""
    return simulation.simulate(settings_of(*RUN))


def end(cluster, programs, undisturbed):
    """Wait for the end, and compare."""
    for program in programs:
        assert program.wait() == 0, program.text
        assert "Traceback" not in program.text
    check_same(cluster, undisturbed.master.model.state.result, rounds_of(undisturbed.reports))


def begin_all(cluster, kill=UNHARMED):
    """Start all programs; return them, the master first."""
    master = cluster.begin("master", kill, os.path.join(cluster.folder, "fired_master")).wait_until_ready()
    return [master] + [cluster.begin(name, kill, os.path.join(cluster.folder, "fired_" + name)) for name in WORKERS]


def n_applied(worker):
    return sum(" applied " in line or " noted " in line for line in worker.text.splitlines())


def test_a_full_disk_of_the_master_lets_the_run_wait_until_there_is_room(cluster, make_disk, undisturbed):
    disk = make_disk("results", 1024 * KB)
    master = cluster.begin("master").wait_until_ready()
    disk.fill(n_free=60 * KB)  # the journal gets full in the middle of the run, before the first snapshot
    workers = [cluster.begin(name) for name in WORKERS]
    master.wait_for("the journal cannot be written: database or disk is full; the run waits")
    assert "database or disk is full" in ask(master, "/status")["problem"]
    journal = open_journal(cluster.run_dir(), only_to_look=True)
    n_answered = journal.last_seq() - len(WORKERS)  # who have joined
    journal.close()
    assert 0 < n_answered < 40
    assert sum(map(n_applied, workers)) <= n_answered  # no unwritten event was answered
    disk.make_room()
    master.wait_for("the journal can be written again")
    end(cluster, [master] + workers, undisturbed)


def test_a_full_disk_of_a_worker_is_a_warning_and_the_run_continues(cluster, make_disk, undisturbed):
    disk = make_disk("state/worker0", 64 * KB)
    disk.fill(n_free=4 * KB)  # its name fits
    programs = begin_all(cluster)
    end(cluster, programs, undisturbed)
    warnings = [line for line in programs[1].text.splitlines() if "No space left on device" in line]
    assert len(warnings) == 20 and "if it is killed now, it joins as new" in warnings[0]


def test_a_worker_that_is_killed_while_its_disk_is_full_joins_as_new(cluster, make_disk):
    disk = make_disk("state/worker0", 64 * KB)
    disk.fill(n_free=4 * KB)
    master, other = (cluster.begin(name) for name in ("master", "worker1"))
    fired = os.path.join(cluster.folder, "fired")
    assert cluster.begin("worker0", Kill("after the commit", 5), fired).wait() == -9 and os.path.exists(fired)
    again = cluster.begin("worker0")
    for program in (again, other, master):
        assert program.wait() == 0, program.text
    assert "worker 0 joined with 100 samples (epoch 2)" in master.text
    assert [row["round"] for row in master.table("Rounds")] == list(range(1, 21))


def test_a_read_only_folder_is_one_clear_sentence_and_nothing_is_lost(cluster, make_disk, undisturbed):
    results, state = make_disk("results", 4096 * KB), make_disk("state/worker0", 256 * KB)
    fired = os.path.join(cluster.folder, "fired")
    master, other = cluster.begin("master"), cluster.begin("worker1")
    assert cluster.begin("worker0", Kill("after the record", 7), fired).wait() == -9 and os.path.exists(fired)
    master.signal(signal.SIGKILL)
    master.wait()
    for disk in (results, state):
        disk.set_read_only(True)
    for program, code in ((cluster.begin("master", is_first=False), 1), (cluster.begin("worker0"), 2)):
        assert program.wait() == code
        assert "Read-only file system" in program.text and len(program.text.splitlines()) <= 2, program.text
        assert "Traceback" not in program.text
    for disk in (results, state):
        disk.set_read_only(False)
    end(cluster, [cluster.begin("master", is_first=False), cluster.begin("worker0"), other], undisturbed)


def test_a_new_run_in_a_read_only_folder_is_one_clear_sentence(cluster, make_disk):
    make_disk("results", 64 * KB).set_read_only(True)
    master = cluster.begin("master")
    assert master.wait() == 2
    last = master.text.splitlines()[-1]
    assert "the folder of the run cannot be made: %s" % cluster.results_dir in last
    assert ": Read-only file system (report.results_dir must be a writable folder)" in last


def test_a_new_run_on_a_full_disk_is_one_clear_sentence(cluster, make_disk):
    make_disk("results", 64 * KB).fill(n_free=8 * KB)
    master = cluster.begin("master")
    assert master.wait() == 2
    assert "the journal in %s cannot be written" % cluster.run_dir() in master.text.splitlines()[-1]
    assert "Traceback" not in master.text


def test_a_disk_that_is_taken_away_is_missed_and_the_model_is_saved_in_its_place(cluster, make_disk):
    disk = make_disk("results", 4096 * KB)
    master = cluster.begin("master").wait_until_ready()
    run = cluster.run_dir()
    disk.close()  # open files remain usable
    worker = cluster.begin("worker0")
    master.wait_for("the run waits: the folder of the run is gone: %s .restore it" % run)
    master.signal(signal.SIGTERM)
    assert master.wait() == 1
    assert "the model after round 0 is saved as %s_recovered_1/model.npz" % run in master.text.splitlines()[-1]
    assert os.path.exists(run + "_recovered_1/model.npz") and "Traceback" not in master.text
    worker.close()


def test_a_journal_locked_by_another_process_lets_the_run_wait(cluster, undisturbed):
    master = cluster.begin("master").wait_until_ready()
    journal = sqlite3.connect(os.path.join(cluster.run_dir(), "journal.sqlite"), isolation_level=None)
    try:
        workers = [cluster.begin("worker0")]
        master.wait_for("worker 0 joined")
        journal.execute("BEGIN EXCLUSIVE")
        workers += [cluster.begin("worker1")]
        master.wait_for("the journal cannot be written: database is locked; the run waits")
        assert ask(master, "/status")["problem"] == "the journal cannot be written: database is locked"
        journal.execute("ROLLBACK")
    finally:
        journal.close()
    master.wait_for("the journal can be written again")
    end(cluster, [master] + workers, undisturbed)


def test_a_clock_that_jumps_by_an_hour_both_ways_changes_nothing(cluster, undisturbed):
    end(cluster, begin_all(cluster, Kill(JUMPS, 10)), undisturbed)
    for name in ("master",) + WORKERS:
        assert os.path.exists(os.path.join(cluster.folder, "fired_" + name))
