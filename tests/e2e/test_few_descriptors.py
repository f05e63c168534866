"""A master that may open few files: strangers use none that the run needs."""

import os
import selectors
import socket
import threading

import numpy as np
import pytest
from cluster import ask, end_well, settings_of
from waits import wait_until

from flq.engines import simulation

SMALL = (
    "model.name=quadratic",
    "model.lr=0.05",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.snapshot_every=2",
)
N_STRANGERS = 120


def limited(n_files):
    return ("bash", "-c", 'ulimit -n %d; exec "$0" "$@"' % n_files)


def n_open(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


class Strangers:
    """Silent connections, which are reopened if requested."""

    def __init__(self, port, comes_again):
        self._port, self._comes_again = port, comes_again
        self._selector, self._ends, self.n_closed = selectors.DefaultSelector(), threading.Event(), 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        for _ in range(N_STRANGERS):
            self._connect()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _connect(self):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", self._port))
        self._selector.register(sock, selectors.EVENT_READ)

    def _run(self):
        while not self._ends.is_set():
            for key, _ in self._selector.select(0.1):
                self._selector.unregister(key.fileobj)
                key.fileobj.close()
                self.n_closed += 1
                if self._comes_again:
                    self._connect()


@pytest.mark.parametrize("n_files, comes_again", [(64, False), (128, True)])
def test_strangers_do_not_use_up_descriptors_of_the_run(cluster, n_files, comes_again):
    overrides = SMALL + ("system.max_rounds=60",)
    master = cluster.master(*overrides, by=limited(n_files))
    n_lines = master.n_lines
    with Strangers(master.port, comes_again) as strangers:
        wait_until(lambda: strangers.n_closed > 20, "nobody has to make room")
        assert n_open(master.pid) < n_files - 10
        workers = cluster.workers(range(2), master.port)  # they come while there is no place
        master.wait_for(r"round=5/60 ")
        assert n_open(master.pid) < n_files - 10
        assert sum("connections are open" in line for line in master.text.splitlines()[n_lines:]) == 1
        end_well(master, workers)
    assert "Too many open files" not in master.text and "cannot" not in master.text
    assert np.array_equal(master.model(settings_of(*overrides)), simulation.simulate(settings_of(*overrides)).model)


def test_a_limit_that_is_too_small_for_the_workers_is_a_sentence_and_exit_code_2(cluster):
    master = cluster.start_master("model.name=quadratic", "system.total_workers=100", by=limited(64))
    assert master.wait() == 2
    (line,) = [line for line in master.text.splitlines() if "workers need" in line]
    assert "100 workers need 208 connections, expected at most " in line and "this process may open 64 files" in line
    assert "ulimit" in line and "LimitNOFILE" in line and "system.total_workers" in line


def test_the_soft_limit_is_raised_and_a_setting_beyond_the_hard_one_is_one_warning(cluster):
    master = cluster.master(
        *SMALL + ("security.max_connections=5000",),
        by=("bash", "-c", 'ulimit -Sn 100; ulimit -Hn 1000; exec "$0" "$@"'),
    )
    assert master.text.count("security.max_connections is 5000, expected at most ") == 1
    assert "this process may open 1000 files" in master.text
    with open("/proc/%d/limits" % master.pid) as stream:
        assert next(line for line in stream if line.startswith("Max open files")).split()[3:5] == ["1000", "1000"]
    assert ask(master, "/status")["state"] == "LOBBY"
