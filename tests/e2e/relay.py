"""A TCP relay between workers and a master that counts every byte and can break requests.

It reads HTTP only to know where a request and its response end. Counts are of the master's
side of the relay, so that they are what the master's own meter should have seen.

Example
-------
>>> with Relay(("127.0.0.1", master_port), {("/upload_update", 3): DROP}) as relay:  # doctest: +SKIP
...     start_workers(port=relay.port)
"""

import socket
import threading
from typing import Dict, List, NamedTuple, Optional, Tuple

from flq.protocol.wire import HEADER, PREFIX_SIZE

TRUNCATE = "truncate"  # pass the head and half of the body, then break the connection
DROP = "drop"          # pass the request, swallow the response, then break the connection
PIECE = 1 << 16
CLOSE_S = 10.0


class Frame(NamedTuple):
    """What a frame's header says, and the frame's size in bytes."""

    kind: int
    codec_id: int
    index: int
    size: int


class Exchange(NamedTuple):
    """One request and its response, as far as they went.

    Attributes
    ----------
    request_bytes : int
        What the master got: head and body.
    request_head_bytes : int
    response_bytes : int
        What the master sent.
    fault : str or None
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
    fault: Optional[str]
    sent: List[Frame]
    received: List[Frame]
    body: bytes


class _Broken(Exception):
    """One side has closed its connection."""


class Relay:
    """Listens on a free loopback port from construction until :meth:`close`.

    Parameters
    ----------
    master : (host, port)
    faults : dict, optional
        (path, n) -> TRUNCATE or DROP: what happens to the n-th request (from 1) with that path.
    """

    def __init__(self, master: Tuple[str, int], faults: Optional[Dict[Tuple[str, int], str]] = None) -> None:
        self._master = master
        self._faults = dict(faults or {})
        self._lock = threading.Lock()
        self._seen = {}  # type: Dict[str, int]
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
        with self._lock:
            return self._up

    @property
    def bytes_down(self) -> int:
        """Bytes that came from the master."""
        with self._lock:
            return self._down

    def exchanges(self, path: Optional[str] = None) -> List[Exchange]:
        """Return what has passed, in the order in which it ended; of one path, or of all."""
        with self._lock:
            return [exchange for exchange in self._exchanges if path in (None, exchange.path)]

    def close(self) -> None:
        """Break all connections and wait for the threads."""
        with self._lock:
            self._closed = True
            sockets = list(self._sockets)
        # shutdown() wakes a thread that sits in accept() or recv(); close() alone does not.
        for sock in [self._listener] + sockets:
            _shut(sock)
        self._listener.close()
        self._acceptor.join(CLOSE_S)
        for thread in self._threads:
            thread.join(CLOSE_S)

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
                master = socket.create_connection(self._master, timeout=CLOSE_S)
            except OSError:
                return
            with master:
                master.settimeout(None)
                for sock in (client, master):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    if self._closed:
                        return
                    self._sockets += [client, master]
                try:
                    while self._relay_one(client, master):
                        pass
                except (_Broken, OSError):
                    pass
                finally:
                    _shut(client), _shut(master)
                    with self._lock:
                        self._sockets.remove(client), self._sockets.remove(master)

    def _relay_one(self, client: socket.socket, master: socket.socket) -> bool:
        """Pass one request and its response; return whether the connection goes on."""
        head, rest = _read_head(client)
        method, target = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
        path, _, query = target.partition("?")
        size, fault = _body_size(head), self._fault_of(path)
        allowed = size // 2 if fault == TRUNCATE else size
        body = bytearray()
        response_head = response = b""
        try:
            self._to_master(master, head)
            while len(body) < allowed:
                piece = rest or client.recv(PIECE)
                if not piece:
                    raise _Broken()
                piece, rest = piece[:allowed - len(body)], b""
                self._to_master(master, piece)
                body += piece
            if fault == TRUNCATE:
                return False
            response_head, response = self._from_master(master, method)
            if fault == DROP:
                return False
            client.sendall(response_head + response)
            return b"\r\nconnection: close" not in response_head.lower()
        finally:
            status = int(response_head.split(b" ", 2)[1]) if response_head else 0
            exchange = Exchange(path, query, len(head), len(head) + len(body), len(response_head) + len(response),
                                status, fault, _frames(bytes(body)), _frames(response), bytes(body))
            with self._lock:
                self._exchanges.append(exchange)

    def _fault_of(self, path: str) -> Optional[str]:
        with self._lock:
            self._seen[path] = self._seen.get(path, 0) + 1
            return self._faults.get((path, self._seen[path]))

    def _to_master(self, master: socket.socket, data: bytes) -> None:
        master.sendall(data)
        with self._lock:
            self._up += len(data)

    def _from_master(self, master: socket.socket, method: str) -> Tuple[bytes, bytes]:
        """Read a whole response."""
        head, body = _read_head(master)
        has_body = method != "HEAD" and head.split(b" ", 2)[1] not in (b"204", b"304")
        size = _body_size(head) if has_body else 0
        pieces, n_read = [body], len(body)
        while n_read < size:
            piece = master.recv(PIECE)
            if not piece:
                raise _Broken()
            pieces.append(piece)
            n_read += len(piece)
        with self._lock:
            self._down += len(head) + n_read
        return head, b"".join(pieces)


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other end was first


def _read_head(sock: socket.socket) -> Tuple[bytes, bytes]:
    """Read until a head has ended; return it, and what came after it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(PIECE)
        if not piece:
            raise _Broken()
        data += piece
    end = data.index(b"\r\n\r\n") + 4
    return data[:end], data[end:]


def _body_size(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _frames(body: bytes) -> List[Frame]:
    """Return the frames that stand whole in a body."""
    frames, start = [], 0
    while body[start:start + 4] == b"FLQf" and len(body) >= start + PREFIX_SIZE:
        _, _, kind, codec_id, _, _, _, index, length = HEADER.unpack_from(body, start)
        if start + PREFIX_SIZE + length > len(body):
            break
        frames.append(Frame(kind, codec_id, index, PREFIX_SIZE + length))
        start += PREFIX_SIZE + length
    return frames
