"""Event streams through a proxy that buffers, as nginx does by default."""

import http.client
import socket
import threading

import pytest
from local_master import head
from waits import WAIT_S

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")


class KeepsBack:
    """Buffers a response, unless it has ``X-Accel-Buffering: no``. It speaks HTTP/1.0."""

    def __init__(self, port):
        self._to, self._listener = port, socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT_S)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self._listener.close()

    def _run(self):
        with self._listener.accept()[0] as viewer, socket.create_connection(("127.0.0.1", self._to), WAIT_S) as master:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += viewer.recv(4096)
            master.sendall(asked.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\nConnection: close\r\n", 1))
            kept = b""
            while True:
                piece = master.recv(4096)
                kept += piece
                if not piece or b"\r\n\r\n" in kept and b"\r\nx-accel-buffering: no\r\n" in kept.lower():
                    break
            viewer.sendall(kept)
            while piece:
                piece = master.recv(4096)
                viewer.sendall(piece)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_without_chunks_lasts_until_the_connection_ends(make_master, version):
    master = make_master(*RUN)
    with socket.create_connection(("127.0.0.1", master.port), WAIT_S) as sock:
        sock.sendall(head("GET", "/events", Connection="close").replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
        with sock.makefile("rb") as stream:
            lines = [line.strip().lower() for line in iter(stream.readline, b"\r\n")]
            assert (b"transfer-encoding: chunked" in lines) == (version == "1.1")
            assert b"x-accel-buffering: no" in lines and not any(line.startswith(b"content-length") for line in lines)
            if version == "1.0":
                assert stream.readline() == b"retry: 3000\n"
                master.broadcast.close()
                assert stream.read().endswith(b"event: end\ndata:\n\n")  # and there it ends


def test_a_proxy_passes_events_on_during_the_run(make_master):
    master = make_master(*RUN)
    with KeepsBack(master.port) as proxy:
        viewer = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=WAIT_S)
        viewer.request("GET", "/events")
        answer = viewer.getresponse()
        assert answer.readline() == b"retry: 3000\n"
        while not answer.readline().startswith(b"event: log"):
            pass
        master.broadcast.close()
        assert answer.read().endswith(b"event: end\ndata:\n\n")
        viewer.close()
