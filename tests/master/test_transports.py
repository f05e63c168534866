"""A run over each transport trains the model of the simulation."""

import random
import threading
import time

import pytest
from local_master import HttpWorker, registration
from waits import WAIT_S

from flq.engines.simulation import simulate
from flq.protocol.exchange import Local, run_worker
from flq.protocol.worker_events import CallRegister, Problem
from flq.protocol.worker_machine import WorkerMachine
from flq.training.frameworks import build_trainer

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=4")
TRANSPORTS = {
    "http": lambda master, worker_id: master.client(worker_id, HttpWorker.CLIENT).do
}  # name -> (master, worker id) -> call


@pytest.mark.parametrize("name", sorted(TRANSPORTS))
@pytest.mark.parametrize("memory", ["residual", "mirror"])
def test_a_run_over_a_transport_comes_to_the_model_of_the_simulation(make_master, name, memory):
    master, ends = make_master(*RUN, "memory=" + memory), []

    def work(worker_id):
        machine = WorkerMachine(worker_id, "instance%d" % worker_id, random.Random(worker_id), WAIT_S)
        local = Local(lambda settings: build_trainer(settings, worker_id), time.monotonic, time.sleep)
        ends.append(run_worker(machine, local, TRANSPORTS[name](master, worker_id), time.monotonic))

    threads = [threading.Thread(target=work, args=[worker_id], daemon=True) for worker_id in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert [end.code for end in ends] == [0, 0]
    expected = simulate(master.settings)
    assert master.machine.model.state.model.tobytes() == expected.model.tobytes()
    assert master.machine.model.state.shared.tobytes() == expected.shared.tobytes()


@pytest.mark.parametrize("name", sorted(TRANSPORTS))
def test_a_rejection_of_the_master_is_a_problem_event(make_master, name):
    master = make_master(*RUN)
    body = registration(0, n_samples=10, layout_crc=master.layout.crc ^ 1)
    event = TRANSPORTS[name](master, 0)(CallRegister(body))
    assert isinstance(event, Problem) and (event.status, event.by_master) == (409, True)
    assert "parameter layout" in event.detail
