"""Wire bytes are those that passed the socket, and are counted for the worker that caused them."""

import json
import socket

import numpy as np
from local_master import TOKENS, head, read_all, registration, token_of_worker

from flq.engines import simulation
from flq.master.records.wire_meter import Meter, Peer, Wire

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")


def exchange(master, data):
    """Send bytes on a connection of its own; return the number of bytes received.

    The master counts before it closes the connection, so all bytes are counted when this returns.
    """
    with socket.create_connection(("127.0.0.1", master.port), timeout=20) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return len(read_all(sock))


def raw_registration(worker_id, **more):
    body = json.dumps(registration(worker_id, "a%d" % worker_id, **more)).encode()
    token = token_of_worker(worker_id).encode()
    return b"POST /register HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (
        token,
        len(body),
        body,
    )


def test_counted_bytes_are_those_a_raw_socket_sends_and_gets(make_master):
    master = make_master(*RUN)
    up = down = 0
    for data in (
        raw_registration(1),
        raw_registration(1) * 3,
        raw_registration(1)[:-5],
        b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        n_bytes = exchange(master, data)
        assert n_bytes > 100
        up, down = up + len(data), down + n_bytes
    counted = master.meter.of_worker(1).plus(master.meter.of_others())
    assert counted == Wire(up, down)


def test_a_registration_counts_for_its_worker_and_a_status_request_for_none(make_master):
    master = make_master(*RUN)
    n_bytes = exchange(master, raw_registration(0))
    assert master.meter.of_worker(0) == Wire(len(raw_registration(0)), n_bytes)
    assert master.meter.of_others() == Wire()
    look = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
    n_bytes = exchange(master, look)
    assert master.meter.of_others() == Wire(len(look), n_bytes)
    assert master.meter.of_workers() == master.meter.of_worker(0)
    assert master.meter.of_worker(1) == Wire()


def test_a_heartbeat_counts_for_its_worker_and_without_its_token_for_none(make_master):
    master = make_master(*RUN)
    exchange(master, raw_registration(1, n_samples=10, layout_crc=master.layout.crc))
    before = master.meter.of_worker(1)
    for epoch, name, counts in (1, "worker1", True), (2, "worker1", True), (1, "worker0", False):
        body = b'{"worker_id": 1, "epoch": %d}' % epoch
        request = head("POST", "/heartbeat", Content_Length=len(body), Authorization="Bearer " + TOKENS[name]) + body
        wire = Wire(len(request), exchange(master, request))
        before = before.plus(wire) if counts else before
        assert master.meter.of_worker(1) == before
        assert master.meter.of_others() == (Wire() if counts else wire)
        assert master.meter.of_worker(0) == Wire()


def test_an_upload_that_breaks_off_on_a_new_connection_counts_for_its_worker(make_master):
    master = make_master(*RUN)
    request = head("POST", "/upload_update?worker=1", Content_Length=90) + bytes(40)
    n_bytes = exchange(master, request)
    assert n_bytes > 100
    assert master.meter.of_worker(1) == Wire(len(request), n_bytes)
    assert master.meter.of_others() == Wire()


def test_the_bytes_of_an_unknown_worker_count_for_none(make_master):
    master = make_master(*RUN)
    request = head("GET", "/get_global_model?worker=9&epoch=1&have=0&answered=0", Accept="application/x-flq")
    n_bytes = exchange(master, request)
    assert master.meter.of_workers() == Wire()
    assert master.meter.of_others() == Wire(len(request), n_bytes)


def test_the_bytes_of_a_connection_before_its_first_token_count_for_its_worker():
    meter = Meter()
    peer = Peer(meter)
    peer.count(Wire(10, 2))
    assert meter.of_others() == Wire(10, 2)
    peer.is_worker(3)
    peer.count(Wire(0, 5))
    assert (meter.of_worker(3), meter.of_others(), meter.of_workers()) == (Wire(10, 7), Wire(), Wire(10, 7))
    peer.is_worker(4)  # a connection that changes hands: each keeps its own bytes
    peer.count(Wire(1, 1))
    assert (meter.of_worker(3), meter.of_worker(4)) == (Wire(10, 7), Wire(1, 1))


def test_rounds_hold_the_wire_bytes_of_the_workers_and_more_than_the_frames(make_master, run_workers):
    master = make_master(*RUN)
    for _ in range(20):
        master.send("GET", "/get_global_model")  # which must not count as the workers'
    model = run_workers(master)
    assert np.array_equal(model, simulation.simulate(master.settings).model)
    rounds, total = master.run.record.rounds(), master.meter.of_workers()
    assert all(row.wire_bytes_up > row.frame_bytes_up > 0 for row in rounds)
    assert all(row.wire_bytes_down > row.frame_bytes_down > 0 for row in rounds)
    # What came after the last round: its verdicts, and that the run has ended.
    assert 0 <= total.up - sum(row.wire_bytes_up for row in rounds) < 2000
    assert 0 <= total.down - sum(row.wire_bytes_down for row in rounds) < 2000
    assert master.meter.of_others().down > 20 * 40  # 40 numbers as JSON
