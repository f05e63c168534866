"""A download that is interrupted at any byte is resumed there, and no byte is counted twice."""

import pytest
from http_message import Broken
from local_master import HttpWorker, token_of_worker
from passage import ARRIVED
from relay import Relay

from flq.engines import simulation
from flq.master.http import bodies
from flq.protocol import worker_events as events
from flq.worker.http_client import VERDICT_SIZE, MasterClient

POLLS, UPLOADS = "/get_global_model", "/upload_update"
HEAD = 150  # bytes, at most, of the head of an answer


def cut(n_bytes, flip=None):
    """Return a fault that passes a number of bytes of a body, and may change one of them."""

    def fault(passage):
        response = bytearray(passage.ask(passage.request))
        n_head = response.index(b"\r\n\r\n") + 4
        if flip is not None:
            response[n_head + flip] ^= 1
        passage.client.sendall(response[: n_head + n_bytes])
        raise Broken()

    return fault


@pytest.fixture
def relay(master, monkeypatch):
    """Return a relay to a master that names every stream, even a short one."""
    monkeypatch.setattr(bodies, "WORTH_RESUMING", 1)
    with Relay(("127.0.0.1", master.port)) as made:
        yield made


@pytest.fixture
def worker(master, relay):
    """Return the worker, which has joined and will request a keyframe next."""
    client = MasterClient("http://127.0.0.1:%d" % relay.port, 0, lambda: token_of_worker(0))
    made = HttpWorker(master, 0, client)
    while not isinstance(made.action, events.CallPoll):
        made.step()
    made.action = made.action._replace(have=-1)
    return made


def harm_next(relay, path, fault):
    relay.faults[path, relay.n_noted(ARRIVED, path) + 1] = fault


def poll(worker, relay, fault=None):
    """Poll; return the event, the status, and the number of bytes from the master."""
    if fault is not None:
        harm_next(relay, POLLS, fault)
    before = relay.bytes_down
    event = worker.client.do(worker.action)
    return event, relay.exchanges(POLLS)[-1].status, relay.bytes_down - before


def test_a_poll_that_is_cut_at_any_byte_is_resumed_there(master, relay, worker):
    whole = poll(worker, relay)[0].stream
    assert len(whole) > 80
    for n_bytes in range(len(whole)):
        before = master.machine.delivery.totals
        event, status, _ = poll(worker, relay, cut(n_bytes))
        assert type(event) is events.Unreachable and status == 200
        event, status, n_down = poll(worker, relay)
        assert (event, status) == (events.Polled(whole), 206 if n_bytes else 200)
        assert len(whole) - n_bytes < n_down <= len(whole) - n_bytes + HEAD
        again = 2 * len(whole) - n_bytes
        assert master.machine.delivery.totals == before._replace(retransmitted_bytes=before.retransmitted_bytes + again)


def test_frames_after_a_verdict_cut_at_any_byte_are_resumed_by_the_poll(relay, worker):
    while not isinstance(worker.action, events.CallAnswer):
        worker.step()
    upload = worker.action._replace(have=-1)
    whole = [worker.client.do(upload) for _ in range(2)][1].frame  # the first verdict says that it was round 1
    worker.action = events.CallPoll(worker.machine.epoch, have=-1, answered=1)
    assert len(whole) > VERDICT_SIZE + 200
    for n_bytes in range(len(whole)):
        harm_next(relay, UPLOADS, cut(n_bytes))
        event = worker.client.do(upload)
        if n_bytes < VERDICT_SIZE:
            assert type(event) is events.Unreachable
            continue
        assert event == events.VerdictReceived(whole[:VERDICT_SIZE])
        event, status, n_down = poll(worker, relay)
        assert (event, status) == (events.Polled(whole[VERDICT_SIZE:]), 206 if n_bytes > VERDICT_SIZE else 200)
        assert n_down <= len(whole) - n_bytes + HEAD


def test_a_download_that_breaks_off_again_and_again_gets_on_each_time(relay, worker):
    whole = poll(worker, relay)[0].stream
    n_down = 0
    for step in [20] * (len(whole) // 20):
        event, _, _ = poll(worker, relay, cut(step))
        assert type(event) is events.Unreachable or event.stream == whole
        n_down += step
    event, status, n_last = poll(worker, relay)
    assert (event.stream, status) == (whole, 206)
    assert n_last <= len(whole) - n_down + HEAD


def test_a_damaged_part_is_discarded_and_the_whole_is_requested(relay, worker):
    harm_next(relay, POLLS, cut(80, flip=60))
    while not isinstance(worker.action, events.Train):
        if isinstance(worker.action, events.CallPoll):
            worker.action = worker.action._replace(have=-1)
        worker.step()
    assert [exchange.status for exchange in relay.exchanges(POLLS)] == [200, 206, 200]
    assert any("cannot be read" in note for note in worker.machine.notes)


def test_a_run_on_a_link_that_cuts_every_answer_ends_with_the_same_bytes_counted_as_new(master, relay, worker):
    class Every:
        def get(self, key, otherwise=None):
            return cut(120) if key[0] in (POLLS, UPLOADS) and key[1] and key[1] % 3 else otherwise

    worker.action = worker.action._replace(have=0)
    relay.faults = Every()
    worker.run()
    assert worker.action.code == 0
    simulated = simulation.simulate(master.settings)
    assert (master.machine.model.state.model == simulated.model).all()
    assert master.machine.delivery.totals._replace(retransmitted_bytes=0) == simulated.master.delivery.totals


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=10-"},
        {"If-Range": '"{}"'},
        {"Range": "bytes=10-20", "If-Range": '"{}"'},
        {"Range": "bytes=-10", "If-Range": '"{}"'},
        {"Range": "lines=10-", "If-Range": '"{}"'},
        {"Range": "bytes=10-,20-", "If-Range": '"{}"'},
        {"Range": "bytes=0-", "If-Range": '"{}"'},
        {"Range": "bytes=99999-", "If-Range": '"{}"'},
        {"Range": "bytes=" + "9" * 5000 + "-", "If-Range": '"{}"'},
        {"Range": "bytes=10-", "If-Range": 'W/"{}"'},
        {"Range": "bytes=10-", "If-Range": "{}"},
        {"Range": "bytes=10-", "If-Range": '"0123456789abcdef"'},
    ],
    ids=repr,
)
def test_a_request_for_anything_but_the_rest_gets_the_whole(master, worker, headers):
    target = "%s?worker=0&epoch=%d&have=-1&answered=0" % (POLLS, worker.machine.epoch)
    status, head, whole = master.send("GET", target, headers={"Accept": "application/x-flq"})
    name = head["ETag"].strip('"')
    headers = {key: value.format(name) for key, value in headers.items()}
    again = master.send("GET", target, headers=dict(headers, Accept="application/x-flq"))
    assert (again[0], again[2], again[1]["ETag"], again[1]["Content-Range"]) == (200, whole, '"%s"' % name, None)


def test_the_rest_has_its_offset(master, worker):
    target = "%s?worker=0&epoch=%d&have=-1&answered=0" % (POLLS, worker.machine.epoch)
    _, head, whole = master.send("GET", target, headers={"Accept": "application/x-flq"})
    status, rest_head, rest = master.send(
        "GET", target, headers={"Accept": "application/x-flq", "Range": "bytes=10-", "If-Range": head["ETag"]}
    )
    assert (status, rest, rest_head["ETag"]) == (206, whole[10:], head["ETag"])
    assert rest_head["Content-Range"] == "bytes 10-%d/%d" % (len(whole) - 1, len(whole))


def test_only_long_streams_have_a_name(master, worker, monkeypatch):
    target = "%s?worker=0&epoch=%d&have=-1&answered=0" % (POLLS, worker.machine.epoch)
    size = int(master.send("GET", target, headers={"Accept": "application/x-flq"})[1]["Content-Length"])
    for least, has_name in (size, True), (size + 1, False):
        monkeypatch.setattr(bodies, "WORTH_RESUMING", least)
        _, head, _ = master.send("GET", target, headers={"Accept": "application/x-flq"})
        assert ("ETag" in head) == has_name
