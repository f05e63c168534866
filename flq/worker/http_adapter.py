"""HTTP connections with a time limit for a whole answer, which hand out bytes as they arrive.

A limit per receive, all that requests has, lets a master that sends one byte a minute hold a worker for ever. Here an
answer may take as long as one receive may, plus a second for every ``BYTES_PER_S`` bytes that arrive: a larger transfer
may take longer, and a link that is slow but steady is never given up.
"""

import http.client
import io
import socket
import time
from contextlib import suppress
from typing import Any, Optional, Union

import requests

CONNECT_S = 10.0
PIECE = 1 << 18  # bytes that are sent at a time
READ_S = 60.0  # longer than the master lets a request wait
BYTES_PER_S = 10000  # a link of 1 Mbit/s has ten times that

connections = requests.packages.urllib3.connection
pools = requests.packages.urllib3.connectionpool


class DeadlineReader(io.RawIOBase):
    """A socket's input with a deadline; the socket's timeout limits one receive and the whole answer."""

    def __init__(self, sock: socket.socket, received: io.RawIOBase) -> None:
        super().__init__()
        self._sock, self._received = sock, received
        self._patience_s = sock.gettimeout()
        self._deadline = time.monotonic() + self._patience_s

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        """Receive the next bytes.

        Raises
        ------
        socket.timeout
            If they did not come in time.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("it came too slowly")
        self._sock.settimeout(min(left, self._patience_s))
        n_bytes = self._received.readinto(buffer)
        self._deadline += (n_bytes or 0) / BYTES_PER_S
        return n_bytes

    def close(self) -> None:
        """Release the socket."""
        self._received.close()
        super().close()


class PromptResponse(http.client.HTTPResponse):
    """Returns the bytes that have arrived: waiting for more could lose them."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(DeadlineReader(sock, self.fp.detach()))

    def read(self, amt: Optional[int] = None) -> bytes:
        """Return at most ``amt`` bytes of the body, and at least one unless it has ended.

        Raises
        ------
        IncompleteRead
            If it breaks off in a chunk, or between two.
        """
        if not amt or self.length == 0 or self.isclosed():
            return super().read(amt)
        if self.chunked:
            return self._read_chunk(amt)
        data = self.fp.read1(amt if self.length is None else min(amt, self.length))
        if self.length is not None:
            self.length -= len(data)
        if not data or self.length == 0:
            super().read(0 if data else amt)  # which closes it
        return data

    def _read_chunk(self, amt: int) -> bytes:
        left = self._get_chunk_left()  # None after the last chunk, which closes the response
        data = b"" if left is None else self.fp.read1(min(amt, max(left, 0)))
        if left is not None:
            if not data:
                raise http.client.IncompleteRead(data)
            self.chunk_left = left - len(data)
        return data


class _Sending:
    """Sends requests with a time limit for each piece, other than that for connecting.

    If the peer stops reading a request, its answer is still read: it may say why.
    """

    response_class = PromptResponse

    def send(self, data: Any) -> None:
        """Send bytes, piece by piece and without a copy."""
        view = memoryview(data)
        with suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(view), PIECE):
                if self.sock is not None:
                    self.sock.settimeout(READ_S)
                super().send(view[start : start + PIECE])


class PlainConnection(_Sending, connections.HTTPConnection):
    """A connection without encryption."""


class SafeConnection(_Sending, connections.HTTPSConnection):
    """A connection with encryption."""


class PlainPool(pools.HTTPConnectionPool):
    """Connections without encryption."""

    ConnectionCls = PlainConnection


class SafePool(pools.HTTPSConnectionPool):
    """Connections with encryption."""

    ConnectionCls = SafeConnection


class Adapter(requests.adapters.HTTPAdapter):
    """Makes such connections for a session, also through an HTTP proxy."""

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """Put an IPv6 address in brackets, without which urllib3 misreads its zone; since requests 2.32."""
        host_params, pool_kwargs = super().build_connection_pool_key_attributes(*args, **kwargs)
        if ":" in (host_params["host"] or ""):
            host_params["host"] = "[%s]" % host_params["host"]
        return host_params, pool_kwargs

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Prepare direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SafePool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Prepare connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = {"http": PlainPool, "https": SafePool}
        return manager


def cause_of(error: Union[BaseException, Any]) -> str:
    """Return the innermost reason of an error in one line, without the wrapping of requests."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in getattr(error, "args", ()) if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error).split("\n")[0]
    is_object = any(mark in text for mark in ("object at 0x", "Pool(host=", "Connection(host="))
    return text.split(": ", 1)[-1] if is_object else text
