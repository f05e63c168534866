"""Starts programs without the start of Python and its imports, which take longer than most of the tests' work.

A process that has only imported their modules forks a process per requested program, with its own pid, arguments,
folder, environment, output and end. TensorFlow is not among the imports.
"""

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from typing import Any, Dict, List, Optional, Sequence

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMPORTED = ("flq.master.program", "flq.worker.program", "flq.training.quadratic", "xlsxwriter")
LARGEST = 1 << 17  # bytes of a request
RECORD = 12  # bytes of a reported number: a pid or an exit code
BORN_S = 60.0

NURSERY = []  # type: List[socket.socket]
STARTING = threading.Lock()


class Child:
    """A forked program, with the interface of subprocess.Popen.

    Attributes
    ----------
    pid : int
    stdout : text stream
        Its output, including stderr.
    """

    def __init__(self, argv: Sequence[str], folder: str, environment: Dict[str, str]) -> None:
        self._code = None  # type: Optional[int]
        self._asking = threading.Lock()
        output, its_output = os.pipe()
        self._told, its_told = os.pipe()
        request = json.dumps([list(argv), folder, environment]).encode("utf-8")
        assert len(request) <= LARGEST, "arguments and environment of %d bytes" % len(request)
        try:
            socket.send_fds(nursery(), [request], [its_output, its_told])
        finally:
            os.close(its_output)
            os.close(its_told)
        self.stdout = os.fdopen(output, encoding="utf-8", errors="replace")
        self.pid = self._next_number(BORN_S)

    @property
    def returncode(self) -> Optional[int]:
        """Its exit code; None before a wait for its end."""
        return self._code

    def poll(self) -> Optional[int]:
        """Return its exit code, or None."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait for its end; return the exit code, or the negative number of the signal.

        Raises
        ------
        subprocess.TimeoutExpired
            If it still runs.
        """
        with self._asking:
            if self._code is None:
                self._code = self._next_number(timeout)
                os.close(self._told)
            return self._code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _next_number(self, timeout: Optional[float]) -> int:
        if not select.select([self._told], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("a program of the nursery", timeout or 0.0)
        return int(os.read(self._told, RECORD))


def nursery() -> socket.socket:
    """Return the socket for requests; its process is started at the first use."""
    with STARTING:
        if not NURSERY:
            asked, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            environment = dict(os.environ, PYTHONPATH=REPOSITORY, PYTHONUNBUFFERED="1", OPENBLAS_NUM_THREADS="1")
            process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), str(its_end.fileno())],
                stdin=subprocess.DEVNULL,
                env=environment,
                pass_fds=[its_end.fileno()],
            )
            its_end.close()
            NURSERY.append(asked)
            atexit.register(lambda: (asked.close(), process.wait()))
        return NURSERY[0]


# -- the process -------------------------------------------------------------------------------


def serve(asked: socket.socket) -> Optional[str]:
    """Fork a process per request; in a process that becomes a program, return its file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the tests
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for the keepers
    while True:
        request, fds, _, _ = socket.recv_fds(asked, LARGEST, 2)
        if not request:
            return None
        if os.fork() == 0:
            asked.close()
            return keep(json.loads(request.decode("utf-8")), *fds)
        for fd in fds:
            os.close(fd)


def keep(request: List[Any], output: int, told: int) -> str:
    """Fork the program and report it; returns only in the program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(told)
        return become(output, *request)
    os.close(output)
    os.write(told, b"%*d" % (RECORD, pid))
    _, status = os.waitpid(pid, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    os.write(told, b"%*d" % (RECORD, code))
    os._exit(0)


def become(output: int, argv: List[str], folder: str, environment: Dict[str, str]) -> str:
    """Set up this process as the start of Python would; return the program's file."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for fd in (1, 2):
        os.dup2(output, fd)
    os.close(output)
    sys.argv[:] = argv
    sys.path[0] = os.path.dirname(os.path.realpath(argv[0]))
    return argv[0]


def main() -> None:
    """Serve; then, in a program, run it."""
    for name in IMPORTED:
        importlib.import_module(name)
    program = serve(socket.socket(fileno=int(sys.argv[1])))
    if program is not None:
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
