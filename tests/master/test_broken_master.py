"""Bugs of the master itself: what can continue does, and what cannot ends at once with a message."""

import socket
import threading
from contextlib import ExitStack

import numpy as np
import pytest
from local_master import WAIT_S, HttpWorker
from test_waiting_polls import park, poll_of

from flq.core import server_step
from flq.engines import simulation
from flq.errors import Unavailable
from flq.master.runtime import run
from flq.protocol import worker_events
from flq.protocol.events import Heartbeat, Poll
from flq.run_end import Stage

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")


def fail(*args, **kwargs):
    raise RuntimeError("broken by the test")


@pytest.mark.parametrize("place", ["evaluator", "record", "status"])
def test_a_run_continues_when_its_sinks_and_records_fail(make_master, run_workers, monkeypatch, place):
    master = make_master(*RUN)
    if place == "status":
        monkeypatch.setattr(run, "status_of", fail)
    else:
        target, name = {"evaluator": (master.evaluator, "evaluate"), "record": (master.run.record, "add_round")}[place]
        monkeypatch.setattr(target, name, fail)
    model = run_workers(master)
    assert np.array_equal(model, simulation.simulate(master.settings).model)
    assert not master.run.failed


def joined(master):
    worker = HttpWorker(master, 0)
    while not isinstance(worker.action, worker_events.CallPoll):
        worker.step()
    return worker


def test_a_request_on_which_the_machine_fails_gets_an_error_and_the_next_is_served(make_master, monkeypatch):
    master = make_master(*RUN)
    worker = joined(master)
    heartbeat = b'{"worker_id": 0, "epoch": %d}' % worker.machine.epoch
    with monkeypatch.context() as patch:
        patch.setitem(master.machine._handlers, Heartbeat, fail)
        code, _, body = master.send("POST", "/heartbeat", heartbeat)
        assert code == 503 and b"the master failed on this request" in body
    assert master.send("POST", "/heartbeat", heartbeat)[0] == 200


def test_replies_from_before_the_machine_failed_are_sent(make_master, monkeypatch):
    master = make_master(*RUN)
    worker = joined(master)
    handle, advance = master.machine.handle, master.machine._advance
    with ExitStack() as stack:
        old = park(master, worker, stack)
        new = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), timeout=WAIT_S))

        def fail_on_polls(event, now):
            monkeypatch.setattr(master.machine, "_advance", fail if isinstance(event, Poll) else advance)
            return handle(event, now)

        monkeypatch.setattr(master.machine, "handle", fail_on_polls)
        new.sendall(poll_of(worker))
        assert new.recv(4096).startswith(b"HTTP/1.1 503 ")
        assert old.recv(4096).startswith(b"HTTP/1.1 204 ")  # the new poll had replaced it
        monkeypatch.undo()
    assert not master.run.failed


@pytest.mark.parametrize("name", ["next_deadline", "handle"])
def test_a_machine_that_fails_of_itself_ends_the_run_at_once(make_master, monkeypatch, name):
    master = make_master(*RUN)
    worker = joined(master)
    with ExitStack() as stack:
        waiting = park(master, worker, stack)
        monkeypatch.setattr(master.machine, name, fail)
        assert master.run.ending.wait(Stage.TOLD, WAIT_S)
        assert master.run.failed and master.run.ending._is_released
        assert master.run.ending.stage is Stage.FAILED
        assert waiting.recv(4096).startswith(b"HTTP/1.1 503 ")
    assert master.send("POST", "/heartbeat", b'{"worker_id": 0, "epoch": 1}')[0] == 503
    assert master.send("POST", "/stop")[0] == 503
    assert master.send("GET", "/healthz")[0] == 200
    master.run.finish()  # what there is, is kept
    assert master.table("Rounds") == []


def test_an_end_that_cannot_be_performed_ends_the_run_too(make_master, monkeypatch):
    master = make_master(*RUN)
    monkeypatch.setattr(master.run, "_totals", fail)
    with pytest.raises(Unavailable, match="the master has failed"):
        master.run.stop("stopped by the test")


def test_stop_does_not_wait_for_ever(make_master, monkeypatch):
    master = make_master(*RUN)
    may_write = threading.Event()
    monkeypatch.setattr(master.run.results, "save_model", lambda model: may_write.wait(WAIT_S))
    with monkeypatch.context() as patch:
        patch.setattr(run, "STOP_S", 0.1)
        with pytest.raises(Unavailable, match="not saved after"):
            master.run.stop("stopped by the test")
    may_write.set()


def test_half_of_a_change_is_neither_written_nor_answered(make_master, monkeypatch):
    master = make_master(*RUN)

    def fail_for_want_of_memory(*args):
        raise MemoryError("broken by the test")

    monkeypatch.setattr(server_step, "aggregate", fail_for_want_of_memory)
    workers = [HttpWorker(master, worker_id, waits=False) for worker_id in range(2)]
    for worker in workers:
        while not isinstance(worker.action, worker_events.CallPoll):
            worker.step()
    for worker in workers:  # one after the other, so that each is a batch of its own: the last one closes the round
        while not isinstance(worker.action, worker_events.CallAnswer):
            worker.step()
        worker.step()
    assert master.run.failed
    kinds = [kind for _, kind, _, _ in master.store._journal.entries(0)]
    assert sorted(kinds) == ["answered", "joined", "joined"]  # a restart has the last answer come again
    assert master.store._journal.rounds() == []
