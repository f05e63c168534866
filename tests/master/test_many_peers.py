"""More peers than threads, and more connections than are kept: the workers of the run are served."""

import http.client
import json
import os
import resource
import socket
from contextlib import ExitStack

import pytest
from local_master import HttpWorker, head, read_all, registration, token_of_worker
from test_bad_requests import assert_refused
from waits import wait_until

from flq.master.http import connection, server
from flq.master.records.wire_meter import Meter
from flq.protocol import worker_events

N_WORKERS = 310
MORE_THAN_THREADS = server.MAX_THREADS + server.STREAM_THREADS + server.FILE_THREADS + 25
RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")


def connect(port, stack, data=b""):
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
    sock.sendall(data)
    return sock


def register(sock, worker_id, layout_crc):
    """Join on a connection; return the epoch."""
    body = json.dumps(registration(worker_id, n_samples=1, layout_crc=layout_crc))
    shown = "Bearer " + token_of_worker(worker_id)
    sock.sendall(head("POST", "/register", Content_Length=len(body), Authorization=shown) + body.encode())
    response = http.client.HTTPResponse(sock)
    response.begin()
    return json.loads(response.read())["epoch"]


def test_with_25_pollers_more_than_threads_status_answers_and_an_upload_is_applied(make_master):
    master = make_master("system.total_workers=%d" % N_WORKERS, "system.min_workers=2", "model.dim=8")
    assert server.n_threads(N_WORKERS) == server.MAX_THREADS
    pair = [HttpWorker(master, worker_id, waits=False) for worker_id in (N_WORKERS - 2, N_WORKERS - 1)]
    while not all(isinstance(worker.action, worker_events.CallPoll) for worker in pair):
        for worker in pair:
            if not isinstance(worker.action, worker_events.CallPoll):
                worker.step()
    while not isinstance(pair[0].action, worker_events.CallAnswer):
        pair[0].step()
    with ExitStack() as stack:  # the round has begun with these two: all others wait for the next
        sockets = [connect(master.port, stack) for _ in range(MORE_THAN_THREADS)]
        epochs = [register(sock, worker_id, master.layout.crc) for worker_id, sock in enumerate(sockets)]
        for worker_id, (sock, epoch) in enumerate(zip(sockets, epochs)):
            target = "/get_global_model?worker=%d&epoch=%d&have=0&answered=1" % (worker_id, epoch)
            sock.sendall(head("GET", target, Accept="application/x-flq"))
        while len(master.machine.delivery.polls()) < server.MAX_THREADS - server.SPARE_THREADS:
            assert master.status()["state"] == "OPEN"
        while not pair[0].machine._answered_round:
            pair[0].step()
        assert master.send("GET", "/history")[0] == 200
        assert len(master.machine.delivery.polls()) == server.MAX_THREADS - server.SPARE_THREADS  # they still wait


def test_beyond_the_limit_a_silent_stranger_makes_room(make_master):
    master = make_master("security.max_connections=10", *RUN)
    with ExitStack() as stack:
        known = connect(master.port, stack)
        register(known, 0, master.layout.crc)
        silent = [connect(master.port, stack) for _ in range(9)]
        more = [connect(master.port, stack) for _ in range(5)]
        for sock in silent[:5]:
            assert read_all(sock) == b""
        for sock in more:
            sock.sendall(head("GET", "/healthz", Connection="close"))
            assert read_all(sock).startswith(b"HTTP/1.1 200 ")
        register(known, 0, master.layout.crc)  # a connection with a token stays


def test_where_everybody_has_a_token_the_new_connection_is_closed(make_master):
    master = make_master("security.max_connections=3", *RUN)
    with ExitStack() as stack:
        known = [connect(master.port, stack, head("GET", "/healthz")) for _ in range(3)]
        for sock in known:
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert read_all(connect(master.port, stack)) == b""
        known[0].sendall(head("GET", "/healthz", Connection="close"))
        assert b"HTTP/1.1 200 " in read_all(known[0])


def test_a_closed_connection_makes_room(make_master):
    master = make_master("security.max_connections=3", *RUN)
    for _ in range(20):
        assert master.send("GET", "/healthz")[0] == 200
    assert len(master.server._server._connections._open) <= 3


@pytest.fixture
def files():
    """The limit of open files, raised to its maximum and restored afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def ok(environ, start_response):
    """Respond as an application."""
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]


@pytest.fixture
def serving():
    """A server without a master behind it."""
    made = server.Server(ok, "127.0.0.1", 0, 2, Meter())
    made.start()
    yield made
    made.stop()


def test_descriptors_beyond_1023_are_like_all_others(files, serving):
    """select() of the C library does not support them."""
    if files < 2000:
        pytest.skip("no more than %d files may be open here" % files)
    with ExitStack() as stack, open(os.devnull) as null:
        for _ in range(1100):
            stack.callback(os.close, os.dup(null.fileno()))
        for sock in [connect(serving.port, stack) for _ in range(20)]:
            assert sock.fileno() > 1023
            sock.sendall(head("GET", "/"))
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_where_no_more_files_can_be_opened_it_is_one_line_and_those_that_wait_get_in_later(files, serving, caplog):
    with ExitStack() as stack:
        kept = connect(serving.port, stack)
        kept.sendall(head("GET", "/"))
        assert kept.recv(4096).startswith(b"HTTP/1.1 200 ")
        later = [stack.enter_context(socket.socket()) for _ in range(3)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, files))
        for sock in later:
            sock.settimeout(20)
            sock.connect(("127.0.0.1", serving.port))
            sock.sendall(head("GET", "/"))
        wait_until(lambda: caplog.records, "nobody says so")
        assert kept.recv(1) == b""  # a stranger's, which is given up for another one
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        assert all(sock.recv(4096).startswith(b"HTTP/1.1 200 ") for sock in later)
    assert [record.message for record in caplog.records] == [
        "no new connection can be accepted: Too many open files; retrying"
    ]


def test_a_workers_requests_have_a_limited_number_of_places(make_master, monkeypatch):
    master = make_master(*RUN)
    with ExitStack() as stack:
        slow = [connect(master.port, stack, head("POST", "/register", Content_Length=50)) for _ in range(8)]
        while len(master.gate._places._taken) == 0 or master.gate._places._taken.get("worker0", 0) < 8:
            pass
        answer = master.send("POST", "/register", json.dumps(registration(0)).encode())
        assert "8 requests of this kind are in progress, the maximum" in assert_refused(answer, 429)
        assert int(answer[1]["Retry-After"]) >= 1
        for sock in slow:
            sock.shutdown(socket.SHUT_WR)
            read_all(sock)
        assert master.send("POST", "/register", json.dumps(registration(0)).encode())[0] == 200


@pytest.mark.parametrize(
    "request_, code, error",
    [
        (b"nonsense\r\n\r\n", 400, "BadRequest"),
        (b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 40000), 414, "Request-UriTooLong"),
        (b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"a" * 40000), 413, "RequestEntityTooLarge"),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400, "BadRequest"),
        (b"POST /stop HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "BadRequest"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_invalid_http_gets_an_error_of_the_master(make_master, request_, code, error):
    answer = make_master(*RUN).send_raw(request_, half_close=False)
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % code) and b"Content-Type: application/json" in first
    assert set(json.loads(body)) == {"error", "detail", "hint"} and json.loads(body)["error"] == error


def test_a_late_head_is_refused_in_our_form(make_master, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_S", 0.2)
    answer = make_master(*RUN).send_raw(b"GET /healthz HT", half_close=False)
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"error": "RequestTimeout"' in answer


def test_a_header_with_an_underscore_is_none(make_master):
    answer = make_master(*RUN).send_raw(
        b"GET /history HTTP/1.1\r\nHost: localhost\r\nContent_Length: 10\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
