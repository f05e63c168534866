"""Forwards the traffic between workers and a master, and counts it."""

import socket
import threading
from contextlib import suppress
from typing import List

PIECE = 1 << 20


class Forwarder:
    """Forwards connections to a local port while its context is active.

    Attributes
    ----------
    port : int
        The port to connect to instead.
    up, down : int
        Bytes so far, to the master and from it: TCP payload, without packet headers.
    """

    def __init__(self, target: int) -> None:
        self.up = self.down = 0
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._counting = threading.Lock()
        self._sockets: List[socket.socket] = [self._listening]

    def __enter__(self) -> "Forwarder":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                worker, _ = self._listening.accept()
                master = socket.create_connection(("127.0.0.1", self._target))
                for sock in (worker, master):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [worker, master]
                for source, sink, is_up in ((worker, master, True), (master, worker, False)):
                    threading.Thread(target=self._pass_on, args=(source, sink, is_up), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        buffer = memoryview(bytearray(PIECE))
        with suppress(OSError):  # one end has closed: close the other
            while True:
                n_bytes = source.recv_into(buffer)
                if not n_bytes:
                    break
                sink.sendall(buffer[:n_bytes])
                with self._counting:
                    if is_up:
                        self.up += n_bytes
                    else:
                        self.down += n_bytes
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
