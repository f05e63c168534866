"""The route to a server: every step that fails is a line of its own."""

import socket

import pytest

from flq.device.checks import FAIL, OK
from flq.device.reach_checks import reach_lines


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(4)
        yield sock


def test_a_port_that_is_open_is_well(listener):
    lines, is_usable = reach_lines("127.0.0.1", listener.getsockname()[1], None)
    assert is_usable and [(line.name, line.status) for line in lines] == [("address", OK)]


def test_a_port_without_a_listener_fails():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        lines, is_usable = reach_lines("127.0.0.1", unused.getsockname()[1], None)
    assert not is_usable and lines[-1].status == FAIL
    assert "nothing listens" in lines[-1].text and "start_master.sh" in lines[-1].fix


def test_a_name_that_leads_nowhere_fails():
    lines, is_usable = reach_lines("x" * 70, 5000, None)  # longer than a name may be, so it is not looked up
    assert not is_usable and [line.status for line in lines] == [FAIL]
    assert "cannot be resolved" in lines[0].text and "IP address" in lines[0].fix


def test_a_peer_that_takes_too_long_fails(monkeypatch):
    def too_long(address, timeout):
        raise socket.timeout("timed out")

    monkeypatch.setattr(socket, "create_connection", too_long)
    lines, is_usable = reach_lines("127.0.0.1", 5000, None)
    assert not is_usable and "no answer within 5 s" in lines[-1].text and "firewall" in lines[-1].fix
