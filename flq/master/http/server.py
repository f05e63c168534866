"""The HTTP server: cheroot, in this process; docs/architecture.md has the reasons."""

import errno
import logging
import socket
import sys
import threading
import time
from typing import Optional

from cheroot import wsgi

from ...errors import ConfigError
from ..records.wire_meter import Meter
from . import connection
from .descriptors import usual_connections
from .reception import QUEUE, Reception
from .tls import TlsAdapter

logger = logging.getLogger(__name__)

SPARE_THREADS = 8  # never used by waiting requests
STREAM_THREADS = 8  # for event streams, in addition to the others
FILE_THREADS = 16  # for files of the page, in addition to the others: a browser requests six at a time
MAX_THREADS = 256
SILENCE_S = 60.0  # a connection without a token that is silent for so long is closed
SHUTDOWN_S = 3.0


def n_threads(total_workers: int) -> int:
    """Return the number of threads for requests: two per worker, and some for other peers."""
    return min(2 * total_workers + 2 * SPARE_THREADS, MAX_THREADS)


class ReadableFirst(wsgi.Server):
    """Gives a thread only to connections with a received request; a :class:`Reception` keeps the others."""

    max_connections = 0
    known_silence_s = SILENCE_S

    def prepare(self) -> None:
        """Bind and listen."""
        super().prepare()
        self._connections.close()  # type: ignore[has-type]
        self.socket.setblocking(False)
        self._connections = Reception(self.socket, self.max_connections, self.timeout, self._receive, self.process_conn)

    def put_conn(self, conn) -> None:
        """Take a connection back from its thread: answer its next request, let it wait, or close it."""
        try:
            if conn.is_ready():
                self.requests.put(conn)
                return
            since = conn.socket.head_since
            silence_s = self.known_silence_s if conn.is_known else self.timeout
            left = since + connection.HEAD_S - time.monotonic() if since else silence_s
            if self.ready and left > 0 and not conn.socket.has_ended:
                self._connections.put(conn, left)
                return
        except (OSError, ValueError):
            pass  # it was closed meanwhile
        conn.close()

    @staticmethod
    def bind_socket(socket_, bind_addr):
        """Bind a socket, also to an IPv6 address with a zone, which a (host, port) address lacks."""
        socket_.bind(socket.getaddrinfo(*bind_addr, socket_.family, socket_.type, 0, socket.AI_PASSIVE)[0][4])
        return socket_

    def vouch(self, conn, name: str) -> None:
        """Note that a connection has sent the token of that name."""
        self._connections.vouch(conn, name)

    def forget(self, conn) -> None:
        """Stop counting a closing connection."""
        self._connections.forget(conn)

    def error_log(self, msg="", level=20, traceback=False) -> None:
        """Log a message of cheroot."""
        logger.log(
            level if level >= logging.WARNING else logging.DEBUG,
            "%s",
            msg,
            exc_info=sys.exc_info() if traceback else None,
        )

    def _receive(self, sock, address):
        """Return a connection on an accepted socket."""
        environ = {}
        if self.ssl_adapter is not None:
            sock, environ = self.ssl_adapter.wrap(sock)
        conn = self.ConnectionClass(self, sock)
        conn.remote_addr, conn.remote_port = address[:2] if address else ("", 0)
        conn.ssl_env = environ
        return conn


REFUSALS = {  # of bind(): the reason, and what to do
    errno.EADDRINUSE: ("the port is in use", "choose another with --port, or end the program that uses it"),
    errno.EADDRNOTAVAIL: (
        "this machine has no such address",
        "--host must be 0.0.0.0 for all addresses of this machine, or one of them; workers name it in --master_ip",
    ),
    errno.EACCES: ("ports below 1024 need root's rights", "choose a --port from 1024 on, such as 5000"),
}


class Server:
    """A bound server; serves from :meth:`start` to :meth:`stop`.

    Parameters
    ----------
    app : WSGI application
    host, port : str, int
    total_workers : int
    meter : Meter
    max_connections : int, optional
        0 = the default.
    silence_s : float, optional
        Seconds that a connection with a token may be silent, if more than for others, so that a worker keeps its
        connection while it trains.
    tls : TlsAdapter, optional
        Without it, plain HTTP.

    Raises
    ------
    ConfigError
        If the address cannot be bound.
    """

    def __init__(
        self,
        app,
        host: str,
        port: int,
        total_workers: int,
        meter: Meter,
        max_connections: int = 0,
        tls: Optional[TlsAdapter] = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._server = ReadableFirst(
            (host, port),
            app,
            server_name="flq",
            numthreads=n_threads(total_workers) + STREAM_THREADS + FILE_THREADS,
            timeout=SILENCE_S,  # type: ignore[arg-type]
            shutdown_timeout=SHUTDOWN_S,  # type: ignore[arg-type]
            request_queue_size=QUEUE,
        )
        self._server.ConnectionClass = connection.metered_connection(meter)
        self._server.gateway = connection.PeerGateway
        self._server.ssl_adapter = tls
        self._server.max_connections = max_connections or usual_connections(total_workers)
        self._server.known_silence_s = max(SILENCE_S, silence_s)
        self._server.max_request_header_size = connection.MAX_HEAD_BYTES
        try:
            self._server.prepare()
        except (OSError, OverflowError, UnicodeError) as error:  # UnicodeError: an invalid name
            raise _refusal(host, port, error) from error
        self.port = self._server.bind_addr[1]
        self._thread = threading.Thread(target=self._server.serve, name="server", daemon=True)

    def start(self) -> None:
        """Begin to serve, in a thread; further calls do nothing."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """Stop accepting, and wait briefly for requests in progress; further calls do nothing."""
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join(SHUTDOWN_S)


def _refusal(host: str, port: int, error: Exception) -> ConfigError:
    """Return why an address cannot be bound; cheroot's error has no number, so that this tries again."""
    here = "--host must be 0.0.0.0 for all addresses of this machine, or one of them"
    reason, hint = str(error), here
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as listener:
            listener.bind(address)
    except (socket.gaierror, UnicodeError):
        reason = "no machine of this name is known here"
    except OSError as again:
        reason, hint = REFUSALS.get(again.errno or 0, (again.strerror or str(again), here))
    return ConfigError("cannot listen on %s port %d: %s" % (host, port, reason), hint)
