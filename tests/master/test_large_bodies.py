"""Bodies of many pieces arrive intact in both directions, and the head of a response is sent with the first piece."""

import socket

import numpy as np
import pytest
from flask import Flask, request
from local_master import read_all

from flq.master.http.bodies import PIECE, frames, read_body
from flq.master.http.server import Server
from flq.master.records.wire_meter import Meter, Wire

DATA = np.random.Generator(np.random.PCG64(1)).integers(0, 256, 3 * PIECE + 12345, np.uint8).tobytes()


@pytest.fixture(scope="module")
def echo():
    """An echo server, and its meter."""
    app, meter = Flask("echo"), Meter()

    @app.post("/")
    def send_back():
        body = read_body(request.content_length)
        assert isinstance(body, bytearray) == (len(body) <= PIECE)
        return frames([memoryview(body)[:1000], memoryview(body)[1000:]], says_what=False)

    server = Server(app, "127.0.0.1", 0, 1, meter)
    server.start()
    yield server, meter
    server.stop()


@pytest.mark.parametrize("size", [1, 8191, 8192, 8193, PIECE, PIECE + 1, 2 * PIECE + 8000, len(DATA)])
@pytest.mark.parametrize("n_with_head", [0, 1, 9000])
def test_sent_bytes_come_back(echo, size, n_with_head):
    server, meter = echo
    before = meter.of_others()
    request_head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(request_head + DATA[:size][:n_with_head])
        sock.sendall(DATA[:size][n_with_head:])
        answer = read_all(sock)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == DATA[:size]
    assert head == b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close" % size
    assert meter.of_others() == before.plus(Wire(len(request_head) + size, len(answer)))
