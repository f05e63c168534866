"""Measures a master that may open few files against a stranger with thousands of connections.

    python -m benchmarks.strangers                       3,000 connections for a minute, `ulimit -n 1024`
    python -m benchmarks.strangers --tls --seconds 20

A real master with its evaluator runs ten rounds per second with four simulated workers in another process
(page_workers.py): first without a stranger, then with one whose connections are silent, then with one that reconnects
as soon as a connection is closed. For each it prints rounds per second, the master's CPU and open files, the lines of
its log that are not about rounds, and the latency of a new connection with a token.
"""

import argparse
import http.client
import json
import os
import resource
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from typing import Any, Dict, List, Optional

from benchmarks.peak import tree
from benchmarks.processes import PROJECT, Started
from benchmarks.timing import table
from flq.tokens import OPERATOR, read_tokens

N_WORKERS, PERIOD_S = 4, 0.1
SETTLE_S = 5.0
ASK_S = 5.0  # between two new connections with a token


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure a master against a stranger with many connections.")
    flags.add_argument("--connections", type=int, default=3000)
    flags.add_argument("--files", type=int, default=1024, help="files that the master may open (ulimit -n)")
    flags.add_argument("--seconds", type=float, default=60.0, help="duration of each of the three cases")
    flags.add_argument("--tls", action="store_true", help="with encryption; needs openssl")
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    flags.add_argument("--stranger", nargs=3, metavar=("PORT", "N", "AGAIN"), help=argparse.SUPPRESS)
    return flags.parse_args()


def main() -> None:
    """Measure; or, as a child process, be the stranger."""
    args = parse_flags()
    if args.stranger:
        return be_a_stranger(*map(int, args.stranger))
    with tempfile.TemporaryDirectory() as folder, Started(folder) as started:
        measured = measure(args, folder, started)
    heads = ["stranger", "rounds/s", "CPU, of a core", "files, most", "lines", "closed", "new: median s", "longest s"]
    print(table(heads, [[name, *row.values()] for name, row in measured.items()]))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as stream:
            json.dump(measured, stream, indent=1)


def measure(args: argparse.Namespace, folder: str, started: Started) -> Dict[str, Dict[str, Any]]:
    """Run master, workers and strangers; return the measurements of each case."""
    ca = make_certificate(folder) if args.tls else None
    master = Master(args.files, folder, started, ca)
    started.start(
        sys.executable,
        "-m",
        "benchmarks.page_workers",
        master.url,
        master.token_file,
        "0",
        str(N_WORKERS),
        str(PERIOD_S),
        *([] if ca is None else [ca]),
        has_output=False,
    )
    while master.status()["current_round"] < SETTLE_S / PERIOD_S:
        time.sleep(0.1)
    measured = {"nobody": master.watch(args.seconds)}
    for name, again in ("quiet", "0"), ("coming again", "1"):
        stranger = started.start(
            sys.executable, "-m", "benchmarks.strangers", "--stranger", str(master.port), str(args.connections), again
        )
        stranger.stdout.readline()
        measured[name] = master.watch(args.seconds)
        stranger.terminate()
        measured[name]["closed"] = stranger.communicate()[0].strip()
        time.sleep(SETTLE_S)
    master.ask("POST", "/stop")
    return measured


class Master:
    """A master with a limit on open files."""

    def __init__(self, n_files: int, folder: str, started: Started, ca: Optional[str]) -> None:
        self.token_file, self._folder = os.path.join(folder, "tokens"), folder
        settings = {
            "model.name": "quadratic",
            "model.dim": 1000,
            "model.lr": 0.002,
            "flq_algorithm.mode": "bbit",
            "system.total_workers": N_WORKERS,
            "system.min_workers": N_WORKERS,
            "system.max_rounds": 10**6,
            "system.linger_s": 1,
            "report.figure_every": 0,
        }
        tls = [] if ca is None else ["--tls_cert", ca, "--tls_key", os.path.join(folder, "key.pem")]
        self._process = started.start(
            "bash",
            "-c",
            'ulimit -n %d; exec "$0" "$@"' % n_files,
            sys.executable,
            "-m",
            "benchmarks.round_master",
            folder,
            "--evaluator",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--token_file",
            self.token_file,
            "--config",
            os.path.join(PROJECT, "flq_config.json"),
            *tls,
            *(text for key, value in settings.items() for text in ("--set", "%s=%s" % (key, value))),
        )
        self.url = self._process.stdout.readline().partition("ready on ")[2].partition(" ")[0]
        if not self.url:
            started.give_up(self._process)
        self.port = int(self.url.rpartition(":")[2])
        self._context = None if ca is None else ssl.create_default_context(cafile=ca)
        self._token = read_tokens(self.token_file)[OPERATOR]
        self._kept = self._connection()

    def ask(self, method: str, path: str, connection: Optional[http.client.HTTPConnection] = None) -> Any:
        """Return the master's response to its operator, over the persistent connection or another one."""
        connection = connection or self._kept
        connection.request(method, path, headers={"Authorization": "Bearer " + self._token})
        return json.loads(connection.getresponse().read())

    def status(self) -> Dict[str, Any]:
        """Return GET /status."""
        return self.ask("GET", "/status")

    def watch(self, seconds: float) -> Dict[str, Any]:
        """Sample the master for ``seconds``; return the measurements."""
        began, cpu_s, n_lines, first = time.monotonic(), self._cpu_s(), self._n_lines(), self.status()["current_round"]
        n_open, new_s = 0, []
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            with closing(self._connection()) as connection:
                self.ask("GET", "/healthz", connection)
            new_s.append(time.monotonic() - asked)
            while time.monotonic() - asked < ASK_S:
                n_open = max(n_open, len(os.listdir("/proc/%d/fd" % self._process.pid)))
                time.sleep(0.1)
        seconds, n_rounds = time.monotonic() - began, self.status()["current_round"] - first
        new_s.sort()
        return {
            "rounds_per_s": n_rounds / seconds,
            "cores": (self._cpu_s() - cpu_s) / seconds,
            "n_open": str(n_open),
            "n_lines": str(self._n_lines() - n_lines),
            "closed": "0",
            "new_median_s": new_s[len(new_s) // 2],
            "new_longest_s": new_s[-1],
        }

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=120, context=self._context)

    def _cpu_s(self) -> float:
        return tree(self._process.pid)[self._process.pid]

    def _n_lines(self) -> int:
        """Return the number of log lines that are not about rounds."""
        folder = os.path.join(self._folder, "logs")
        lines: List[str] = []
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                lines += stream
        return sum("round=" not in line for line in lines)


def be_a_stranger(port: int, n_connections: int, again: int) -> None:
    """Hold silent connections until terminated; then print how many the master has closed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector, n_closed = selectors.DefaultSelector(), 0

    def connect() -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        selector.register(sock, selectors.EVENT_READ)

    ends = []
    signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
    print("it begins", flush=True)
    for _ in range(n_connections):
        connect()
    while not ends:
        for key, _ in selector.select(0.5):
            selector.unregister(key.fileobj)
            key.fileobj.close()
            n_closed += 1
            if again:
                connect()
    print(n_closed, flush=True)


def make_certificate(folder: str) -> str:
    """Create a certificate for this machine and its key.pem; return the certificate's file."""
    path = os.path.join(folder, "certificate.pem")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=FLQ master",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            os.path.join(folder, "key.pem"),
            "-out",
            path,
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return path


if __name__ == "__main__":
    main()
