"""The server's loop accepts, keeps and closes connections; step by step, with a simulated clock."""

import errno
import logging
import selectors
import socket
from contextlib import ExitStack

import pytest

from flq.master import reminder
from flq.master.http import reception
from flq.master.http.token_bucket import Bucket, Rate

PATIENCE_S = 60.0


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Conn:
    """A connection: its number is its age."""

    def __init__(self, hall, sock, number):
        self.hall, self.socket, self.number = hall, sock, number
        self.is_known = self.is_closed = False

    def close(self):
        assert not self.is_closed
        self.is_closed = True
        self.hall.reception.forget(self)
        self.socket.close()

    def __repr__(self):
        return "Conn %d" % self.number


class Listener:
    """A listening socket that fails a given number of times."""

    def __init__(self, sock):
        self._sock = sock
        self.errors = []
        self.n_accepts = 0

    def fileno(self):
        return self._sock.fileno()

    def accept(self):
        self.n_accepts += 1
        if self.errors:
            raise self.errors.pop(0)
        return self._sock.accept()


class Hall:
    """A reception with its peers."""

    def __init__(self, stack, max_connections):
        self.clock, self.made, self.served, self.peers, self._stack = Clock(), [], [], [], stack
        sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sock.setblocking(False)
        self.address, self.listener = sock.getsockname(), Listener(sock)
        self.reception = reception.Reception(
            self.listener, max_connections, PATIENCE_S, self._receive, self.served.append, self.clock
        )

    def _receive(self, sock, address):
        self.made.append(Conn(self, sock, len(self.made)))
        return self.made[-1]

    def connect(self, n_peers=1):
        """Let peers connect; they are not accepted yet."""
        self.peers += [self._stack.enter_context(socket.create_connection(self.address)) for _ in range(n_peers)]

    def look(self, after_s=0.0):
        """Accept the connections that fit now, and serve those with a request."""
        self.clock.now += after_s
        self.reception._look(0.0)
        self.reception._close_silent()

    def settle(self, after_s=0.0):
        """Repeat this for another half second."""
        self.look(after_s)
        for _ in range(10):
            self.look(after_s=reception.PAUSE_S)

    def show(self, number, name):
        """Let a peer send the token of that name; it gets a response, and waits again."""
        self.peers[number].sendall(b"x")
        self.settle()
        conn = self.served.pop()
        assert conn is self.made[number] and conn.socket.recv(1) == b"x"
        self.reception.vouch(conn, name)
        self.reception.put(conn, 10 * PATIENCE_S)

    def open(self):
        return [conn.number for conn in self.made if not conn.is_closed]

    def listens(self):
        return self.reception._listens_at is None


@pytest.fixture
def hall():
    """Return a function that makes a reception with a number of places."""
    with ExitStack() as stack:
        made = []

        def make(max_connections):
            made.append(Hall(stack, max_connections))
            return made[-1]

        yield make
        for each in made:
            each.reception.close()
            for conn in each.made:
                conn.socket.close()


@pytest.mark.parametrize("speaks_first", [True, False])
def test_a_connection_that_is_closed_within_a_batch_is_not_served(hall, speaks_first):
    """Nor is the new connection that has got its descriptor."""
    full = hall(3)
    full.connect(3)
    full.settle()
    full.clock.now += reception.GRACE_S
    for speaks in (speaks_first, not speaks_first):  # the batch is in the order in which they became readable
        if speaks:
            full.peers[0].sendall(b"x")
            full.peers[2].sendall(b"x")
        else:
            full.connect()
    full.settle()
    assert full.served and not any(conn.is_closed for conn in full.served)
    assert len(full.open()) == 3 and len(full.made) == 4
    full.peers[3].sendall(b"x")
    full.settle()
    assert full.made[3] in full.served


def test_the_longest_silent_stranger_is_closed_and_known_connections_stay(hall):
    full = hall(3)
    full.connect(3)
    full.look()
    full.show(0, "worker0")
    for n_more in range(1, 6):
        full.connect()
        full.settle(after_s=2 * reception.GRACE_S)
        assert full.open() == [0, n_more + 1, n_more + 2]


def test_places_are_made_before_they_are_given_away_and_a_pause_comes_after_that(hall):
    """A peer that was closed and reconnects at once finds the queue full until the pause is over."""
    full = hall(2)
    full.connect(5)
    full.look()
    assert full.open() == [0, 1] and not full.listens()
    full.look(after_s=2 * reception.GRACE_S)
    assert full.open() == [1] and len(full.made) == 2 and not full.listens()
    full.look(after_s=reception.ROOM_S)
    assert full.open() == [1, 2] and not full.listens()
    full.look(after_s=0.9 * reception.PAUSE_S)
    assert full.open() == [1, 2]
    full.look(after_s=0.2 * reception.PAUSE_S)
    assert full.open() == [2] and not full.listens()


def test_where_many_wait_more_places_are_made_each_time_and_where_few_do_one(hall):
    full = hall(60)
    full.connect(60)
    full.settle()
    full.connect(40)
    n_open = []
    full.clock.now += reception.GRACE_S
    for _ in range(4):
        full.look()
        n_open.append(len(full.open()))
        full.look(after_s=reception.ROOM_S)
        full.clock.now += 2 * reception.PAUSE_S
    assert n_open == [59, 58, 56, 52]
    for _ in range(3):
        full.settle(after_s=reception.GRACE_S)
    assert len(full.made) == 100  # all of them
    full.connect(60 - len(full.open()))
    full.settle()
    full.connect()
    full.look(after_s=2 * reception.GRACE_S)
    assert len(full.open()) == 59


def test_abandoned_connections_of_one_token_take_no_places_from_others(hall, monkeypatch):
    """Each time, a link that breaks and recovers leaves an unused connection."""
    monkeypatch.setattr(reception, "OF_ONE_TOKEN", 2)
    full = hall(4)
    for number, name in enumerate(["worker1", "worker0", "worker0", "worker0"]):
        full.connect()
        full.settle()
        full.show(number, name)
    assert [conn.is_known for conn in full.made] == [True, False, True, True]
    full.connect(2)
    full.settle(after_s=2 * reception.GRACE_S)
    assert full.open() == [0, 2, 3, 4]
    full.show(2, "worker0")
    full.show(2, "worker1")  # a peer with two tokens may show the second one
    assert {name: list(same) for name, same in full.reception._of_token.items()} == {
        "worker1": [full.made[0], full.made[2]],
        "worker0": [full.made[3]],
    }
    for conn in full.made[0], full.made[2], full.made[3]:
        full.reception._take(conn)
        conn.close()
    assert full.reception._of_token == {}


def test_many_connections_of_one_token_do_not_keep_the_places_of_strangers(hall, monkeypatch):
    """A connection that has lost its protection does not protect those that have been silent longer."""
    monkeypatch.setattr(reception, "OF_ONE_TOKEN", 1)
    full = hall(4)
    full.connect(4)
    full.settle(after_s=2 * reception.GRACE_S)
    full.show(2, "worker0")
    full.show(3, "worker0")
    full.connect(3)
    full.look()
    full.look(after_s=reception.ROOM_S)
    assert full.open() == [0, 1, 3, 4]
    full.look(after_s=2 * reception.PAUSE_S)
    assert full.open() == [3, 4]  # twice as many


def test_without_strangers_the_new_connection_is_closed(hall):
    full = hall(2)
    full.connect(2)
    full.look()
    for peer in full.peers:
        peer.sendall(b"x")
    full.look()
    assert len(full.served) == 2  # they are being answered
    full.connect()
    full.settle()
    assert full.open() == [0, 1] and full.peers[2].recv(1) == b""


def test_a_stranger_has_time_to_speak_before_it_makes_room(hall):
    full = hall(2)
    full.connect(6)
    full.settle()
    assert full.open() == [0, 1] and not full.listens()
    full.look(after_s=0.9 * reception.GRACE_S - full.clock.now + 100)
    assert full.open() == [0, 1] and len(full.made) == 2
    full.settle(after_s=0.2 * reception.GRACE_S)
    assert full.open() == [2, 3]  # two, and no more before these two had the same time


def test_new_connections_have_a_rate_and_the_others_wait_in_the_kernels_queue(hall, monkeypatch):
    monkeypatch.setattr(reception, "NEW_PER_S", 10.0)
    slow = hall(20)
    slow.connect(20)
    slow.look()
    for peer in slow.peers:
        peer.sendall(b"x")
    slow.look()
    for conn in slow.served:
        conn.close()  # there is room again
    slow.connect(30)
    slow.look()
    assert slow.open() == [] and not slow.listens()
    n_before = slow.listener.n_accepts
    slow.look(after_s=0.04)
    assert slow.listener.n_accepts == n_before  # none is accepted before its time
    slow.look(after_s=0.5)
    assert slow.open() == [20, 21, 22, 23, 24]


def test_open_connections_are_served_while_new_ones_wait(hall):
    full = hall(2)
    full.connect(5)
    full.look()
    assert not full.listens()
    full.peers[1].sendall(b"x")
    full.look()
    assert full.served == [full.made[1]]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM, errno.EIO])
def test_an_error_of_accept_is_one_line_and_is_not_tried_again_at_once(hall, caplog, number):
    caplog.set_level(logging.WARNING)
    failing = hall(10)
    failing.listener.errors = [OSError(number, "no more")] * 20
    failing.connect()
    for n_tries in range(1, 21):
        failing.look(after_s=reception.LONGEST_PAUSE_S)
        assert failing.listener.n_accepts == n_tries
        with pytest.raises(KeyError):  # or select() would return at once, again and again
            failing.reception._selector.get_key(failing.listener)
        failing.look()
        assert failing.listener.n_accepts == n_tries
    failing.look(after_s=reception.LONGEST_PAUSE_S)
    assert failing.open() == [0]
    assert caplog.text.count("no new connection can be accepted: no more") == 1


@pytest.mark.parametrize("number, n_left", [(errno.EMFILE, 1), (errno.ENFILE, 1), (errno.EPERM, 2)])
def test_where_descriptors_have_run_out_a_stranger_gives_its_own(hall, number, n_left):
    failing = hall(10)
    failing.connect(2)
    failing.look()
    failing.listener.errors = [OSError(number, "no more")]
    failing.connect()
    failing.look()
    assert len(failing.open()) == n_left
    failing.look(after_s=1.0)
    assert len(failing.open()) == n_left + 1


def test_a_connection_that_is_gone_before_it_is_taken_in_is_no_error(hall, caplog):
    hasty = hall(10)
    hasty.listener.errors = [ConnectionAbortedError(errno.ECONNABORTED, "gone")] * 3
    hasty.connect(2)
    hasty.look()
    assert hasty.open() == [0, 1] and hasty.listens() and caplog.text == ""


def test_a_socket_of_no_use_is_closed_and_the_next_is_taken_in(hall, monkeypatch):
    picky = hall(10)
    receive = picky.reception._receive

    def refuse(sock, address):
        picky.reception._receive = receive
        raise OSError(errno.EINVAL, "no use")

    picky.reception._receive = refuse
    picky.connect(2)
    picky.look()
    assert picky.open() == [0] and picky.peers[0].recv(1) == b""


def test_a_closed_connection_cannot_wait(hall):
    calm = hall(10)
    calm.connect()
    calm.look()
    calm.peers[0].sendall(b"x")
    calm.look()
    calm.made[0].close()
    with pytest.raises((OSError, ValueError)):
        calm.reception.put(calm.made[0], PATIENCE_S)
    assert calm.reception._waiting() == []


def test_only_connections_silent_for_too_long_are_closed(hall):
    calm = hall(10)
    calm.connect(2)
    calm.look()
    calm.peers[1].sendall(b"x")
    calm.look(after_s=PATIENCE_S - 1)
    calm.reception.put(calm.served[0], PATIENCE_S)
    calm.look(after_s=2.0)
    assert calm.open() == [1]


def test_a_crowd_is_one_log_line_per_minute_with_a_count(hall, caplog):
    caplog.set_level(logging.WARNING)
    full = hall(5)
    for _ in range(8):
        full.connect(5)
        full.settle(after_s=2 * reception.GRACE_S)
    assert len(caplog.records) == 1 and "5 connections are open, the maximum" in caplog.text
    full.connect()
    full.settle(after_s=reminder.REMIND_S)
    assert len(caplog.records) == 2 and "more times since the last such line)" in caplog.text


def test_the_loop_survives_errors_and_logs_them_once(hall, caplog, monkeypatch):
    monkeypatch.setattr(reception, "LONGEST_PAUSE_S", 0.0)
    broken, n_left = hall(5), [50]

    def fail(patience_s):
        n_left[0] -= 1
        if not n_left[0]:
            broken.reception._is_stopping = True
        raise RuntimeError("broken by the test")

    monkeypatch.setattr(broken.reception, "_look", fail)
    broken.reception.run(0.0)
    assert n_left == [0]
    lines = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == ["the server's loop continues after RuntimeError: broken by the test"]


def test_descriptors_may_have_any_number(hall):
    """select() of the C library is limited to 1023; selectors use it only if there is nothing better."""
    assert not isinstance(hall(5).reception._selector, selectors.SelectSelector)


def test_a_bucket_returns_the_time_to_wait():
    bucket = Bucket(Rate(2.0, 3.0), 10.0)
    for _ in range(3):
        assert bucket.wait_s(10.0) == 0.0
        bucket.take()
    assert bucket.wait_s(10.0) == pytest.approx(0.5) and bucket.wait_s(10.25) == pytest.approx(0.25)
    assert bucket.wait_s(10.5) == 0.0
