"""A proxy between workers and a master that counts every byte and can do harm to requests.

It reads a request whole, hands it on, reads the response whole and hands that back; a fault does
something else instead. Counts are of the master's side, so that they are what the master's own
meter should have seen.

Example
-------
>>> with Relay(("127.0.0.1", master_port), {("/upload_update", 3): drop}) as relay:  # doctest: +SKIP
...     start_workers(port=relay.port)
"""

import socket
import threading
from contextlib import suppress
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from http_message import Broken, Frame, body_of, frames_of, half_of, read_message, target_of

CLOSE_S = 10.0
PATIENCE_S = 20.0  # far beyond what anything takes: a fault that waits for what never comes must end
ARRIVED, PASSED, ANSWERED = "arrived at the proxy", "passed to the master", "answered"


class Exchange(NamedTuple):
    """One request and its response, as far as they went.

    Attributes
    ----------
    request_bytes : int
        What the master got: head and body.
    request_head_bytes : int
    response_bytes : int
        What the master sent.
    status : int
        0 = the master has not answered.
    fault : Fault or None
    sent, received : list of Frame
        The frames in the request's and in the response's body.
    body : bytes
        The request's body, as far as it was passed.
    """

    path: str
    query: str
    request_head_bytes: int
    request_bytes: int
    response_bytes: int
    status: int
    fault: Optional["Fault"]
    sent: List[Frame]
    received: List[Frame]
    body: bytes


class Passage:
    """One request on its way; what a fault has at hand.

    Attributes
    ----------
    relay : Relay
    request : bytes
        Head and body, as they came.
    client : socket or None
    """

    def __init__(self, relay: "Relay", master: socket.socket, request: bytes,
                 client: Optional[socket.socket] = None) -> None:
        self.relay, self.request, self.client = relay, request, client
        self._master = master
        self._passed, self._response = b"", b""

    def pass_on(self, data: bytes) -> None:
        """Send bytes to the master."""
        self._master.sendall(data)
        self._passed += data
        self.relay.count(up=len(data))

    def response(self) -> bytes:
        """Read the master's response."""
        self._response = read_message(self._master, has_body=not self.request.startswith(b"HEAD "))
        self.relay.count(down=len(self._response))
        return self._response

    def ask(self, data: bytes) -> bytes:
        """Send a whole request to the master and return its response."""
        self.pass_on(data)
        self.relay.note(PASSED, self.path)
        return self.response()

    def hang_up(self) -> None:
        """Break the client's connection."""
        shut(self.client)

    @property
    def path(self) -> str:
        """The request's path, as the client meant it."""
        return target_of(self.request)[0]

    def exchange(self, fault: Optional["Fault"]) -> Exchange:
        """Return what has happened so far."""
        body, received = body_of(self._passed), body_of(self._response)
        return Exchange(*target_of(self.request), len(self._passed) - len(body), len(self._passed), len(self._response),
                        int(self._response.split(b" ", 2)[1]) if self._response else 0,
                        fault, frames_of(body), frames_of(received), body)


Fault = Callable[[Passage], bytes]  # returns what the client gets


def drop(passage: Passage) -> bytes:
    """Pass the request, swallow the response, and break the connection."""
    passage.ask(passage.request)
    raise Broken()


def truncate(passage: Passage) -> bytes:
    """Pass the head and half of the body, or half of a head without one; then break the connection."""
    passage.pass_on(passage.request[:half_of(passage.request)])
    raise Broken()


class Relay:
    """Listens on a free loopback port from construction until :meth:`close`.

    Parameters
    ----------
    master : (host, port)
    faults : dict, optional
        (path, n) -> what happens to the n-th request (from 1) with that path.
    """

    def __init__(self, master: Tuple[str, int], faults: Optional[Dict[Tuple[str, int], Fault]] = None) -> None:
        self.master = master
        self.faults = dict(faults or {})
        self._news = threading.Condition()
        self._n_noted = {}  # type: Dict[Tuple[str, str], int]
        self._sockets = []  # type: List[socket.socket]
        self._threads = []  # type: List[threading.Thread]
        self._exchanges = []  # type: List[Exchange]
        self._up = self._down = 0
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
        """Bytes that went to the master."""
        with self._news:
            return self._up

    @property
    def bytes_down(self) -> int:
        """Bytes that came from the master."""
        with self._news:
            return self._down

    def exchanges(self, path: Optional[str] = None) -> List[Exchange]:
        """Return what has passed, in the order in which it ended; of one path, or of all."""
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
        """Wait until n requests with that path have ARRIVED, PASSED or are ANSWERED."""
        with self._news:
            assert self._news.wait_for(lambda: self._closed or self._n_noted.get((what, path), 0) >= n, PATIENCE_S), (
                "request %d of %s was never %s" % (n, path, what))

    def note(self, what: str, path: str) -> int:
        """Count a request; return how many there are now."""
        with self._news:
            self._n_noted[what, path] = n = self._n_noted.get((what, path), 0) + 1
            self._news.notify_all()
            return n

    def send_apart(self, request: bytes, fault: Fault) -> threading.Thread:
        """Send a request on a connection of its own; the thread that is returned waits for the answer."""
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
        """Return how many requests with that path have ARRIVED, PASSED or are ANSWERED."""
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
        """Let one request and its response pass; return whether the connection goes on."""
        passage = Passage(self, master, read_message(client), client)
        fault = self.faults.get((passage.path, self.note(ARRIVED, passage.path)))
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


def pass_whole(passage: Passage) -> bytes:
    """Do no harm."""
    return passage.ask(passage.request)


def shut(sock: socket.socket) -> None:
    """End a connection in both directions."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other end was first
