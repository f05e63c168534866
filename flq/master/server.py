"""The HTTP server: cheroot, in this process. docs/architecture.md says why cheroot."""

import threading

from cheroot import wsgi

from ..errors import ConfigError
from .connection import PeerGateway, metered_connection
from .meter import Meter

SPARE_THREADS = 8        # never available to requests that wait
MAX_THREADS = 256
SILENCE_S = 60.0         # a connection that stays silent so long is closed
SHUTDOWN_S = 3.0


def n_threads(total_workers: int) -> int:
    """Return how many threads the server has: two for every worker, and some for everybody else."""
    return min(2 * total_workers + 2 * SPARE_THREADS, MAX_THREADS)


class ReadableFirst(wsgi.Server):
    """Gives a thread only to connections on which something has come.

    cheroot does so between requests; before the first one a thread would wait for a peer that
    has connected and says nothing.
    """

    def process_conn(self, conn) -> None:
        """Take a connection: a new one waits in the selector until it is readable."""
        is_new = conn.last_used is None
        if is_new:
            self.put_conn(conn)
        else:
            super().process_conn(conn)


class Server:
    """A bound server; serves from :meth:`start` to :meth:`stop`.

    Raises
    ------
    ConfigError
        If the address can not be bound.
    """

    def __init__(self, app, host: str, port: int, total_workers: int, meter: Meter) -> None:
        self._server = ReadableFirst((host, port), app, numthreads=n_threads(total_workers), server_name="flq",
                                     timeout=SILENCE_S, shutdown_timeout=SHUTDOWN_S, request_queue_size=128)
        self._server.ConnectionClass = metered_connection(meter)
        self._server.gateway = PeerGateway
        self._server.keep_alive_conn_limit = 4 * total_workers + 64
        self._server.max_request_header_size = 32768
        try:
            self._server.prepare()
        except (OSError, OverflowError) as error:
            raise ConfigError("cannot listen on %s port %d: %s" % (host, port, error),
                              "choose another with --port, or end the program that uses it") from error
        self.port = self._server.bind_addr[1]
        self._thread = threading.Thread(target=self._server.serve, name="server", daemon=True)

    def start(self) -> None:
        """Begin to serve, in a thread; once is enough."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """Stop accepting, and give running requests a moment to end; once is enough."""
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join(SHUTDOWN_S)
