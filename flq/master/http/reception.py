"""Accepts connections, keeps those that wait for a request, and closes some when there are too many.

cheroot's own loop accepts every connection, and retries a failed accept without pause. This one limits the number of
connections. A connection without a valid token is a stranger. When no place is left, the strangers that have been
silent longest are closed, after a grace period. New connections that arrive faster than that wait in the kernel's
queue, where they cost nothing.

A peer whose connection is closed may reconnect at once. So places are freed first, and connections are accepted a
moment later: a peer that reconnects at once finds the queue full and waits for a TCP retransmission, a second or more,
while others get a place. In the other order it would always be first.
Source: accept(2), listen(2), tcp(7).
"""

import errno
import logging
import selectors
import socket
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from itertools import islice, takewhile
from typing import Any, Callable, Dict, List, Optional, Set

from ..reminder import Rarely
from .token_bucket import Bucket, Rate

NEW_PER_S = 400.0  # average rate of accepted connections
GRACE_S = 1.0  # a stranger that has been silent for less than this is not closed to free a place
QUEUE = 128  # length of the kernel's queue
OF_ONE_TOKEN = 8  # connections per token that are not strangers: those that sent it last
AT_ONCE = 64  # connections accepted or closed before others are served
ROOM_S = 0.01  # from freeing places to accepting: longer than a peer takes to reconnect
PAUSE_S = 0.05  # from accepting to freeing places again
LONGEST_PAUSE_S = 0.5  # without accepting connections
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

logger = logging.getLogger(__name__)


class Reception:
    """Manages the connections of a server; replaces cheroot's connection manager.

    :meth:`run` accepts and waits in one thread. Any thread may :meth:`put` a connection back; it then belongs to the
    reception until it is readable.

    Parameters
    ----------
    listener : socket
        Non-blocking and listening.
    max_connections : int
    patience_s : float
        Seconds that a new connection may be silent.
    receive : callable(sock, address)
        Returns a connection; raises OSError if the socket is broken.
    serve : callable(conn)
        Handles a readable connection.
    clock : callable()
        Monotonic seconds.
    """

    def __init__(
        self,
        listener: socket.socket,
        max_connections: int,
        patience_s: float,
        receive: Callable[[socket.socket, Any], Any],
        serve: Callable[[Any], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener, self._max, self._patience_s = listener, max_connections, patience_s
        self._receive, self._serve, self._clock = receive, serve, clock
        self._selector = selectors.DefaultSelector()  # epoll if available: no limit on descriptors
        self._lock = threading.Lock()
        self._open: Set[Any] = set()
        self._strangers: "OrderedDict[Any, int]" = OrderedDict()  # waiting: descriptors; the longest silent first
        self._known: Dict[Any, int] = {}  # likewise
        self._of_token: Dict[str, "OrderedDict[Any, None]"] = {}  # by its name; the last to send it comes last
        self._allowed = Bucket(Rate(NEW_PER_S, max_connections), clock())
        self._crowd, self._failure, self._error = (Rarely(logger, clock) for _ in range(3))
        self._listens_at: Optional[float] = 0.0  # when it accepts again; None = it does
        self._closed_at, self._n_closed = 0.0, 0  # when places were freed last, and how many
        self._is_stopping = False
        self._runs = threading.Lock()

    # -- for the server ------------------------------------------------------------------

    can_add_keepalive_connection = True  # for cheroot; this class has its own limit

    def put(self, conn: Any, patience_s: float) -> None:
        """Let a connection wait until it is readable, or has been silent for ``patience_s``.

        Raises
        ------
        OSError, ValueError
            If it is closed.
        """
        conn.silent_since = self._clock()
        conn.closes_at = conn.silent_since + patience_s
        fd = conn.socket.fileno()
        with self._lock:
            self._selector.register(fd, selectors.EVENT_READ, conn)
            (self._known if conn.is_known else self._strangers)[conn] = fd

    def vouch(self, conn: Any, name: str) -> None:
        """Note that a connection, which is being answered, has sent the token of that name."""
        with self._lock:
            self._withdraw(conn)
            conn.is_known, conn.shown = True, name
            same = self._of_token.setdefault(name, OrderedDict())
            same[conn] = None
            if len(same) > OF_ONE_TOKEN:
                oldest = next(iter(same))
                self._withdraw(oldest)
                fd = self._known.pop(oldest, None)
                if fd is not None:  # it waits, and becomes the first to be closed
                    oldest.silent_since = float("-inf")
                    self._strangers[oldest] = fd
                    self._strangers.move_to_end(oldest, last=False)

    def forget(self, conn: Any) -> None:
        """Stop counting a closing connection."""
        with self._lock:
            self._open.discard(conn)
            self._withdraw(conn)

    def run(self, expiration_interval: float) -> None:
        """Accept connections, and serve readable ones, until :meth:`stop`."""
        with self._runs:
            expires_at = 0.0
            while not self._is_stopping:
                try:
                    self._look(expiration_interval)
                    if self._clock() >= expires_at:
                        self._close_silent()
                        expires_at = self._clock() + expiration_interval
                except Exception as error:  # without this thread the server is dead
                    self._error.warn("the server's loop continues after %s: %s", type(error).__name__, error)
                    logger.debug("the error was", exc_info=True)
                    time.sleep(LONGEST_PAUSE_S)

    def stop(self) -> None:
        """End :meth:`run`; return when it has ended."""
        self._is_stopping = True
        with self._runs:
            pass

    def close(self) -> None:
        """Close all waiting connections."""
        for conn in self._waiting():
            if self._take(conn):
                conn.close()
        self._selector.close()

    # -- the thread of run() -------------------------------------------------------------

    def _look(self, longest_s: float) -> None:
        """Wait for readable and new connections, and handle them."""
        now = self._clock()
        if self._listens_at is not None and now >= self._listens_at:
            self._selector.register(self._listener, selectors.EVENT_READ, None)
            self._listens_at = None
        patience_s = longest_s if self._listens_at is None else min(longest_s, self._listens_at - now)
        for key, _ in self._selector.select(patience_s):
            if key.data is None:
                self._admit()
            elif self._take(key.data):  # else it was closed a moment ago, to free a place
                self._serve(key.data)

    def _admit(self) -> None:
        """Handle new connections: accept them, or free places first."""
        with self._lock:
            n_free = self._max - len(self._open)
            n_strangers = len(self._strangers)
        if n_free > 0:
            if self._accept(min(n_free, AT_ONCE), self._take_in) == n_free:
                self._pause(PAUSE_S)
        elif n_strangers:
            self._make_room()
        else:
            self._crowd.warn(
                "%d connections are open, the maximum (security.max_connections): new ones are closed, since "
                "the others have a token or are being answered",
                self._max,
            )
            self._accept(AT_ONCE, lambda sock, address: sock.close())
            self._pause(PAUSE_S)

    def _accept(self, n_most: int, take_in: Callable[[socket.socket, Any], None]) -> int:
        """Accept at most ``n_most`` connections; return how many were accepted."""
        for n_taken in range(n_most):
            wait_s = self._allowed.wait_s(self._clock())
            if wait_s:
                self._pause(max(wait_s, PAUSE_S))
                return n_taken
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return n_taken
            except ConnectionAbortedError:  # the peer has gone already
                continue
            except OSError as error:
                self._failure.warn("no new connection can be accepted: %s; retrying", error.strerror or error)
                if error.errno in EXHAUSTED:
                    self._close_a_stranger()
                self._pause(LONGEST_PAUSE_S)
                return n_taken
            self._allowed.take()
            take_in(sock, address)
        return n_most

    def _take_in(self, sock: socket.socket, address: Any) -> None:
        try:
            conn = self._receive(sock, address)
        except (OSError, ValueError):  # the peer has gone
            sock.close()
            return
        with self._lock:
            self._open.add(conn)
        try:
            self.put(conn, self._patience_s)
        except (OSError, ValueError):
            conn.close()

    def _make_room(self) -> None:
        """Close the longest silent strangers: one at first, and twice as many each time that this is not enough."""
        now = self._clock()
        before = now - GRACE_S
        n_to_close = min(2 * self._n_closed, AT_ONCE) if now - self._closed_at <= 2 * (ROOM_S + PAUSE_S) else 1
        with self._lock:
            silent = list(islice(takewhile(lambda conn: conn.silent_since <= before, self._strangers), n_to_close))
            oldest = next(iter(self._strangers), None)
        if not silent:
            self._pause(PAUSE_S if oldest is None else max(PAUSE_S, oldest.silent_since - before))
            return
        self._crowd.warn(
            "%d connections are open, the maximum (security.max_connections): those without a token that "
            "have been silent longest are closed",
            self._max,
        )
        for conn in silent:
            if self._take(conn):
                conn.close()
        self._closed_at, self._n_closed = now, len(silent)
        self._pause(ROOM_S)

    def _pause(self, seconds: float) -> None:
        """Accept no connections for a while."""
        self._listens_at = self._clock() + min(seconds, LONGEST_PAUSE_S)
        with suppress(KeyError):  # already paused
            self._selector.unregister(self._listener)

    def _close_a_stranger(self) -> None:
        """Close the waiting stranger that has been silent longest, if any."""
        with self._lock:
            oldest = next(iter(self._strangers), None)
        if oldest is not None and self._take(oldest):
            oldest.close()

    def _close_silent(self) -> None:
        """Close connections that have been silent for too long."""
        now = self._clock()
        for conn in self._waiting():
            if conn.closes_at <= now and self._take(conn):
                conn.close()

    def _withdraw(self, conn: Any) -> None:
        """Make a connection a stranger again."""
        if conn.is_known:
            same = self._of_token[conn.shown]
            del same[conn]
            if not same:
                del self._of_token[conn.shown]
            conn.is_known = False

    def _waiting(self) -> List[Any]:
        with self._lock:
            return list(self._strangers) + list(self._known)

    def _take(self, conn: Any) -> bool:
        """Stop waiting for a connection; return False if it no longer waits."""
        with self._lock:
            fd = self._strangers.pop(conn, None)
            if fd is None:
                fd = self._known.pop(conn, None)
            if fd is None:
                return False
            self._selector.unregister(fd)
            return True
