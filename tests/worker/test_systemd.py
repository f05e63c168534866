"""Notifications to systemd, on a real socket."""

import os
import socket

import pytest

from flq.systemd import Watchdog


@pytest.fixture
def heard(tmp_path):
    """Return the path of a socket, and a function that returns its messages."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)

        def words():
            found = []
            while True:
                try:
                    found.append(sock.recv(100).decode())
                except BlockingIOError:
                    return found

        yield str(tmp_path / "notify"), words


def test_without_systemd_nothing_is_sent_and_nothing_fails():
    watchdog = Watchdog({})
    watchdog.ready()
    watchdog.feed()
    watchdog.feed_if_busy()
    assert watchdog.period_s is None


def test_ready_and_every_feeding_are_heard(heard):
    path, words = heard
    watchdog = Watchdog({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "90000000", "WATCHDOG_PID": str(os.getpid())})
    watchdog.ready()
    watchdog.feed()
    assert words() == ["READY=1", "WATCHDOG=1"] and watchdog.period_s == 30.0


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}]
)
def test_a_watchdog_that_is_not_for_this_process_is_not_fed(heard, more):
    path, words = heard
    watchdog = Watchdog(dict(more, NOTIFY_SOCKET=path))
    watchdog.feed()
    assert words() == [] and watchdog.period_s is None


def test_an_abstract_socket_is_found():
    name = "flq-test-%d" % os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        Watchdog({"NOTIFY_SOCKET": "@" + name}).ready()
        assert sock.recv(100) == b"READY=1"


def test_without_a_listener_nothing_fails(tmp_path):
    assert Watchdog({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready() is None


def test_the_watchdog_is_fed_while_computing_and_not_while_hanging(heard):
    path, words = heard
    now, cpu = [0.0], [0.0]
    watchdog = Watchdog({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "90000000"}, lambda: now[0], lambda: cpu[0])
    for seconds, busy, expected in ((30.0, 15.0, 1), (30.0, 0.1, 0), (30.0, 0.1, 0), (30.0, 20.0, 1)):
        now[0], cpu[0] = now[0] + seconds, cpu[0] + busy
        watchdog.feed_if_busy()
        assert words() == ["WATCHDOG=1"] * expected
