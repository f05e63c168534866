"""Proxies and services on loopback that replace real ones, and record the requests."""

import json
import socket
import socketserver
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, NamedTuple, Tuple

from waits import WAIT_S


class Asked(NamedTuple):
    """A request received by a service."""

    host: str
    path: str
    headers: Dict[str, str]
    body: bytes


class Service(ThreadingHTTPServer):
    """An HTTP server, with TLS if it has a certificate, with a list of responses.

    A response is a status and an object, or "hang" or "cut"; after the last one it is 200.

    Attributes
    ----------
    asked : list of Asked
    """

    daemon_threads = True

    def __init__(self, certificate: Any = None, answers: Tuple[Any, ...] = (), always: Any = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = []  # type: List[Asked]
        self._answers, self._always = list(answers), always or (200, {"ok": True, "result": {}, "errcode": 0})
        self._changed = threading.Condition()
        self.released = threading.Event()
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def get_request(self) -> Tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(WAIT_S)
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients may disconnect."""

    def take(self, asked: Asked) -> Any:
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
            return self._answers.pop(0) if self._answers else self._always

    def wait_for(self, condition: Any) -> List[Asked]:
        """Wait until the requests fulfil a condition; return them."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.asked), WAIT_S), [one.body[:400] for one in self.asked]
            return list(self.asked)

    def close(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()
        self._thread.join(WAIT_S)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.take(Asked(self.headers["Host"], self.path, dict(self.headers), body))
        if answer == "hang":
            self.server.released.wait(WAIT_S)
        if answer in ("hang", "cut"):
            self.close_connection = True
            self.connection.close()
            return
        status, content = answer
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy that maps a few names to local ports, and rejects all others.

    Attributes
    ----------
    asked : list of str
        The requested targets, such as ``api.telegram.org:443``; an address instead of a name is recorded as such.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, ports: Dict[str, int], handler: Any) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.ports, self.asked = ports, []  # type: Dict[str, int], List[str]
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients may disconnect."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(WAIT_S)


class _Socks5(socketserver.StreamRequestHandler):
    """SOCKS 5 (RFC 1928), without a password: only CONNECT."""

    timeout = WAIT_S

    def handle(self) -> None:
        version, n_methods = self.rfile.read(2)
        assert version == 5 and 0 in self.rfile.read(n_methods)
        self.request.sendall(b"\x05\x00")
        version, command, _, kind = self.rfile.read(4)
        if kind == 3:
            host = self.rfile.read(self.rfile.read(1)[0]).decode()
        else:
            host = socket.inet_ntop({1: socket.AF_INET, 4: socket.AF_INET6}[kind], self.rfile.read({1: 4, 4: 16}[kind]))
        target = "%s:%d" % (host, int.from_bytes(self.rfile.read(2), "big"))
        self.server.asked.append(target)
        rest = b"\x00\x01\x00\x00\x00\x00\x00\x00"
        if command != 1 or target not in self.server.ports:
            self.request.sendall(b"\x05\x02" + rest)  # not allowed
            return
        with socket.create_connection(("127.0.0.1", self.server.ports[target]), WAIT_S) as other:
            self.request.sendall(b"\x05\x00" + rest)
            join(self.request, other)


class _Connect(socketserver.StreamRequestHandler):
    """An HTTP proxy: only CONNECT."""

    timeout = WAIT_S

    def handle(self) -> None:
        method, target, _ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(target)
        if method != "CONNECT" or target not in self.server.ports:
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.ports[target]), WAIT_S) as other:
            self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            join(self.request, other)


def socks_proxy(ports: Dict[str, int]) -> Proxy:
    """Return a SOCKS proxy that is running."""
    return Proxy(ports, _Socks5)


def http_proxy(ports: Dict[str, int]) -> Proxy:
    """Return an HTTP proxy that is running."""
    return Proxy(ports, _Connect)


def join(one: socket.socket, other: socket.socket) -> None:
    """Forward bytes both ways until both ends have closed."""

    def hand_on(source: socket.socket, target: socket.socket) -> None:
        try:
            for piece in iter(lambda: source.recv(65536), b""):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    back = threading.Thread(target=hand_on, args=(other, one), daemon=True)
    back.start()
    hand_on(one, other)
    back.join(WAIT_S)


def make_certificates(folder: Any, names: Tuple[str, ...]) -> Tuple[str, Tuple[str, str]]:
    """Make an authority, and a certificate for some names; return the path of the one, and of the other and its key."""

    def openssl(*words: str) -> None:
        subprocess.run(
            ("openssl",) + words, cwd=str(folder), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *key, "-subj", "/CN=stand-in", "-keyout", "service.key", "-out", "service.csr")
    (folder / "names").write_text("subjectAltName=" + ",".join("DNS:" + name for name in names))
    openssl(
        "x509",
        "-req",
        "-in",
        "service.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "service.pem",
    )
    return str(folder / "ca.pem"), (str(folder / "service.pem"), str(folder / "service.key"))
