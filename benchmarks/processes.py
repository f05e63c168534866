"""A contestant: one master process and its worker processes, run to the end.

A master prints its address in its first line, ``http://HOST:PORT``, and in its last one JSON: what it noted at the end
of each round (benchmarks.peak.mark). A worker prints, as its last line, the CPU seconds that it had used
in each round, as JSON.
"""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Optional

from benchmarks.forwarder import Forwarder

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUN_S = 3600   # longer than any run takes, however busy the machine is

Marks = List[Dict[str, Any]]
Commands = Callable[[str], List[List[str]]]  # the master's port -> the modules and arguments of all workers


def run(master: List[str], worker_commands: Commands, folder: str, python: str = sys.executable,
        bytes_moved: Optional[Dict[str, int]] = None) -> Marks:
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
    """
    environment = dict(os.environ, PYTHONPATH=PROJECT)
    processes: List[subprocess.Popen] = []
    with open(os.path.join(folder, "stderr"), "a+", encoding="utf-8") as errors, ExitStack() as stack:
        def start(*command: str) -> subprocess.Popen:
            process = subprocess.Popen([python, "-m", *command], stdout=subprocess.PIPE, stderr=errors,
                                       env=environment, cwd=PROJECT, text=True)
            processes.append(process)
            return process

        try:
            serving = start(*master)
            ready = re.search(r"http://[^:]+:(\d+)", serving.stdout.readline())
            output = None
            if ready:
                port = ready.group(1)
                forwarder = None if bytes_moved is None else stack.enter_context(Forwarder(int(port)))
                workers = [start(*command) for command in worker_commands(str(forwarder.port) if forwarder else port)]
                output = _output_of(serving, workers)
                if forwarder is not None:
                    bytes_moved.update(up=forwarder.up, down=forwarder.down)
            if output is None:
                errors.seek(0)
                sys.exit("%s failed:\n%s" % (" ".join(master), errors.read()))
            marks = json.loads(output.splitlines()[-1])
            for worker in workers:
                cpu_marks = json.loads(worker.communicate(timeout=RUN_S)[0].splitlines()[-1])
                for mark, cpu_s in zip(marks, cpu_marks):
                    mark["workers_cpu_s"] = mark.get("workers_cpu_s", 0.0) + cpu_s
            return marks
        finally:
            for process in processes:
                process.kill()
                process.wait()
                process.stdout.close()


def _output_of(serving: subprocess.Popen, workers: List[subprocess.Popen]) -> Optional[str]:
    """Wait for the master; return what it printed, or None if it or a worker has failed."""
    for _ in range(RUN_S):
        try:
            output = serving.communicate(timeout=1.0)[0]
            return output if serving.returncode == 0 else None
        except subprocess.TimeoutExpired:
            if any(worker.poll() for worker in workers):
                return None
    return None
