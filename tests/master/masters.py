"""Fixtures: masters in this process, and workers that take part until the end."""

import threading

import pytest
from local_master import WAIT_S, HttpWorker, LocalMaster

from flq.run_end import Stage


@pytest.fixture
def make_master(tmp_path):
    """Return a function that starts a LocalMaster with the given overrides."""
    made = []

    def make(*overrides, **options):
        made.append(LocalMaster(str(tmp_path / ("master%d" % len(made))), *overrides, **options))
        return made[-1]

    yield make
    closing = [threading.Thread(target=master.close) for master in made]  # half a second each, together
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.fixture
def run_workers():
    """Return a function that runs workers to the end, each in a thread, and returns the final model."""

    def run(master, clients=None):
        n_workers = master.settings.system.total_workers
        workers = [HttpWorker(master, worker_id, (clients or {}).get(worker_id)) for worker_id in range(n_workers)]
        threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert [worker.action.code for worker in workers] == [0] * n_workers
        assert master.run.ending.wait(Stage.SAVED, WAIT_S)
        return master.machine.model.state.model

    return run
