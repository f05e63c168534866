"""Any invalid request gets a 4xx and one sentence, and the run continues undisturbed."""

import json
import socket
import struct
import zlib

import numpy as np
import pytest
from local_master import HttpWorker, LocalMaster, head, read_all, registration
from waits import wait_until

from flq.core.codecs import QUANTIZERS
from flq.core.statuses import STATUSES
from flq.engines import simulation
from flq.protocol import worker_events
from flq.protocol.messages import Answer, Kind, Outcome, Verdict
from flq.protocol.wire import ANSWER, CRC, HEADER, PREFIX_SIZE, Link, decode_stream, encode
from flq.protocol.worker_machine import State

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")
TWO_PHASE = RUN + ("sel_clients=1",)
FRAMES = {"Accept": "application/x-flq"}
ENDPOINTS = {
    "/healthz": "GET",
    "/status": "GET",
    "/history": "GET",
    "/results": "GET",
    "/results/config.json": "GET",
    "/metrics": "GET",
    "/get_global_model": "GET",
    "/register": "POST",
    "/offer": "POST",
    "/upload_update": "POST",
    "/heartbeat": "POST",
    "/stop": "POST",
}


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """One master for all rejected requests, which leave no trace, not even for each other."""
    with LocalMaster(str(tmp_path_factory.mktemp("refusing")), *RUN) as made:
        yield made
        assert made.status()["worker_status"] == {}


@pytest.fixture(scope="module")
def waited_for(tmp_path_factory):
    """A master that waits for the upload of round 1, and the worker that would send it."""
    with LocalMaster(str(tmp_path_factory.mktemp("waiting")), *RUN) as made:
        worker = joined_worker(made)
        yield made, worker
        status = made.status()
        assert (status["state"], status["current_round"], status["connected_workers"]) == ("OPEN", 1, 2)
        assert sum(status["totals"][name] for name in STATUSES) == 0
        assert worker.step() and worker.machine.state is State.WAITING  # its upload is applied
        wait_until(lambda: made.status()["totals"]["uploaded"] == 1)  # it is published after the reply


def assert_refused(answer, *codes):
    """Check that a response is an error of the master; return its detail."""
    code, headers, body = answer
    assert code in codes, body
    assert headers["Content-Type"] == "application/json"
    content = json.loads(body)
    assert set(content) == {"error", "detail", "hint"}
    assert content["detail"] and "\n" not in content["detail"] and len(content["detail"]) < 400
    assert "Traceback" not in body.decode() and 'File "' not in body.decode()
    return content["detail"]


def joined_worker(master, other=1):
    """Return a worker whose next action is its upload of round 1; another one has joined."""
    workers = [HttpWorker(master, worker_id, waits=False) for worker_id in (other, 0)]
    for worker in workers:
        while not isinstance(worker.action, worker_events.CallPoll):
            worker.step()
    while not isinstance(workers[1].action, worker_events.CallAnswer):
        workers[1].step()
    return workers[1]


def frame_of(worker):
    return b"".join(bytes(buffer) for buffer in worker.action.frame)


def upload(master, frame, worker=0):
    return master.send("POST", "/upload_update?worker=%s" % worker, frame)


def with_right_crc(frame):
    """Return the frame with its correct checksum."""
    crc = zlib.crc32(frame[PREFIX_SIZE:], zlib.crc32(frame[: HEADER.size]))
    return frame[: HEADER.size] + CRC.pack(crc) + frame[PREFIX_SIZE:]


def with_float64(frame, offset, value):
    """Return the frame with a field of its answer replaced; offsets are those in docs/wire.md."""
    start = PREFIX_SIZE + offset
    return with_right_crc(frame[:start] + struct.pack("<d", value) + frame[start + 8 :])


# -- endpoints and methods ---------------------------------------------------------------


@pytest.mark.parametrize("path", ["/nope", "/register/", "/status/1", "/../etc/passwd", "/%00", "/%ff%fe"])
def test_an_unknown_endpoint_is_404(master, path):
    assert_refused(master.send("GET", path), 404)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_wrong_method_is_405(master, path):
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - {ENDPOINTS[path]}:
        assert "method not allowed" in assert_refused(master.send(method, path), 405)


# -- JSON --------------------------------------------------------------------------------

NOT_OBJECTS = [
    b"",
    b"[]",
    b"5",
    b"null",
    b'"x"',
    b"{",
    b'{"worker_id": 0',
    b"\xff\xfe",
    b"{}{}",
    b"[" * 60000,
    b'{"a":' * 13000,
    b"9" * 60000,
]


@pytest.mark.parametrize("path", ["/register", "/heartbeat"])
@pytest.mark.parametrize("body", NOT_OBJECTS, ids=lambda body: repr(body[:12]))
def test_a_body_that_is_no_json_object_is_400(master, path, body):
    assert "JSON object" in assert_refused(master.send("POST", path, body), 400)


@pytest.mark.parametrize(
    "changes",
    [
        {"worker_id": None},
        {"worker_id": "a"},
        {"worker_id": 0.5},
        {"worker_id": True},
        {"worker_id": [0]},
        {"worker_id": 2},
        {"worker_id": 10**30},
        {"worker_id": "9" * 5000},
        {"instance": None},
        {"instance": ""},
        {"instance": "x" * 65},
        {"instance": 7},
        {"n_samples": 0},
        {"n_samples": -5},
        {"n_samples": "many"},
        {"n_samples": 2**64},
        {"layout_crc": []},
        {"n_samples": float("nan")},
    ],
    ids=repr,
)
def test_a_registration_with_impossible_values_is_422(master, changes):
    body = dict(registration(0, n_samples=10, layout_crc=master.layout.crc), **changes)
    assert_refused(master.send("POST", "/register", json.dumps(body)), 422)
    assert master.status()["worker_status"] == {}


def test_a_registration_with_another_layout_is_409(master):
    body = registration(0, n_samples=10, layout_crc=master.layout.crc ^ 1)
    assert "parameter layout" in assert_refused(master.send("POST", "/register", json.dumps(body)), 409)
    assert master.status()["connected_workers"] == 0


def test_a_second_instance_of_a_living_worker_is_409(waited_for):
    master, _ = waited_for
    body = json.dumps(registration(0, "another"))
    assert "alive elsewhere" in assert_refused(master.send("POST", "/register", body), 409)


@pytest.mark.parametrize("body", [{}, {"worker_id": 0}, {"worker_id": 0, "epoch": "x"}, {"epoch": 1}], ids=repr)
def test_a_heartbeat_that_lacks_a_number_is_422(master, body):
    assert "must be an integer" in assert_refused(master.send("POST", "/heartbeat", json.dumps(body)), 422)


@pytest.mark.parametrize("worker_id, epoch", [(0, 2), (0, 0), (7, 1)])
def test_a_heartbeat_of_an_absent_worker_is_409(waited_for, worker_id, epoch):
    master, _ = waited_for
    body = json.dumps({"worker_id": worker_id, "epoch": epoch})
    assert_refused(master.send("POST", "/heartbeat", body), 409)


# -- queries -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "",
        "worker=0",
        "worker=x&epoch=1&have=0&answered=0",
        "worker=2&epoch=1&have=0&answered=0",
        "worker=-1&epoch=1&have=0&answered=0",
        "worker=0&epoch=1&have=1e3&answered=0",
        "worker=0&epoch=&have=0&answered=0",
        "worker=0&epoch=1&have=0&answered=" + "9" * 5000,
        "worker=%ff&epoch=1&have=0&answered=0",
    ],
)
def test_a_poll_with_a_bad_query_is_422(master, query):
    assert "must be" in assert_refused(master.send("GET", "/get_global_model?" + query, headers=FRAMES), 422)


def test_a_poll_of_a_worker_that_has_not_joined_is_409(master):
    query = "/get_global_model?worker=0&epoch=1&have=0&answered=0"
    assert "not part of the run" in assert_refused(master.send("GET", query, headers=FRAMES), 409)


def test_a_poll_with_a_version_that_never_was_gets_a_keyframe(waited_for):
    master, worker = waited_for
    for have in (-5, 17):
        query = "/get_global_model?worker=0&epoch=%d&have=%d&answered=0" % (worker.machine.epoch, have)
        code, _, body = master.send("GET", query, headers=FRAMES)
        assert code == 200
        _, frames = decode_stream(body, master.machine.link)
        assert [frame.kind for frame in frames] == [Kind.KEYFRAME]


# -- frames ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/upload_update", "/offer"])
@pytest.mark.parametrize("query", ["", "?worker=", "?worker=x", "?worker=2", "?worker=-1", "?worker=1.0"])
def test_a_frame_of_an_impossible_worker_is_422(master, path, query):
    assert "worker must be" in assert_refused(master.send("POST", path + query, b"x"), 422)


@pytest.mark.parametrize("body", [b"", b"x", b"FLQf", b"\0" * 100, b"{}"], ids=repr)
def test_garbage_instead_of_a_frame_is_400(master, body):
    assert_refused(upload(master, body), 400)


def test_a_frame_cut_anywhere_is_400(waited_for):
    master, worker = waited_for
    frame = frame_of(worker)
    for size in range(0, len(frame), 7):
        assert_refused(upload(master, frame[:size]), 400)


def test_a_frame_with_any_flipped_bit_is_refused(waited_for):
    master, worker = waited_for
    frame = frame_of(worker)
    for place in range(0, len(frame), 3):
        broken = bytearray(frame)
        broken[place] ^= 1 << place % 8
        assert_refused(upload(master, bytes(broken)), 400, 413, 422)


def test_a_frame_with_more_behind_it_is_400(make_master):
    master = make_master("model.dim=4000", *RUN)
    offer = encode(Answer(Kind.SKIP, 0, 1, 1, 1, 0.5, 1.0), master.machine.link)[0]
    assert "follow the frame" in assert_refused(upload(master, offer + b"x"), 400)


def test_a_body_larger_than_any_frame_is_413_and_is_not_read(make_master):
    master = make_master("model.dim=4000000", "mode=bin", *RUN)
    request = head("POST", "/upload_update?worker=0", Content_Length=10**12)
    answer = master.send_raw(request, half_close=False)  # the answer comes though no body does
    assert answer.startswith(b"HTTP/1.1 413 ") and b"10000000000" in answer
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_json_larger_than_64_kib_is_refused(make_master):
    for master in make_master(*RUN), make_master("model.dim=400000", *RUN):
        assert_refused(master.send("POST", "/register", b" " * 70000), 400, 413)


def test_a_frame_that_declares_more_than_the_layout_needs_is_413(waited_for):
    master, worker = waited_for
    frame = bytearray(frame_of(worker))
    struct.pack_into("<Q", frame, HEADER.size - 8, 2**60)
    assert "declares a body" in assert_refused(upload(master, with_right_crc(bytes(frame))), 413)


def test_a_payload_of_another_length_is_422(waited_for):
    master, worker = waited_for
    frame = frame_of(worker)
    shorter = bytearray(frame[:-1])
    struct.pack_into("<Q", shorter, HEADER.size - 8, len(shorter) - PREFIX_SIZE)
    assert_refused(upload(master, with_right_crc(bytes(shorter))), 422)


@pytest.mark.parametrize("offset, value", [(24, np.inf), (32, np.nan), (32, np.inf), (32, -1.0)])
def test_an_impossible_loss_or_energy_is_422(waited_for, offset, value):
    master, worker = waited_for
    frame = with_float64(frame_of(worker), offset, value)
    assert_refused(upload(master, frame), 422)


def test_a_scale_that_is_not_a_number_is_422(waited_for):
    master, worker = waited_for
    frame = frame_of(worker)
    start = PREFIX_SIZE + ANSWER.size
    broken = frame[:start] + struct.pack("<f", np.nan) + frame[start + 4 :]
    assert_refused(upload(master, with_right_crc(broken)), 422)


def test_a_float32_update_with_nan_is_422(make_master):
    master = make_master("mode=fedavg", *RUN)
    frame = frame_of(joined_worker(master))
    broken = frame[:-4] + struct.pack("<f", np.nan)
    assert_refused(upload(master, with_right_crc(broken)), 422)


def test_an_upload_with_another_codec_is_422(waited_for):
    master, worker = waited_for
    payload = QUANTIZERS[8].encode(np.ones(master.layout.n_params, np.float32), master.layout)
    answer = Answer(Kind.UPLOAD, 0, worker.machine.epoch, 1, 1, 0.5, 1.0, 8 * payload.size, codec_id=8, payload=payload)
    frame = b"".join(bytes(buffer) for buffer in encode(answer, master.machine.link))
    assert_refused(upload(master, frame), 413, 422)


def test_a_frame_of_another_run_or_layout_is_409(make_master):
    master, other = make_master(*RUN), make_master("model.dim=41", *RUN)
    frame = frame_of(joined_worker(master))
    stranger = encode(Verdict(Outcome.NOTED, 1, 1), Link(1, master.layout))[0]
    assert "another run" in assert_refused(upload(master, stranger), 409)
    assert "layout" in assert_refused(upload(other, frame), 400, 409, 413, 422)


def test_a_frame_that_only_a_master_sends_is_422(master):
    frame = encode(Verdict(Outcome.NOTED, 1, 1), master.machine.link)[0]
    assert "got a verdict" in assert_refused(upload(master, frame), 422)


def test_a_frame_sent_under_another_workers_name_is_422(waited_for):
    master, worker = waited_for
    frame = frame_of(worker)
    assert "of worker 0" in assert_refused(upload(master, frame, worker=1), 422)


def test_a_frame_of_an_epoch_that_is_over_is_409(waited_for):
    master, worker = waited_for
    skip = encode(Answer(Kind.SKIP, 0, worker.machine.epoch + 1, 1, 1, 0.5, 1.0), master.machine.link)[0]
    assert "not part of the run" in assert_refused(upload(master, skip), 409)


@pytest.mark.parametrize("seq, round_index", [(0, 1), (1, 2), (1, 2**32 - 1)])
def test_an_answer_to_a_round_that_has_not_come_is_409(waited_for, seq, round_index):
    master, worker = waited_for
    skip = encode(Answer(Kind.SKIP, 0, worker.machine.epoch, seq, round_index, 0.5, 1.0), master.machine.link)[0]
    assert "the answer has number" in assert_refused(upload(master, skip), 409)


def test_an_offer_without_a_budget_and_an_upload_without_a_grant_are_409(make_master):
    master = make_master(*RUN)
    worker = joined_worker(master)
    offer = encode(Answer(Kind.OFFER, 0, worker.machine.epoch, 1, 1, 0.5, 1.0, 100), master.machine.link)[0]
    assert "takes no offers" in assert_refused(master.send("POST", "/offer?worker=0", offer), 409)

    master = make_master(*TWO_PHASE)
    worker = joined_worker(master)
    payload = QUANTIZERS[4].encode(np.ones(master.layout.n_params, np.float32), master.layout)
    answer = Answer(Kind.UPLOAD, 0, worker.machine.epoch, 1, 1, 0.5, 1.0, 8 * payload.size, codec_id=4, payload=payload)
    frame = b"".join(bytes(buffer) for buffer in encode(answer, master.machine.link))
    assert "not granted" in assert_refused(upload(master, frame), 409)


# -- HTTP itself -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/upload_update?worker=0", "/register", "/offer?worker=0", "/heartbeat", "/stop"])
def test_a_chunked_body_is_400_and_ends_the_connection(master, path):
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    answer = master.send_raw(head("POST", path, Transfer_Encoding="chunked") + body)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"has no Content-Length" in answer
    assert answer.count(b"HTTP/1.1") == 1  # what follows in the chunks is not taken for a request


def test_a_body_that_breaks_off_is_400(master):
    for path in "/upload_update?worker=0", "/offer?worker=0", "/register", "/heartbeat":
        answer = master.send_raw(head("POST", path, Content_Length=50) + b'{"worker_id"')
        assert answer.startswith(b"HTTP/1.1 400 "), answer


def test_a_connection_that_breaks_anywhere_leaves_the_master_well(waited_for):
    master, worker = waited_for
    frame = frame_of(worker)
    request = head("POST", "/upload_update?worker=0", Content_Length=len(frame)) + frame
    for size in range(0, len(request) - 1, 11):
        with socket.create_connection(("127.0.0.1", master.port)) as sock:
            sock.sendall(request[:size])
    assert master.status()["worker_status"]["0"]["uploaded"] == 0


@pytest.mark.parametrize(
    "head",
    [
        b"GET /status\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /status HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST /stop HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /status HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    ],
    ids=lambda head: repr(head[:22]),
)
def test_invalid_http_is_rejected_without_a_traceback(master, head):
    answer = b""
    with socket.create_connection(("127.0.0.1", master.port), timeout=20) as sock:
        try:
            sock.sendall(head)
            sock.shutdown(socket.SHUT_WR)
            answer = read_all(sock)
        except OSError:
            pass  # it need not read a rejected request to the end
    assert b"Traceback" not in answer and b" 500 " not in answer
    assert answer[9:10] in (b"", b"4", b"5")
    assert master.status()["state"] == "LOBBY"


def test_no_answer_to_a_stranger_shows_where_the_master_lies(master, tmp_path):
    for path in (
        "/status",
        "/nope",
        "/register",
        "/get_global_model",
        "/get_global_model?format=keras",
        "/history",
        "/results",
        "/results/nope",
        "/metrics",
        "/history?since=-1",
    ):
        _, headers, body = master.send("GET", path)
        assert str(tmp_path).encode() not in body and b"127.0.0.1" not in body


# -- and the run -------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [RUN, TWO_PHASE, RUN + ("memory=mirror",)])
def test_a_run_under_fire_makes_the_undisturbed_model(make_master, run_workers, overrides):
    master = make_master(*overrides)

    class UnderFire(HttpWorker.CLIENT):
        """Sends garbage in its own name before each of its requests."""

        def do(self, action):
            if isinstance(action, worker_events.CallAnswer):
                frame = b"".join(bytes(buffer) for buffer in action.frame)
                broken = bytearray(frame)
                broken[-1] ^= 0xFF
                target = "%s?worker=%d" % (action.path, self._worker_id)
                assert_refused(master.send("POST", target, frame[:-3]), 400)
                assert_refused(master.send("POST", target, bytes(broken)), 400)
                assert_refused(master.send("POST", target, with_float64(frame, 32, np.nan)), 422)
                other = with_right_crc(frame[: HEADER.size - 16] + b"\0\0\0\0" + frame[HEADER.size - 12 :])
                assert_refused(master.send("POST", target, other), 409, 422)
                master.send_raw(head("POST", target, Content_Length=99) + b"ab")
            return super().do(action)

    clients = {worker_id: master.client(worker_id, UnderFire) for worker_id in range(2)}
    model = run_workers(master, clients)
    assert np.array_equal(model, simulation.simulate(master.settings).model)
    assert all(report.wire_bytes_up > 0 for report in master.run.record.rounds())
