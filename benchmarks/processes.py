"""A contestant: one master process and its worker processes, run to the end.

A master prints its address in its first line, ``http://HOST:PORT``, and in its last one JSON: what it noted at the end
of each round (benchmarks.peak.mark). A worker prints, as its last line, what it has used (benchmarks.peak.report).
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from typing import Any, Callable, Dict, List, NoReturn, Optional

from benchmarks.forwarder import Forwarder
from benchmarks.peak import tree

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUN_S = 3600  # longer than any run takes, however busy the machine is

Marks = List[Dict[str, Any]]
Commands = Callable[[str], List[List[str]]]  # the master's port -> the modules and arguments of all workers


class Started:
    """Processes that end when it is left, with all that they have started themselves.

    Parameters
    ----------
    folder : str
        Takes what they write to stderr, in the file ``stderr``.
    environment : dict, optional
        What is added to the environment variables.
    """

    def __init__(self, folder: str, environment: Optional[Dict[str, str]] = None) -> None:
        self._environment = dict(os.environ, PYTHONPATH=PROJECT, **(environment or {}))
        self._processes: List[subprocess.Popen] = []
        self._errors = open(os.path.join(folder, "stderr"), "a+", encoding="utf-8", errors="replace")

    def __enter__(self) -> "Started":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that it is left then too
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            for pid in tree(process.pid):  # some have a session of their own
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ProcessLookupError):  # what a process that has ended has left behind
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()
        self._errors.close()

    def start(self, *command: str, has_output: bool = True) -> subprocess.Popen:
        """Start a program; without output, what it prints goes where its errors go."""
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE if has_output else self._errors,
            stderr=self._errors,
            env=self._environment,
            cwd=PROJECT,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def output_of(self, serving: subprocess.Popen) -> str:
        """Wait until a process has ended; return what it printed. If it or another one fails, so does the program."""
        output = ""
        for _ in range(RUN_S):
            try:
                output = serving.communicate(timeout=1.0)[0]
                if serving.returncode == 0:
                    return output
            except subprocess.TimeoutExpired:
                pass
            if any(process.poll() for process in self._processes):
                break
        self.give_up(serving, output)

    def give_up(self, serving: subprocess.Popen, output: str = "") -> NoReturn:
        """End the program with what a process printed, and with what all of them wrote to stderr."""
        self._errors.seek(0)
        sys.exit("%s failed:\n%s%s" % (" ".join(serving.args), output, self._errors.read()))


def run(
    master: List[str],
    worker_commands: Commands,
    folder: str,
    python: str = sys.executable,
    bytes_moved: Optional[Dict[str, int]] = None,
    by: Callable[[int], List[str]] = lambda worker_id: [],
) -> Marks:
    """Run one master and its workers to the end; return what the master noted, round by round.

    Parameters
    ----------
    master : list of str
        Module and arguments.
    folder : str
        Takes what they write to stderr.
    python : str
        Runs them all.
    bytes_moved : dict, optional
        Gets the bytes that passed their sockets, ``up`` and ``down``; counting takes its time.
    by : callable(worker_id), optional
        What runs Python for a worker, or for the master, whose id here is -1.
    """
    with Started(folder) as started, ExitStack() as stack:
        serving = started.start(*by(-1), python, "-m", *master)
        ready = re.search(r"http://[^:]+:(\d+)", serving.stdout.readline())
        if ready is None:
            started.give_up(serving)
        port = ready.group(1)
        forwarder = None if bytes_moved is None else stack.enter_context(Forwarder(int(port)))
        workers = [
            started.start(*by(i), python, "-m", *command)
            for i, command in enumerate(worker_commands(str(forwarder.port) if forwarder else port))
        ]
        marks = json.loads(started.output_of(serving).splitlines()[-1])
        if forwarder is not None:
            bytes_moved.update(up=forwarder.up, down=forwarder.down)
        for worker in workers:
            used = json.loads(worker.communicate(timeout=RUN_S)[0].splitlines()[-1])
            for mark, cpu_s in zip(marks, used["cpu_s"]):
                mark["workers_cpu_s"] = mark.get("workers_cpu_s", 0.0) + cpu_s
            marks[-1].setdefault("workers_written", []).append(used.get("written"))
            marks[-1]["worker_peak_mb"] = max(marks[-1].get("worker_peak_mb", 0.0), used["peak_mb"])
        return marks


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
