"""A run is resumed after a signal, with damaged files, or extended; if it cannot be resumed, the reason is reported.

One run is interrupted, and each drill uses a copy of its files.
"""

import json
import os
import shutil
import signal
import sqlite3
from concurrent.futures import Future

import numpy as np
import pytest
from armed_cluster import ArmedCluster, Kill
from cluster import REPOSITORY, settings_of

from flq.engines import simulation
from flq.errors import Unavailable
from flq.master.runtime.event_loop import Close, EventLoop, Execute
from flq.protocol.master_machine import MasterMachine
from flq.protocol.options import run_options
from flq.training.frameworks import make_task

RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=200",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=1000000",
    "system.snapshot_every=3",
    "memory=mirror",
    "thr_scale=2",
    "C=3",
)
WORKERS = ("worker0", "worker1")
CONFIG = "flq_config.json"


def expected(n_rounds):
    return simulation.simulate(settings_of(*RUN + ("system.max_rounds=%d" % n_rounds,)))


class Left:
    """The files of an interrupted run: a folder to copy."""

    def __init__(self, folder):
        self.cluster = ArmedCluster(folder, RUN)
        try:
            master = self.cluster.begin("master").wait_until_ready()
            workers = [self.cluster.begin(name) for name in WORKERS]
            master.wait_for("round=7/")
            master.signal(signal.SIGTERM)
            self.code, self.text = master.wait(), master.text
            for worker in workers:
                worker.signal(signal.SIGTERM)
                worker.wait()
        finally:
            self.cluster.close()
        self.n_rounds = len(self.cluster.reports())
        self.run_id = os.path.basename(self.cluster.run_dir())


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """Return the files of an interrupted run."""
    return Left(str(tmp_path_factory.mktemp("left")))


@pytest.fixture
def cluster(left, tmp_path):
    """Return an ArmedCluster with a copy of the run's files."""
    made = ArmedCluster(str(tmp_path), RUN)
    for name in ("results", "state"):
        shutil.copytree(os.path.join(left.cluster.folder, name), os.path.join(made.folder, name))
    yield made
    made.close()


def resume(cluster, *flags, names=("master",) + WORKERS, run_id=""):
    """Resume the run with a master and workers until the end; return their programs."""
    programs = [
        cluster.begin(name, is_first=False, flags=flags if name == "master" else (), run_id=run_id) for name in names
    ]
    for program in programs:
        assert program.wait() == 0, program.text
        assert "Traceback" not in program.text
    return programs


def refused(cluster, *flags, run_id=""):
    """Try to resume; return the single line of a master that does not."""
    master = cluster.begin("master", is_first=False, flags=flags, run_id=run_id)
    assert master.wait() == 2, master.text
    (line,) = master.text.splitlines()
    return line


def snapshots_of(cluster):
    folder = os.path.join(cluster.run_dir(), "snapshots")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def damage(path):
    """Flip a bit in the middle."""
    with open(path, "r+b") as stream:
        stream.seek(os.path.getsize(path) // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 0x40]))


def max_rounds(n):
    return "--set", "system.max_rounds=%d" % n


def test_a_signal_leaves_a_workbook_and_shows_how_to_resume(left):
    assert left.code == 128 + signal.SIGTERM
    assert "--resume " + left.run_id in left.text and "Traceback" not in left.text
    (workbook,) = [name for name in os.listdir(left.cluster.results_dir) if name.endswith(".xlsx")]
    assert "results: " + os.path.join(left.cluster.results_dir, workbook) in left.text
    assert left.n_rounds >= 7


def test_a_resumed_run_trains_the_model_of_an_uninterrupted_one(cluster, left):
    n = left.n_rounds + 6
    master, *_ = resume(cluster, *max_rounds(n))
    assert cluster.model(settings_of(*RUN)).tobytes() == expected(n).model.tobytes()
    rounds = master.table("Rounds")
    assert [row["round"] for row in rounds] == list(range(1, n + 1))
    assert [row["payload up (bits)"] for row in rounds] == [report.payload_bits_up for report in expected(n).reports]
    assert master.summary()["rounds"] == n and "%d rounds are done" % n == master.summary()["ended because"]

    assert "run %s has ended: %d rounds are done" % (left.run_id, n) in refused(cluster, run_id=left.run_id)
    assert "no unfinished run" in refused(cluster)
    resume(cluster, *max_rounds(n + 4), run_id=left.run_id)
    assert cluster.model(settings_of(*RUN)).tobytes() == expected(n + 4).model.tobytes()


def test_a_run_that_is_made_longer_and_killed_is_unfinished(cluster, left):
    n = left.n_rounds + 2
    resume(cluster, *max_rounds(n))
    seats = [cluster.begin(name) for name in WORKERS]
    master = cluster.begin(
        "master",
        Kill("after the answer", 3),
        os.path.join(cluster.folder, "fired"),
        is_first=False,
        flags=max_rounds(n + 5),
        run_id=left.run_id,
    )
    assert master.wait() == -signal.SIGKILL and os.path.exists(os.path.join(cluster.folder, "fired"))
    resume(cluster, names=("master",))
    assert [seat.wait() for seat in seats] == [0, 0]
    assert cluster.model(settings_of(*RUN)).tobytes() == expected(n + 5).model.tobytes()


@pytest.mark.parametrize("harm", [os.remove, damage, lambda path: shutil.copy(os.path.join(REPOSITORY, CONFIG), path)])
def test_the_settings_are_those_of_the_journal_and_not_of_their_file(cluster, left, harm):
    path = os.path.join(cluster.run_dir(), "config.json")
    with open(path) as stream:
        before = json.load(stream)
    harm(path)
    n = left.n_rounds + 3
    resume(cluster, *max_rounds(n))
    assert cluster.model(settings_of(*RUN)).tobytes() == expected(n).model.tobytes()
    before["system"]["max_rounds"], before["report"]["results_dir"] = n, cluster.results_dir
    with open(path) as stream:
        assert json.load(stream) == before


def test_a_damaged_snapshot_is_left_out_and_the_one_before_taken(cluster, left):
    paths = snapshots_of(cluster)
    assert len(paths) == 2
    damage(paths[-1])
    n = left.n_rounds + 3
    master, *_ = resume(cluster, *max_rounds(n))
    assert "cannot be read, the previous one is used" in master.text
    assert cluster.model(settings_of(*RUN)).tobytes() == expected(n).model.tobytes()


def test_without_a_whole_snapshot_there_is_one_clear_sentence(cluster):
    for path in snapshots_of(cluster):
        damage(path)
    master = cluster.begin("master", is_first=False)
    assert master.wait() in (1, 2)
    *warnings, last = [line for line in master.text.splitlines() if "evaluator=ready" not in line]  # it may come first
    assert "no snapshot in %s/snapshots can be read" % cluster.run_dir() in last
    assert sum("cannot be read, the previous one is used" in line for line in warnings) == 2
    assert "Traceback" not in master.text


def test_a_journal_that_is_none_is_one_clear_sentence(cluster, left):
    path = os.path.join(cluster.run_dir(), "journal.sqlite")
    with open(path, "r+b") as stream:
        stream.write(b"no database at all")
    assert "the journal %s cannot be read" % path in refused(cluster, run_id=left.run_id)


def test_another_configuration_is_refused_with_the_difference(cluster, left):
    line = refused(cluster, "--set", "model.lr=0.06", "--set", "report.evaluation_backlog_mb=7")
    assert "model.lr was 0.05 and is 0.06" in line and "backlog" not in line
    assert "no run nonsense" in refused(cluster, run_id="nonsense")
    resume(cluster, *max_rounds(left.n_rounds + 1))  # nothing has happened to it


def test_a_second_master_is_rejected_and_the_first_continues(cluster, left):
    n = left.n_rounds + 3
    first = cluster.begin("master", is_first=False, flags=max_rounds(n)).wait_until_ready()
    cluster.port, port = 0, cluster.port
    assert "another master is running with %s" % cluster.run_dir() in refused(cluster)
    cluster.port = port
    resume(cluster, names=WORKERS)
    assert first.wait() == 0
    assert cluster.model(settings_of(*RUN)).tobytes() == expected(n).model.tobytes()


def test_a_worker_with_a_torn_record_reports_it_and_joins_as_new(cluster, left):
    path = os.path.join(cluster.folder, "state", "worker0", "state.npz")
    os.truncate(path, os.path.getsize(path) // 2)
    master, torn, whole = resume(cluster, *max_rounds(left.n_rounds + 2))
    assert "the state of this worker is lost, it joins as new" in torn.text
    assert "worker 0 joined with 100 samples (epoch 2)" in master.text
    assert "worker 1 is back" in master.text and "memories are empty" not in whole.text
    assert [row["round"] for row in master.table("Rounds")] == list(range(1, left.n_rounds + 3))


def test_the_run_was_journalled_in_full(left):
    """SQLite alone can read the journal: each round, and each answer that a snapshot may still need."""
    database = sqlite3.connect(os.path.join(left.cluster.run_dir(), "journal.sqlite"))
    try:
        numbers = [seq for (seq,) in database.execute("SELECT seq FROM entries ORDER BY seq")]
        (n_rounds,) = database.execute("SELECT COUNT(*) FROM rounds").fetchone()
    finally:
        database.close()
    oldest, newest = (
        int(os.path.basename(path)[len("snapshot_") : -len(".npz")]) for path in snapshots_of(left.cluster)
    )
    assert n_rounds == left.n_rounds and 2 + 2 * n_rounds <= numbers[-1] <= 3 + 2 * n_rounds
    assert numbers == list(range(numbers[0], numbers[-1] + 1)) and numbers[0] <= oldest + 1 <= newest


def test_requests_to_a_master_that_is_ending_are_rejected_at_once():
    """They are queued after the end, and removed from the queue with it."""
    machine = MasterMachine(
        run_options("run", settings_of(*RUN), make_task(settings_of(*RUN)).layout), np.zeros(200, "f4")
    )
    loop = EventLoop(
        machine, lambda effects: None, lambda: None, lambda effect: None, lambda is_idle: None, lambda: None
    )
    question = Future()
    for item in ((Close(lambda: None), None, None), (Execute(lambda: "never"), 1, question)):
        loop._queue.put(item)
    loop._run()
    assert question.done() and isinstance(question.result(), Unavailable)
