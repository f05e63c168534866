"""A proxy between workers and a master that counts every byte and can inject faults.

It reads a complete request, forwards it, and returns the complete response, unless a fault does something else. It
counts bytes on the master's side, so that they equal those of the master's own meter.

Example
-------
>>> with Relay(("127.0.0.1", master_port), {("/upload_update", 3): drop}) as relay:  # doctest: +SKIP
...     start_workers(port=relay.port)
"""

import socket
import threading
from contextlib import suppress
from typing import Dict, List, Optional, Tuple

from http_message import Broken, read_message
from passage import ANSWERED, ARRIVED, Exchange, Fault, Passage, pass_whole, shut

CLOSE_S = 10.0
PATIENCE_S = 20.0  # far beyond what anything takes: a fault that waits for what never comes must end


class Relay:
    """Listens on a free loopback port from construction until :meth:`close`.

    Parameters
    ----------
    master : (host, port)
    faults : dict, optional
        (path, n) -> fault of the n-th request (from 1) with that path; n None = of all others with it.

    Attributes
    ----------
    n_connections : int
        Number of connections made to it.
    """

    def __init__(
        self, master: Tuple[str, int], faults: Optional[Dict[Tuple[str, Optional[int]], Fault]] = None
    ) -> None:
        self.master = master
        self.faults = dict(faults or {})
        self._news = threading.Condition()
        self._n_noted = {}  # type: Dict[Tuple[str, str], int]
        self._sockets = []  # type: List[socket.socket]
        self._threads = []  # type: List[threading.Thread]
        self._exchanges = []  # type: List[Exchange]
        self._up = self._down = 0
        self.n_connections = 0
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="relay", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def bytes_up(self) -> int:
        """Bytes sent to the master."""
        with self._news:
            return self._up

    @property
    def bytes_down(self) -> int:
        """Bytes received from the master."""
        with self._news:
            return self._down

    def exchanges(self, path: Optional[str] = None) -> List[Exchange]:
        """Return the exchanges of one path or of all, in the order of their ends."""
        with self._news:
            return [exchange for exchange in self._exchanges if path in (None, exchange.path)]

    def fired(self, fault: Fault, n: int = 1) -> List[Exchange]:
        """Wait until a fault has happened to n requests, and return all of them."""

        def found() -> List[Exchange]:
            return [exchange for exchange in self._exchanges if exchange.fault is fault]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= n, PATIENCE_S), "the fault has not happened"
            return found()

    def wait(self, what: str, path: str, n: int) -> None:
        """Wait until n requests with a path have ARRIVED, PASSED or are ANSWERED."""
        with self._news:
            assert self._news.wait_for(lambda: self._closed or self._n_noted.get((what, path), 0) >= n, PATIENCE_S), (
                "request %d of %s was never %s" % (n, path, what)
            )

    def note(self, what: str, path: str) -> int:
        """Count a request; return how many there are now."""
        with self._news:
            self._n_noted[what, path] = n = self._n_noted.get((what, path), 0) + 1
            self._news.notify_all()
            return n

    def send_apart(self, request: bytes, fault: Fault) -> threading.Thread:
        """Send a request on a connection of its own; return the thread that waits for its response."""
        master = self.connect()
        passage = Passage(self, master, request)
        passage.pass_on(request)

        def finish() -> None:
            with master, suppress(Broken, OSError):
                try:
                    passage.response()
                finally:
                    self._keep(passage, fault)

        thread = threading.Thread(target=finish, name="relay copy", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def n_noted(self, what: str, path: str) -> int:
        """Return the number of requests with a path that have ARRIVED, PASSED or are ANSWERED."""
        with self._news:
            return self._n_noted.get((what, path), 0)

    def count(self, up: int = 0, down: int = 0) -> None:
        """Count bytes of the master's side."""
        with self._news:
            self._up, self._down = self._up + up, self._down + down

    def connect(self) -> socket.socket:
        """Connect to the master; :meth:`close` breaks the connection."""
        sock = socket.create_connection(self.master, timeout=CLOSE_S)
        sock.settimeout(None)
        self._adopt(sock)
        return sock

    def close(self) -> None:
        """Break all connections and wait for the threads."""
        with self._news:
            self._closed = True
            self._news.notify_all()
            sockets = list(self._sockets)
        # shutdown() wakes a thread that sits in accept() or recv(); close() alone does not.
        for sock in [self._listener] + sockets:
            shut(sock)
        self._listener.close()
        self._acceptor.join(CLOSE_S)
        for thread in self._threads:
            thread.join(CLOSE_S)

    def _adopt(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._news:
            self._sockets.append(sock)
            if self._closed:
                raise Broken()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.n_connections += 1
            thread = threading.Thread(target=self._serve, args=(client,), name="relay connection", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                self._adopt(client)
                with self.connect() as master:
                    try:
                        while self._relay_one(client, master):
                            pass
                    finally:
                        shut(client), shut(master)
            except (Broken, OSError):
                pass

    def _relay_one(self, client: socket.socket, master: socket.socket) -> bool:
        """Relay one request and its response; return whether the connection stays open."""
        passage = Passage(self, master, read_message(client), client)
        fault = self.faults.get((passage.path, self.note(ARRIVED, passage.path)), self.faults.get((passage.path, None)))
        try:
            try:
                response = (fault or pass_whole)(passage)
            finally:
                self._keep(passage, fault)
            client.sendall(response)
            return b"\r\nconnection: close" not in response.split(b"\r\n\r\n")[0].lower()
        finally:
            self.note(ANSWERED, passage.path)

    def _keep(self, passage: Passage, fault: Optional[Fault]) -> None:
        with self._news:
            self._exchanges.append(passage.exchange(fault))
            self._news.notify_all()
