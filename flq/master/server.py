"""The HTTP server: cheroot, in this process. docs/decisions.md says why cheroot."""

import threading

from cheroot import wsgi

from ..errors import ConfigError
from .meter import Meter, PeerGateway, metered_connection

SPARE_THREADS = 8        # never available to requests that wait
MAX_THREADS = 256
READ_TIMEOUT_S = 60.0    # a connection that stays silent so long is closed
SHUTDOWN_S = 3.0


def n_threads(total_workers: int) -> int:
    """Return how many threads the server has: two for every worker, and some for everybody else."""
    return min(2 * total_workers + 2 * SPARE_THREADS, MAX_THREADS)


class Server:
    """A bound server; serves from :meth:`start` to :meth:`stop`.

    Raises
    ------
    ConfigError
        If the address can not be bound.
    """

    def __init__(self, app, host: str, port: int, total_workers: int, meter: Meter) -> None:
        self._server = wsgi.Server((host, port), app, numthreads=n_threads(total_workers), server_name="flq",
                                   timeout=READ_TIMEOUT_S, shutdown_timeout=SHUTDOWN_S,
                                   request_queue_size=128)
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
        """Begin to serve, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, and give running requests a moment to end; once is enough."""
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join(SHUTDOWN_S)
