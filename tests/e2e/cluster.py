"""Masters and workers as real processes, in a folder of their own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from nursery import Child

from flq.config_file import load_config
from flq.core.layout import flatten
from flq.core.settings import Settings
from flq.tokens import default_path, read_tokens
from flq.training.frameworks import make_task

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_S, RUN_S = (
    60.0,
    180.0,
)  # far beyond their durations, even beside other tests: the end waits up to 60 s for figures
BITS = ("mode=bbit",)  # what the tests begin with: most are about exact sizes


class Program:
    """A process whose lines (stdout and stderr together) are read as they arrive.

    The nursery forks it, unless it must start like a user's, with another Python, or by another command.

    Parameters
    ----------
    by : sequence of str, optional
        Prefix of the command, such as ``ip netns exec NAME``; it must exec Python, so that signals reach it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: str,
        is_cold: bool = False,
        python: str = sys.executable,
        by: Sequence[str] = (),
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment.update(PYTHONUNBUFFERED="1", CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
        self._changed = threading.Condition()
        self._lines = []  # type: List[str]
        self._ended = False
        is_own = is_cold or python != sys.executable or by
        self.process = start(argv, folder, environment, [*by, python]) if is_own else Child(argv, folder, environment)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Its output so far."""
        with self._changed:
            return "".join(self._lines)

    @property
    def n_lines(self) -> int:
        """The number of lines printed so far."""
        with self._changed:
            return len(self._lines)

    def wait_for(self, pattern: str, after: int = 0, timeout_s: float = START_S) -> "re.Match[str]":
        """Wait until a line contains the pattern, not counting the first ``after`` lines; return the match."""
        found = []  # type: List[Any]

        def is_there() -> bool:
            matches = (re.search(pattern, line) for line in self._lines[after:])
            found[:] = [match for match in matches if match][:1]
            return bool(found) or self._ended

        with self._changed:
            self._changed.wait_for(is_there, timeout_s)
        assert found, "%r did not appear; there is only:\n%s" % (pattern, self.text)
        return found[0]

    def wait(self, timeout_s: float = RUN_S) -> int:
        """Wait for its end; return the exit code."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError("still running after %.0f s:\n%s" % (timeout_s, self.text)) from None
        self._reader.join(timeout_s)
        return code

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(RUN_S)
        self._reader.join(RUN_S)  # which also needs the end of its children: they hold the pipe
        if not self._reader.is_alive():
            self.process.stdout.close()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def start(
    argv: Sequence[str], folder: str, environment: Dict[str, str], python: Sequence[str]
) -> "subprocess.Popen[str]":
    """Start this program with a new Python."""
    return subprocess.Popen(
        list(python) + list(argv),
        cwd=folder,
        env=environment,
        bufsize=1,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )


class Master(Program):
    """A master that serves on a free port."""

    def __init__(
        self, argv: Sequence[str], folder: str, results_dir: str, is_cold: bool = False, by: Sequence[str] = ()
    ) -> None:
        super().__init__(argv, folder, is_cold, by=by)
        self.folder, self.results_dir = folder, results_dir
        self.port = 0

    def wait_until_ready(self) -> "Master":
        """Wait for the line with the port."""
        self.port = int(self.wait_for(r"FLQ master ready on https?://.*:(\d+) \(run ").group(1))
        return self

    def tokens(self) -> Dict[str, str]:
        """Return the tokens that it has made, by name."""
        return read_tokens(default_path(self.folder))

    def files(self, ending: str) -> List[str]:
        """Return the result files with a suffix."""
        return sorted(
            os.path.join(folder, name)
            for folder, _, names in os.walk(self.results_dir)
            for name in names
            if name.endswith(ending)
        )

    def model(self, settings: Settings) -> np.ndarray:
        """Return the saved model as one vector."""
        (path,) = self.files("model.npz")
        layout = make_task(settings).layout
        with np.load(path, allow_pickle=False) as tensors:
            return flatten([tensors[tensor.name] for tensor in layout.tensors], layout)

    def sheets(self) -> Dict[str, List[tuple]]:
        """Return the rows of each sheet of the workbook, with the values of formulas."""
        from openpyxl import load_workbook

        (path,) = self.files(".xlsx")
        workbook = load_workbook(path, data_only=True)
        return {sheet.title: [tuple(row) for row in sheet.iter_rows(values_only=True)] for sheet in workbook}

    def table(self, sheet: str) -> List[Dict[str, Any]]:
        """Return a sheet's rows by the headings of their columns, without totals."""
        heading, *rows = self.sheets()[sheet]
        return [dict(zip(heading, row)) for row in rows if row[0] != "total"]

    def summary(self) -> Dict[str, Any]:
        """Return the sheet Summary."""
        return dict(row[:2] for row in self.sheets()["Summary"])


class Cluster:
    """Starts programs in a copy of the project made of links, and ends those still running.

    Logs, results and state are in the copy, whose ``flq`` is the repository's own.

    Attributes
    ----------
    is_cold : bool
        Whether programs start with a new Python, like a user's.
    """

    is_cold = False

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._programs = []  # type: List[Program]
        os.makedirs(folder, exist_ok=True)
        for name in ("flq", "flq_master.py", "flq_worker.py", "flq_config.json"):
            os.symlink(os.path.join(REPOSITORY, name), os.path.join(folder, name))

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start_master(
        self, *overrides: str, flags: Sequence[str] = (), port: int = 0, name: str = "results", by: Sequence[str] = ()
    ) -> Master:
        """Start a master; it may not be ready yet."""
        results_dir = os.path.join(self.folder, name)
        argv = ["flq_master.py", "--host", "127.0.0.1", "--port", str(port)] + list(flags)
        begun_with = ("report.results_dir=" + results_dir, "report.figure_every=0")  # only few tests are about figures
        for override in begun_with + (() if "--config" in flags else BITS) + overrides:
            argv += ["--set", override]
        master = Master(argv, self.folder, results_dir, self.is_cold, by)
        self._programs.append(master)
        return master

    def master(
        self, *overrides: str, flags: Sequence[str] = (), port: int = 0, name: str = "results", by: Sequence[str] = ()
    ) -> Master:
        """Start a master and wait until it is ready."""
        return self.start_master(*overrides, flags=flags, port=port, name=name, by=by).wait_until_ready()

    def worker(
        self,
        worker_id: int,
        port: int,
        state: Optional[str] = None,
        flags: Sequence[str] = (),
        python: str = sys.executable,
        by: Sequence[str] = (),
    ) -> Program:
        """Start a worker."""
        state_dir = os.path.join(self.folder, "state", state or "worker%d" % worker_id)
        program = Program(
            [
                "flq_worker.py",
                "--worker_id",
                str(worker_id),
                "--master_ip",
                "127.0.0.1",
                "--port",
                str(port),
                "--state_dir",
                state_dir,
            ]
            + list(flags),
            self.folder,
            self.is_cold,
            python,
            by,
        )
        self._programs.append(program)
        return program

    def workers(self, worker_ids: Sequence[int], port: int) -> List[Program]:
        """Start several workers."""
        return [self.worker(worker_id, port) for worker_id in worker_ids]

    def close(self) -> None:
        """End every program that still runs."""
        for program in reversed(self._programs):
            program.close()


def settings_of(*overrides: str) -> Settings:
    """Return the settings of a master with these overrides."""
    return load_config(os.path.join(REPOSITORY, "flq_config.json"), BITS + overrides)


def end_well(master: Master, workers: Sequence[Program], timeout_s: float = RUN_S) -> None:
    """Wait until all have exited with 0."""
    for program in list(workers) + [master]:
        code = program.wait(timeout_s)
        assert code == 0 and "Traceback" not in program.text, program.text


def children_of(pid: int) -> List[int]:
    """Return the process ids of a process's children."""
    children = []  # type: List[int]
    for task in os.listdir("/proc/%d/task" % pid):  # a child belongs to the thread that started it
        with suppress(FileNotFoundError), open("/proc/%d/task/%s/children" % (pid, task)) as stream:  # it has ended
            children += map(int, stream.read().split())
    return children


def free_port() -> int:
    """Return a port that was just free."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def ask(master: Master, path: str, method: str = "GET", headers: Optional[Dict[str, str]] = None) -> Dict[str, Any]:
    """Return the master's JSON response; by default, as its operator."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    if headers is None:
        headers = {"Authorization": "Bearer " + master.tokens()["operator"]}
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (master.port, path), method=method, headers=headers)
    with opener.open(request, timeout=START_S) as answer:
        return json.loads(answer.read().decode("utf-8"))


def stop(master: Master) -> Dict[str, Any]:
    """POST /stop; return the response."""
    return ask(master, "/stop", "POST")
