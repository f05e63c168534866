"""The time limit of a response grows with its received bytes."""

import io
import socket

import pytest
from stand_in import StandIn, response

from flq.protocol.worker_events import CallPoll, CallRegister, Polled, Unreachable
from flq.worker import http_adapter
from flq.worker.http_adapter import BYTES_PER_S, CONNECT_S, PIECE, READ_S, DeadlineReader, PlainConnection
from flq.worker.http_client import MasterClient

POLL = CallPoll(epoch=2, have=5, answered=7)


class Clock:
    """A clock that advances by a number of seconds per call."""

    def __init__(self, step_s):
        self.now, self.step_s = 0.0, step_s

    def monotonic(self):
        self.now += self.step_s
        return self.now


class Sock:
    """Replaces a socket; records its timeouts."""

    def __init__(self):
        self.timeouts, self.sent = [], []

    def gettimeout(self):
        return READ_S

    def settimeout(self, seconds):
        self.timeouts.append(seconds)

    def sendall(self, data):
        self.sent.append((bytes(data), self.timeouts[-1]))


def test_each_receive_waits_no_longer_than_is_left(monkeypatch):
    clock = Clock(0.0)
    monkeypatch.setattr(http_adapter, "time", clock)
    sock = Sock()
    reader = DeadlineReader(sock, io.BytesIO(bytes(100)))
    for at in (0.0, 45.0, 59.0):
        clock.now = at
        assert reader.readinto(bytearray(1)) == 1
    assert sock.timeouts == pytest.approx([60.0, 15.0, 1.0], abs=0.01)
    clock.now = READ_S + 0.01
    with pytest.raises(socket.timeout):
        reader.readinto(bytearray(1))


def test_received_bytes_extend_the_time_limit(monkeypatch):
    clock = Clock(0.0)
    monkeypatch.setattr(http_adapter, "time", clock)
    size = 100 * BYTES_PER_S
    reader = DeadlineReader(Sock(), io.BytesIO(bytes(size)))
    n_read = 0
    while n_read < size:  # at twice the slowest rate
        clock.now += 1.0
        n_read += reader.readinto(bytearray(2 * BYTES_PER_S))
    assert clock.now == 50.0
    clock.now = READ_S + 99.0
    assert reader.readinto(bytearray(1)) == 0
    clock.now = READ_S + 101.0
    with pytest.raises(socket.timeout):
        reader.readinto(bytearray(1))


@pytest.mark.parametrize("action", [POLL, CallRegister({})], ids=["frames", "JSON"])
def test_an_answer_that_trickles_is_given_up(monkeypatch, action):
    monkeypatch.setattr(http_adapter, "time", Clock(READ_S * 0.6))
    with StandIn([response("200 OK", bytes(200000), declared=10**12)]) as stand_in:
        event = MasterClient(stand_in.url, 3).do(action)
    assert type(event) is Unreachable and "timed out" in event.detail and "Pool" not in event.detail


def test_an_answer_that_takes_long_because_it_is_long_arrives(monkeypatch):
    clock = Clock(READ_S * 0.6)
    monkeypatch.setattr(http_adapter, "time", clock)
    monkeypatch.setattr(http_adapter, "BYTES_PER_S", 10)
    body = b"FLQf" + bytes(200000)
    with StandIn([response("200 OK", body)]) as stand_in:
        assert MasterClient(stand_in.url, 3).do(POLL) == Polled(body)
    assert clock.now > 2 * READ_S


def test_a_piece_that_is_sent_has_longer_than_a_connection_that_is_made():
    made = PlainConnection("localhost", timeout=CONNECT_S)
    made.sock = Sock()
    made.sock.settimeout(CONNECT_S)
    made.send(b"piece")
    assert made.sock.sent == [(b"piece", READ_S)]


def test_a_large_body_is_sent_in_pieces_with_a_time_limit_each():
    made, sent = PlainConnection("localhost", timeout=CONNECT_S), bytes(range(256)) * (PIECE // 100)
    made.sock = Sock()
    made.send(memoryview(sent))
    assert b"".join(data for data, _ in made.sock.sent) == sent
    assert [len(data) for data, _ in made.sock.sent] == [PIECE, PIECE, len(sent) - 2 * PIECE]
    assert made.sock.timeouts == 3 * [READ_S]


@pytest.mark.parametrize("n_bytes", [0, 1, 10239, 10240, 100000])
def test_json_of_any_length_is_read_whole_and_the_connection_is_used_again(n_bytes):
    said = {"x": "a" * n_bytes}
    with StandIn([response("200 OK", said)] * 2, keeps=True) as stand_in:
        client = MasterClient(stand_in.url, 3)
        for _ in range(2):
            assert client._request("GET", "/").json() == said
        assert stand_in.n_connections == 1


def test_a_chunked_response_is_read_too():
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with StandIn([chunks]) as stand_in:
        assert MasterClient(stand_in.url, 3)._request("GET", "/").content == b"abcde"
