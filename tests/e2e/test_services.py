"""Programs as services: notifications to systemd, runs that start once, workers that stay for the next run."""

import os
import signal
import socket

import numpy as np
import pytest
from cluster import end_well, free_port, settings_of, stop

from flq.engines import simulation

RUN = ("model.name=quadratic", "model.lr=0.05", "system.total_workers=2", "system.min_workers=2", "system.max_rounds=5")
LONG = RUN[:-1] + ("system.max_rounds=100000",)


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """Replace systemd for the programs of a test; return a function that waits for a notification."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(30.0)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "90000000")

        def wait_for(word):
            while sock.recv(100).decode() != word:
                pass

        yield wait_for


def asks_for_a_run(cluster):
    """Create the file that requests a run; return its flags, and its path."""
    path = os.path.join(cluster.folder, "run_wanted")
    open(path, "w").close()
    return ("--start_once", path), path


def test_a_run_is_begun_once(cluster):
    flags, path = asks_for_a_run(cluster)
    master = cluster.master(*RUN, flags=flags)
    assert not os.path.exists(path)
    end_well(master, cluster.workers(range(2), master.port))
    again = cluster.start_master(*RUN, flags=flags)
    assert again.wait() == 0 and "nothing to do: there is no unfinished run" in again.text
    assert len(master.files("model.npz")) == 1


def test_a_killed_service_resumes_the_run_and_forgets_earlier_requests(cluster):
    flags, path = asks_for_a_run(cluster)
    port = free_port()
    master = cluster.master(*LONG, flags=flags, port=port)
    workers = cluster.workers(range(2), port)
    master.wait_for("round=3/")
    master.signal(signal.SIGKILL)
    master.wait()
    open(path, "w").close()  # as if it had been killed before it removed the file
    refused = cluster.start_master(*LONG, "model.lr=0.5", flags=flags + ("--print_config",))
    assert refused.wait() == 2 and "model.lr was 0.05 and is 0.5" in refused.text and "POST /stop" in refused.text
    assert cluster.start_master(*LONG, flags=flags + ("--print_config",)).wait() == 0
    again = cluster.master(*LONG, flags=flags, port=port)
    again.wait_for(r"round=\d+/")
    assert not os.path.exists(path)
    stop(again)
    end_well(again, workers)
    settings = settings_of(*RUN[:-1], "system.max_rounds=%d" % len(again.table("Rounds")))
    assert np.array_equal(again.model(settings), simulation.simulate(settings).model)


def test_systemd_hears_of_a_master_that_has_nothing_to_do(cluster, heard):
    master = cluster.start_master(*RUN, flags=("--start_once", os.path.join(cluster.folder, "nobody_asks")))
    heard("READY=1")
    assert master.wait() == 0


def test_systemd_hears_of_master_and_worker_when_they_are_ready_and_while_they_live(cluster, heard):
    master = cluster.start_master(*LONG)
    heard("READY=1")
    heard("WATCHDOG=1")
    heard("WATCHDOG=1")
    master.wait_until_ready()
    master.signal(signal.SIGTERM)
    master.wait()
    worker = cluster.worker(0, master.port)
    heard("READY=1")
    heard("WATCHDOG=1")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 128 + signal.SIGTERM


def test_a_worker_that_stays_takes_part_in_the_next_run_too(cluster):
    port = free_port()
    workers, n_lines = [], [0, 0]
    for name in "first", "second":
        master = cluster.master(*RUN, port=port, name=name)
        workers = workers or [cluster.worker(worker_id, port, flags=("--stay",)) for worker_id in range(2)]
        end_well(master, [])
        settings = settings_of(*RUN)
        assert np.array_equal(master.model(settings), simulation.simulate(settings).model)
        for worker, after in zip(workers, n_lines):
            worker.wait_for("waiting for the next one", after)
        n_lines = [worker.n_lines for worker in workers]
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 128 + signal.SIGTERM


def test_a_worker_that_stays_rebuilds_for_a_run_with_other_settings(cluster):
    cluster.is_cold = True  # it becomes a new process of the program that it is
    port, alone = free_port(), ("system.total_workers=1", "system.min_workers=1", "system.max_rounds=3")
    worker = None
    for name, more in ("first", ()), ("second", ("model.dim=70", "system.threads=2")):
        overrides = RUN + alone + more
        master = cluster.master(*overrides, port=port, name=name)
        worker = worker or cluster.worker(0, port, flags=("--stay",))
        end_well(master, [])
        expected = simulation.simulate(settings_of(*overrides)).model
        assert np.array_equal(master.model(settings_of(*overrides)), expected)
    assert "the run has other settings: restarting" in worker.text and worker.process.poll() is None
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 128 + signal.SIGTERM
