"""Requests that wait never take all threads."""

import socket
from contextlib import ExitStack

import pytest
from local_master import HttpWorker, head

from flq.master.http import server
from flq.protocol import worker_events

N_WORKERS = 6
N_PATIENT = 4


@pytest.fixture
def polling(make_master, monkeypatch):
    """A master with threads for four waiting requests, and six workers that are about to poll."""
    monkeypatch.setattr(server, "MAX_THREADS", server.SPARE_THREADS + N_PATIENT)
    master = make_master("system.total_workers=7", "system.min_workers=7")  # one is missing: no round opens
    workers = [HttpWorker(master, worker_id) for worker_id in range(N_WORKERS)]
    for worker in workers:
        while not isinstance(worker.action, worker_events.CallPoll):
            worker.step()
    return master, workers


def poll_of(worker):
    target = "/get_global_model?worker=%d&epoch=%d&have=0&answered=0" % (worker.worker_id, worker.machine.epoch)
    return head("GET", target, Accept="application/x-flq")


def park(master, worker, stack):
    """Send a poll that will wait; return its socket once the master's machine holds it."""
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), timeout=20))
    sock.sendall(poll_of(worker))
    # A heartbeat passes the same queue: when it is answered, all earlier requests are in.
    while not master.machine.delivery.has_poll(worker.worker_id):
        worker.client.heartbeat(worker.machine.epoch)
    return sock


def test_polls_beyond_the_patient_threads_get_204_at_once_and_status_still_answers(polling):
    master, workers = polling
    with ExitStack() as stack:
        parked = [park(master, worker, stack) for worker in workers[:N_PATIENT]]
        for worker in workers[N_PATIENT:] * 3:
            event = worker.client.do(worker.action)
            assert event == worker_events.NothingNew(2.0)
            assert master.status()["connected_workers"] == N_WORKERS
        for sock in parked:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)  # they wait on


def three_with_one_place(make_master, monkeypatch):
    """A master on which one request may wait; two workers about to answer round 1; one that polls, in no round yet."""
    monkeypatch.setattr(server, "MAX_THREADS", server.SPARE_THREADS + 1)
    master = make_master("system.total_workers=3", "system.min_workers=2")
    first, last, other = [HttpWorker(master, worker_id) for worker_id in range(3)]
    for worker, kind in (
        (first, worker_events.CallPoll),
        (last, worker_events.CallAnswer),
        (first, worker_events.CallAnswer),
        (other, worker_events.CallPoll),
    ):
        while not isinstance(worker.action, kind):
            worker.step()
    return master, first, last, other


def test_an_answer_that_waits_for_the_next_round_takes_one_of_their_places(make_master, monkeypatch):
    master, first, last, other = three_with_one_place(make_master, monkeypatch)
    frame = b"".join(bytes(buffer) for buffer in first.action.frame)
    with socket.create_connection(("127.0.0.1", master.port), timeout=20) as sock:
        sock.sendall(head("POST", "/upload_update?worker=0&have=0", Content_Length=len(frame)) + frame)
        while not master.machine.delivery.has_poll(0):
            other.client.heartbeat(other.machine.epoch)
        assert other.client.do(other.action) == worker_events.NothingNew(2.0)
        last.step()  # may not wait, and need not: with it the round closes
        assert isinstance(last.action, worker_events.Train) and last.action.round_index == 2
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\nContent-Length: ")


def test_an_answer_for_which_there_is_no_place_gets_its_verdict_at_once(make_master, monkeypatch):
    master, first, _, other = three_with_one_place(make_master, monkeypatch)
    with ExitStack() as stack:
        park(master, other, stack)
        first.step()
        assert isinstance(first.action, worker_events.CallPoll) and first.machine._answered_round == 1


def test_an_answered_poll_makes_room_for_the_next(polling):
    master, workers = polling
    with ExitStack() as stack:
        first = park(master, workers[0], stack)
        for worker in workers[1:N_PATIENT]:
            park(master, worker, stack)
        again = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), timeout=20))
        again.sendall(poll_of(workers[0]))
        assert again.recv(4096).startswith(b"HTTP/1.1 204 ")
        # The end of the run answers all that wait.
        master.run.stop("stopped by the test")
        assert first.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert isinstance(workers[5].client.do(workers[5].action), worker_events.Polled)


def test_a_new_poll_of_a_worker_ends_its_old_one(polling):
    master, workers = polling
    with ExitStack() as stack:
        old = park(master, workers[0], stack)
        new = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), timeout=20))
        new.sendall(poll_of(workers[0]))
        answer = old.recv(4096)
        assert answer.startswith(b"HTTP/1.1 204 ") and b"Retry-After" not in answer
        assert master.status()["connected_workers"] == N_WORKERS


@pytest.mark.parametrize("total_workers, expected", [(1, 18), (4, 24), (120, 256), (4096, 256)])
def test_threads_grow_with_the_workers_up_to_a_limit(total_workers, expected):
    assert server.n_threads(total_workers) == expected
