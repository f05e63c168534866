"""Proxies between master and workers that change responses and reject requests."""

import gzip
import signal

import numpy as np
import pytest
from cluster import end_well, free_port, settings_of
from relay import Relay

from flq.engines import simulation

SMALL = ("model.name=quadratic", "model.lr=0.05", "system.max_rounds=4")
ROUTES = ("/register", "/get_global_model", "/offer", "/upload_update", "/heartbeat")


def parted(response):
    """Return the head of a response without its length fields, and its body."""
    head, _, body = response.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    return b"\r\n".join(lines), body


def in_chunks(passage):
    head, body = parted(passage.ask(passage.request))
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def without_length(passage):
    head, body = parted(passage.ask(passage.request))
    return head + b"\r\nConnection: close\r\n\r\n" + body


def zipped(passage):
    head, body = parted(passage.ask(passage.request))
    body = gzip.compress(body)
    return head + b"\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def unless_empty(fault):
    """Return a fault that does not apply to 204, which has no body."""

    def remade(passage):
        response = fault(passage)
        return b"HTTP/1.1 204 No Content\r\n\r\n" if response.startswith(b"HTTP/1.1 204") else response

    return remade


def page(status, *headers):
    """Return a fault that replies instead of the master."""

    def answered(passage):
        lines = ["HTTP/1.1 " + status, "Content-Length: 6", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n<html>").encode()

    return answered


def test_the_model_is_the_same_however_answers_are_sent(cluster):
    master = cluster.master(*SMALL)
    remakes = (in_chunks, without_length, zipped, None)
    relays = [
        Relay(
            ("127.0.0.1", master.port),
            {} if remake is None else {(path, None): unless_empty(remake) for path in ROUTES},
        )
        for remake in remakes
    ]
    try:
        end_well(master, [cluster.worker(worker_id, relay.port) for worker_id, relay in enumerate(relays)])
    finally:
        for relay in relays:
            relay.close()
    settings = settings_of(*SMALL)
    assert np.array_equal(master.model(settings), simulation.simulate(settings).model)
    assert [row["uploaded"] for row in master.table("Rounds")] == [4] * 4


@pytest.mark.parametrize(
    "status, headers",
    [
        ("403 Forbidden", ()),
        ("302 Found", ("Location: http://login.example/",)),
        ("502 Bad Gateway", ()),
        ("200 OK", ()),
        ("404 Not Found", ()),
        ("413 Too Large", ()),
    ],
)
def test_occasional_rejections_cost_nothing(cluster, status, headers):
    overrides = SMALL + ("system.total_workers=1", "system.min_workers=1")
    master = cluster.master(*overrides)
    faults = {(path, n): page(status, *headers) for path in ROUTES for n in (1, 3)}
    with Relay(("127.0.0.1", master.port), faults) as relay:
        worker = cluster.worker(0, relay.port)
        end_well(master, [worker])
    assert "/register is not an FLQ master: %s" % status in worker.text
    assert "/upload_update is not an FLQ master: %s" % status in worker.text
    settings = settings_of(*overrides)
    assert np.array_equal(master.model(settings), simulation.simulate(settings).model)


def test_a_worker_that_only_finds_a_stranger_gives_up_with_its_status(cluster):
    master = cluster.master(*SMALL)
    with Relay(("127.0.0.1", master.port), {(path, None): page("403 Forbidden") for path in ROUTES}) as relay:
        worker = cluster.worker(0, relay.port, flags=("--give_up_s", "1"))
        assert worker.wait() == 1
    last = worker.text.splitlines()[-1]
    assert "is not an FLQ master: 403 Forbidden (a proxy on the way refuses the request" in last and "giving up" in last


def test_updates_that_a_proxy_rejects_are_reported_and_counted_and_not_as_skips(cluster):
    overrides = SMALL + ("system.total_workers=2", "system.min_workers=2")
    master = cluster.master(*overrides)
    with Relay(("127.0.0.1", master.port), {("/upload_update", None): page("413 Too Large")}) as relay:
        workers = [cluster.worker(0, relay.port), cluster.worker(1, master.port)]
        assert [worker.wait() for worker in workers] == [0, 0]
    assert master.wait() == 1  # the results are complete, but updates are missing
    assert (
        "the update of worker 0 in round 2 did not arrive: something between it and the master answered 413; raise "
        "the limit for request bodies there (nginx: client_max_body_size), or let the worker connect directly"
    ) in master.text
    assert master.text.splitlines()[-1] == (
        "4 updates did not arrive, because something between a worker and the master rejected them: 4 of worker 0"
    )
    assert [(row["uploaded"], row["skipped"], row["lost"]) for row in master.table("Rounds")] == [(1, 0, 1)] * 4
    assert master.summary()["updates that did not arrive"] == 4
    assert len(master.files("model.npz")) == 1


def test_blocked_updates_are_counted_over_a_restart_of_the_master(cluster):
    overrides = SMALL + ("system.total_workers=1", "system.min_workers=1", "system.snapshot_every=1")
    master = cluster.master(*overrides, port=free_port())
    with Relay(("127.0.0.1", master.port), {("/upload_update", None): page("403 Forbidden")}) as relay:
        worker = cluster.worker(0, relay.port)
        master.wait_for("round=2/4 ")
        master.signal(signal.SIGKILL)
        master.wait()
        again = cluster.master(flags=("--resume",), port=master.port)
        assert worker.wait() == 0 and again.wait() == 1
    assert again.text.splitlines()[-1].startswith("4 updates did not arrive, because")
