"""Runs a contestant: one master process and its worker processes, to the end.

A master's first line of output contains its address, ``http://HOST:PORT``, and its last line is JSON: its mark of each
round (benchmarks.peak.mark). A worker's last line is its resource usage (benchmarks.peak.report).
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
RUN_S = 3600  # limit for a run, also on a busy machine

Marks = List[Dict[str, Any]]
Commands = Callable[[str], List[List[str]]]  # the master's port -> the modules and arguments of all workers


def worker_command(module: str, folder: str, worker_id: int, port: str, address: str = "127.0.0.1") -> List[str]:
    """Return module and arguments of a worker of FLQ whose state is in ``folder``."""
    flags = ("--worker_id", str(worker_id), "--port", port, "--master_ip", address)
    return [module, folder, *flags, "--state_dir", os.path.join(folder, "state%d" % worker_id)]


class Started:
    """Starts processes, and ends them with all their descendants on exit.

    Parameters
    ----------
    folder : str
        Its file ``stderr`` collects their stderr.
    environment : dict, optional
        Additional environment variables.
    """

    def __init__(self, folder: str, environment: Optional[Dict[str, str]] = None) -> None:
        self._environment = dict(os.environ, PYTHONPATH=PROJECT, **(environment or {}))
        self._processes: List[subprocess.Popen] = []
        self._errors = open(os.path.join(folder, "stderr"), "a+", encoding="utf-8", errors="replace")

    def __enter__(self) -> "Started":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that __exit__ runs then too
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            for pid in tree(process.pid):  # some have their own session
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ProcessLookupError):  # descendants of a process that has ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()
        self._errors.close()

    def start(self, *command: str, has_output: bool = True) -> subprocess.Popen:
        """Start a program; without ``has_output``, its stdout goes to the file of its stderr."""
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
        """Wait for the end of a process; return its output. If it or another process fails, exit."""
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
        """Exit with the output of a process, and the stderr of all of them."""
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
    """Run one master and its workers to the end; return the master's marks, one per round.

    Parameters
    ----------
    master : list of str
        Module and arguments.
    folder : str
        Receives their stderr.
    python : str
        The interpreter for all.
    bytes_moved : dict, optional
        Receives the bytes at their sockets, ``up`` and ``down``; counting slows the run down.
    by : callable(worker_id), optional
        Returns the prefix of the command of a worker, or of the master, whose id here is -1.
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
    """Return an unused local port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
