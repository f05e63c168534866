"""Any fault of a proxy between a worker and the master in one request leaves the model unchanged."""

import http.client
import logging
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
sys.path += [str(TESTS / "master"), str(TESTS / "e2e")]

import faulty_proxy as fp  # noqa: E402
from local_master import WAIT_S, HttpWorker, LocalMaster, token_of_worker  # noqa: E402
from passage import ANSWERED, ARRIVED, PASSED, drop, truncate  # noqa: E402
from relay import Relay  # noqa: E402

from flq.engines import simulation  # noqa: E402
from flq.worker import http_client  # noqa: E402

N_ROUNDS = 3
# A budget, so that there are offers, and no skips.
RUN = (
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=%d" % N_ROUNDS,
    "sel_clients=2",
    "thr_scale=0",
)
REGISTER, POLL, OFFER, UPLOAD = PATHS = "/register", "/get_global_model", "/offer", "/upload_update"
# Which request of worker 0 meets with the fault: the registration that joins, its only poll, those of round 2.
N = {REGISTER: 2, POLL: 1, OFFER: 2, UPLOAD: 2}
STATUSES = ("uploaded", "skipped", "refused", "late", "lost")


@pytest.fixture(scope="module")
def undisturbed():
    """Return {memory: the run without faults, in memory}."""
    return {}


@pytest.fixture(scope="module")
def closing():
    """Return the threads that close masters, which takes half a second each."""
    threads = []
    yield threads
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.fixture(params=["residual", "mirror"])
def drill(request, tmp_path, undisturbed, closing, caplog):
    """Return a Drill, for each memory."""
    memory = request.param
    made = Drill(tmp_path, memory)
    if memory not in undisturbed:
        undisturbed[memory] = simulation.simulate(made.master.settings)
    made.run_and_check = lambda: made.run() or made.check(undisturbed[memory], caplog)
    yield made
    for proxy in made.proxies:
        proxy.close()
    closing.append(threading.Thread(target=made.master.close))
    closing[-1].start()


class Drill:
    """A master, two workers, and a proxy between each of them and the master."""

    def __init__(self, folder, memory):
        self.master = LocalMaster(str(folder), *RUN, "memory=" + memory)
        self.proxies = [Relay(("127.0.0.1", self.master.port)) for _ in range(2)]
        self.proxy, self.other = self.proxies
        self.workers = []

    def run(self):
        """Let the workers act until the end."""
        self.workers = [
            HttpWorker(
                self.master,
                worker_id,
                http_client.MasterClient(
                    "http://127.0.0.1:%d" % proxy.port, worker_id, partial(token_of_worker, worker_id)
                ),
            )
            for worker_id, proxy in enumerate(self.proxies)
        ]
        threads = [threading.Thread(target=self._run_one, args=[worker], daemon=True) for worker in self.workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)

    def _run_one(self, worker):
        worker.run()
        if worker.action.code != 0:
            self.master.run.stop("a worker has failed")  # the others would wait for it

    def n_asked_for(self, path):
        """Return the number of additional requests of worker 0, which polls for frames lost after a verdict."""
        paths = (UPLOAD, POLL) if path == UPLOAD else (path,)
        here, there = (sum(len(proxy.exchanges(one)) for one in paths) for proxy in self.proxies)
        return here - there

    def check(self, expected, caplog):
        """Compare with the run without faults."""
        machine = self.master.machine
        assert [getattr(worker.action, "code", worker.action) for worker in self.workers] == [0, 0]
        assert machine.model.state.model.tobytes() == expected.model.tobytes()
        assert machine.model.state.shared.tobytes() == expected.shared.tobytes()
        rows = self.master.run.record.rounds()
        assert len(rows) == N_ROUNDS
        for row, report in zip(rows, expected.reports):
            calls = list(report.roll_call.values())
            assert [getattr(row, status) for status in STATUSES] == [calls.count(status) for status in STATUSES]
            assert row.payload_bits_up == report.payload_bits_up
        for worker in self.workers:
            here, there = machine.model.mirrors.get(worker.worker_id), worker.machine.memory.mirror
            assert (here is there is None) or here.tobytes() == there.tobytes()
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
        assert [seen for proxy in self.proxies for seen in proxy.exchanges() if seen.status >= 500] == []


crossed = pytest.mark.parametrize("path", PATHS)


@crossed
@pytest.mark.parametrize("fault", [fp.drop_request, drop, truncate, fp.truncate_response])
def test_lost_messages_are_repeated(drill, fault, path):
    drill.proxy.faults[path, N[path]] = fault
    drill.run_and_check()
    (lost,) = drill.proxy.fired(fault)
    assert (lost.status != 0) == (fault in (drop, fp.truncate_response))
    assert drill.n_asked_for(path) > 0


@crossed
def test_a_response_that_comes_too_late_is_asked_for_again(drill, path, monkeypatch):
    monkeypatch.setattr(http_client, "READ_S", 0.5)
    drill.proxy.faults[path, N[path]] = fp.late_response
    drill.run_and_check()
    (late,) = drill.proxy.fired(fp.late_response)
    assert late.status == 200


@crossed
@pytest.mark.parametrize("fault", [fp.trickle_request, fp.trickle_response])
def test_a_trickle_is_read_to_its_end(drill, fault, path):
    drill.proxy.faults[path, N[path]] = fault
    drill.run_and_check()
    (slow,) = drill.proxy.fired(fault)
    assert slow.status == 200


@crossed
def test_a_request_that_comes_twice_counts_once(drill, path):
    drill.proxy.faults[path, N[path]] = fp.twice
    drill.run_and_check()
    copies = drill.proxy.fired(fp.twice, 2)
    assert [seen.status in (200, 204, 409) for seen in copies] == [True, True]


@pytest.mark.parametrize("path, n", [(path, n) for path in PATHS for n in (1, 2) if n <= N[path]])
def test_a_copy_that_comes_when_its_round_has_closed_counts_for_nothing(drill, path, n):
    copies = []
    keep, stale = fp.copied(copies), fp.after_copies(copies)
    drill.proxy.faults.update({(path, n): keep, (OFFER, N_ROUNDS): stale})
    drill.run_and_check()
    assert len(copies) == len(drill.proxy.fired(keep)) == 1
    assert len(drill.proxy.fired(stale, 2)) == 2  # the copy, and the request after it


@crossed
def test_an_older_request_may_come_after_a_newer_one(drill, path):
    drill.proxy.faults[path, N[path]] = fp.overtaken
    drill.run_and_check()
    (older,) = drill.proxy.fired(fp.overtaken)
    assert older.status in (200, 204, 409)
    assert drill.n_asked_for(path) > 0


@crossed
def test_a_request_may_be_held_until_others_have_passed(drill, path):
    # Offers and uploads are answered when the last one is there.
    held = fp.held_until(drill.other, PASSED if path in (OFFER, UPLOAD) else ANSWERED, path, N[path])
    drill.proxy.faults[path, N[path]] = held
    drill.run_and_check()
    assert [seen.status for seen in drill.proxy.fired(held)] == [200]


@crossed
def test_the_requests_of_two_workers_may_change_places(drill, path):
    first = fp.held_until(drill.other, PASSED if path in (OFFER, UPLOAD) else ANSWERED, path, N[path])
    second = fp.held_until(drill.proxy, ARRIVED, path, N[path])
    drill.proxy.faults[path, N[path]], drill.other.faults[path, N[path]] = first, second
    drill.run_and_check()
    assert [seen.status for seen in drill.proxy.fired(first)] == [200]
    assert [seen.status for seen in drill.other.fired(second)] == [200]


def in_path(request):
    return request.index(b" /") + 3


def in_query(request):
    return request.index(b" HTTP/1.1\r\n") - 1


def in_token(request):
    return request.index(b"Bearer ") + 9


def in_status(response):
    return response.index(b"200")


def in_body(message):
    """Return the middle of a body; in JSON, a digit of a relevant number."""
    for key in (b'"n_samples": ', b'"lr":'):
        if key in message:
            return message.index(key) + len(key) + 2
    return fp.half_of(message)


FLIPS = [
    (path, where)
    for path in PATHS
    for where in (in_path, in_query, in_token, in_body)
    if (path, where) not in ((REGISTER, in_query), (POLL, in_body))
]


@pytest.mark.parametrize("path, where", FLIPS)
def test_a_request_with_a_flipped_bit_is_refused_and_sent_again(drill, path, where):
    flip = fp.flipped_request(where)
    drill.proxy.faults[path, N[path]] = flip
    drill.run_and_check()
    (refused,) = drill.proxy.fired(flip)
    assert 400 <= refused.status < 500
    assert drill.n_asked_for(path) > 0


@crossed
@pytest.mark.parametrize("where", [in_status, in_body])
def test_a_response_with_a_flipped_bit_is_not_believed(drill, path, where):
    flip = fp.flipped_response(where)
    drill.proxy.faults[path, N[path]] = flip
    drill.run_and_check()
    (damaged,) = drill.proxy.fired(flip)
    assert damaged.status == 200
    assert drill.n_asked_for(path) > 0


def test_no_bit_of_a_registration_can_change_unnoticed(drill):
    """Each bit of the body in turn: the master accepts none of the damaged registrations."""
    kept = []
    drill.proxy.faults[REGISTER, N[REGISTER]] = fp.copied(kept)
    drill.run_and_check()
    head, body = kept[0].split(b"\r\n\r\n")
    headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:])
    connection = http.client.HTTPConnection("127.0.0.1", drill.master.port, timeout=WAIT_S)
    for index in range(len(body)):
        connection.request("POST", REGISTER, fp.flipped(body, index, index % 8), headers)
        response = connection.getresponse()
        assert (response.status, b"CRC32" in response.read()) == (400, True)
    connection.close()
