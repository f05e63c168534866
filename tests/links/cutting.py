"""A link that breaks: every connection through it ends after a number of bytes down."""

import select
import socket
import threading
from contextlib import suppress
from typing import List

PIECE = 4096
WAIT_S = 20.0  # far beyond what anything takes: a test that fails must end


class CuttingLink:
    """Listens on a free loopback port from construction until :meth:`close`.

    Parameters
    ----------
    port : int
        The master's.
    cut_after : int
        Bytes from the master that a connection carries before it is reset.

    Attributes
    ----------
    n_down : int
        Bytes that have reached the workers.
    n_cut : int
        Connections that were reset.
    """

    def __init__(self, port: int, cut_after: int) -> None:
        self.n_down = self.n_cut = 0
        self._master, self._cut_after = ("127.0.0.1", port), cut_after
        self._lock = threading.Lock()
        self._sockets: List[socket.socket] = []
        self._threads: List[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> "CuttingLink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Break the remaining connections, and wait for the threads."""
        for sock in [self._listener] + self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(WAIT_S)
        for thread in self._threads:
            thread.join(WAIT_S)

    def _accept(self) -> None:
        while True:
            try:
                worker, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._carry, args=(worker,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, worker: socket.socket) -> None:
        left = self._cut_after
        with worker, suppress(OSError), socket.create_connection(self._master, timeout=WAIT_S) as master:
            self._sockets += [worker, master]
            while left:
                for sock in select.select([worker, master], [], [])[0]:
                    data = sock.recv(PIECE if sock is worker else min(PIECE, left))
                    if not data:
                        return
                    (master if sock is worker else worker).sendall(data)
                    if sock is master:
                        left -= len(data)
                        with self._lock:
                            self.n_down += len(data)
            with self._lock:
                self.n_cut += 1
