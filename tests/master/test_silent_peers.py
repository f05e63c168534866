"""Peers that connect and send nothing, or almost nothing, delay no others."""

import json
import select
import socket
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from local_master import head, read_all, registration

from flq.master.http import connection, server
from flq.master.records.wire_meter import Meter
from flq.master.routes import base_app

N_THREADS = 12
N_PEERS = 3 * N_THREADS + server.STREAM_THREADS + server.FILE_THREADS


@pytest.fixture
def small_master(make_master, monkeypatch):
    """A master with few threads."""
    monkeypatch.setattr(server, "MAX_THREADS", N_THREADS)
    return make_master()


def connect(master, stack, data):
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), timeout=20))
    sock.sendall(data)
    return sock


def assert_answers_at_once(master):
    began = time.monotonic()
    code, _, body = master.send("GET", "/healthz", token=None)
    assert code == 200 and json.loads(body) == {"ok": True}
    assert time.monotonic() - began < 5.0


def wait_for_answers(peers, n_answers):
    """Wait until a number of the peers have a response."""
    limit = time.monotonic() + 20.0
    while len(select.select(peers, [], [], 1.0)[0]) < n_answers:
        assert time.monotonic() < limit


def test_silent_connections_take_no_threads(small_master):
    with ExitStack() as stack:
        peers = [connect(small_master, stack, b"") for _ in range(N_PEERS)]
        assert_answers_at_once(small_master)
        peers[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_all(peers[0]).startswith(b"HTTP/1.1 200 ")  # who speaks late is heard


@pytest.mark.parametrize("path", ["/upload_update?worker=0", "/register", "/stop", "/nope", "/healthz"])
def test_bodies_that_never_come_leave_threads_for_the_others(small_master, path):
    with ExitStack() as stack:
        peers = [connect(small_master, stack, head("POST", path, Content_Length=50)) for _ in range(N_PEERS)]
        assert_answers_at_once(small_master)
        assert small_master.status()["state"] == "LOBBY"
        wait_for_answers(peers, N_PEERS - N_THREADS // 2)  # the rest hold the threads that bodies may have
        for sock in peers:
            sock.shutdown(socket.SHUT_WR)
        answers = [read_all(sock)[9:12] for sock in peers]
        assert set(answers) <= {b"400", b"429", b"503"} and answers.count(b"400") <= N_THREADS // 2


@pytest.mark.parametrize("target, status", [("/page/main.js", b"413"), ("/stop", b"401")])
def test_bodies_of_strangers_that_never_come_leave_room_for_workers(make_master, monkeypatch, target, status):
    monkeypatch.setattr(base_app, "DRAIN_S", 10.0)  # as if there always were some
    master = make_master("security.local_operator=false")
    with ExitStack() as stack:
        request = ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n" % target).encode()
        peers = [connect(master, stack, request) for _ in range(N_PEERS)]
        wait_for_answers(peers, N_PEERS - base_app.DRAINED)
        code, _, body = master.send("POST", "/register", json.dumps(registration(0, "one", n_samples=7)))
        assert (code, json.loads(body)["error"]) == (409, "Conflict")  # it has been read: it knows no layout
        for sock in peers:
            sock.shutdown(socket.SHUT_WR)
        assert status in {read_all(sock)[9:12] for sock in peers} <= {status, b"429", b""}


def test_a_head_that_does_not_end_ends_the_connection(small_master, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    with ExitStack() as stack:
        sock = connect(small_master, stack, b"GET /healthz HTTP/1.1\r\nHost")
        assert read_all(sock).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_trickles_has_no_more_time_than_another(small_master, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_S", 0.5)
    with ExitStack() as stack:
        sock = connect(small_master, stack, b"GET /healthz HTTP/1.1\r\n")
        sock.settimeout(0.1)
        began, answer = time.monotonic(), b""
        while not answer and time.monotonic() - began < 20:
            sock.sendall(b"x")
            try:
                answer = sock.recv(100)
            except socket.timeout:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_is_too_slow_is_refused_in_a_sentence(small_master, monkeypatch):
    monkeypatch.setattr(connection, "BODY_S", 0.3)
    with ExitStack() as stack:
        sock = connect(small_master, stack, head("POST", "/register", Content_Length=50) + b"{")
        answer = read_all(sock)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"too slow" in answer
        assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_large_body_has_time_on_a_slow_link(small_master, monkeypatch):
    monkeypatch.setattr(connection, "BODY_S", 0.0)
    monkeypatch.setattr(connection, "BODY_BYTES_PER_S", 10.0)  # five seconds for these fifty
    with ExitStack() as stack:
        sock = connect(small_master, stack, head("POST", "/register", Content_Length=50))
        sock.settimeout(0.5)
        with pytest.raises(socket.timeout):
            sock.recv(1)  # it is waited for
        sock.settimeout(20)
        sock.sendall(b" " * 50)
        assert sock.recv(4096).startswith(b"HTTP/1.1 400 ")  # a body, but no JSON


def test_a_link_of_one_megabit_is_no_slow_link():
    assert 10 * connection.BODY_BYTES_PER_S < 10**6 / 8


@pytest.mark.parametrize(
    "is_known, lease_s, expected", [(True, 300.0, 150.0), (True, 10.0, 60.0), (False, 300.0, 60.0)]
)
def test_a_connection_with_a_token_may_be_silent_for_half_a_lease(monkeypatch, is_known, lease_s, expected):
    """A worker that trains and sends heartbeats keeps its connection."""
    waits = []
    made = server.Server(None, "127.0.0.1", 0, 1, Meter(), silence_s=lease_s / 2)
    monkeypatch.setattr(made._server._connections, "put", lambda conn, patience_s: waits.append((conn, patience_s)))
    silent = SimpleNamespace(
        is_known=is_known, is_ready=lambda: False, socket=SimpleNamespace(has_ended=False, head_since=0.0)
    )
    made._server.put_conn(silent)
    assert waits == [(silent, expected)]
    made.stop()
