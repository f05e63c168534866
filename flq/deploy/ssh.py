"""Runs steps of scripts/board.sh on a machine, by ssh or in a local shell.

It uses the OpenSSH client, and therefore the user's ~/.ssh/config, agent, keys and known hosts. One connection serves
all steps of a host.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import time
import zlib
from contextlib import suppress
from typing import IO, Any, BinaryIO, Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..addresses import split_port
from ..errors import FlqError
from .cluster import Access
from .framing import Cut, ReplyFrame
from .hosts import Host

CONNECT_S = 20
IDLE_S = 120  # an unused connection closes itself after this
LOST_S = 60  # a connection without any reply counts as lost after this

_UNINFORMATIVE = ("Connection to ", "Connection closed by UNKNOWN", "kex_exchange_identification:")

RECEIVES = {
    "release": "the code",
    "wheelhouse": "wheels",
    "environment": "its requirements",
    "unit": "the unit",
    "pack": "names of files",
}  # what follows the script on stdin, for a dry run

Stdin = Union[bytes, Callable[[IO[bytes]], None]]


class DeployError(FlqError):
    """A step on a host has failed; other hosts continue."""


class Result(NamedTuple):
    """The output of a step, with its start and end by the local clock."""

    output: str
    errors: str
    began: float = 0.0
    ended: float = 0.0

    @property
    def lines(self) -> List[str]:
        """The lines of its output."""
        return self.output.splitlines()

    def values(self) -> Any:
        """Return the first JSON object in its output.

        Raises
        ------
        DeployError
            If there is none.
        """
        decoder = json.JSONDecoder()
        for brace in re.finditer("{", self.output):
            with suppress(ValueError, RecursionError):
                return decoder.raw_decode(self.output, brace.start())[0]
        raise DeployError(
            "its reply contains no JSON; it has %d characters" % len(self.output)
        )  # the output may be secret


class Connection:
    """Runs steps on one host.

    Parameters
    ----------
    host : Host
    script : bytes
        scripts/board.sh.
    sockets : str
        A folder with a short path, for the sockets of open connections.
    log : callable(str)
        Gets every command and its output, without secrets.
    begin : callable(str)
        Gets the name of each step before it runs.

    Attributes
    ----------
    frame : ReplyFrame
        The marks around each output. Output written to an ``output`` keeps its marks, unless that is a file.
    """

    def __init__(
        self, host: Host, script: bytes, sockets: str, log: Callable[[str], None], begin: Callable[[str], None]
    ) -> None:
        self._host, self._script, self._log, self._begin = host, script, log, begin
        self.frame = ReplyFrame()
        self._socket = os.path.join(sockets, "%08x" % zlib.crc32(host.name.encode("utf-8")))
        self._is_open = False
        self._running: List["subprocess.Popen[bytes]"] = []
        self._ending = threading.Event()

    def run(
        self,
        step: str,
        *words: str,
        payload: Stdin = b"",
        timeout_s: float = 120.0,
        is_secret: bool = False,
        output: Optional[BinaryIO] = None,
    ) -> Result:
        """Run a step.

        Parameters
        ----------
        step, words : str
            Arguments of scripts/board.sh.
        payload : bytes or callable(stream)
            Sent on stdin after the script.
        timeout_s : float
        is_secret : bool
            Keep its output out of the log.
        output : stream, optional
            Receives the output instead of the result. A file is left at the start of the output.

        Raises
        ------
        DeployError
            If the host cannot be reached, or the step fails or takes too long.
        """
        self._begin(step)
        self._open()
        return self._execute(
            self.command(step, *words), self.frame.header + self._script, payload, timeout_s, is_secret, output
        )

    def send(self, step: str, *words: str, text: bytes, timeout_s: float = 120.0) -> Result:
        """Run a step with a text on stdin. Its length is sent too: a broken connection looks like the end of it."""
        return self.run(step, *words, str(len(text)), payload=text, timeout_s=timeout_s)

    def command(self, step: str, *words: str) -> List[str]:
        """Return the command that runs a step."""
        inner = ["bash", "-s", "--", step, *words]
        return (
            inner
            if self._host.is_local
            else [*ssh_command(self._host), "-S", self._socket, self._host.address, shlex.join(inner)]
        )

    def close(self) -> None:
        """Close the connection and everything that runs over it."""
        self._ending.set()
        for process in list(self._running):
            _end(process)
        if self._is_open and not self._host.is_local:
            self._is_open = False
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    ["ssh", "-S", self._socket, "-O", "exit", self._host.address],
                    timeout=10,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )

    def _open(self) -> None:
        """Log in once; the background ssh process serves all steps."""
        if not self._is_open and not self._host.is_local:
            self._execute(opening(self._host, self._socket), b"", b"", CONNECT_S * 3, False, None)
        self._is_open = True

    def _execute(
        self,
        command: List[str],
        script: bytes,
        payload: Stdin,
        timeout_s: float,
        is_secret: bool,
        output: Optional[BinaryIO],
    ) -> Result:
        self._log("$ " + shlex.join(command))
        # Files, not pipes: the background ssh process would keep a pipe open.
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as answer:
            began = time.time()
            code, is_late = self._wait(command, script, payload, timeout_s, errors, output or answer)
            ended = time.time()
            whole = [_read(answer), _read(errors)]
        cuts = [self.frame.cut(data) for data in whole]
        texts = [(data if cut is None else cut.inner).decode("utf-8", "replace") for data, cut in zip(whole, cuts)]
        if self._ending.is_set():
            raise DeployError("interrupted")
        self._log(
            "".join(
                [texts[0] if not is_secret else "(secret output, not logged)\n", texts[1], "(exit status %s)\n" % code]
            )
        )
        if is_late:
            raise DeployError("%s took more than %.0f s" % (_step_of(command), timeout_s))
        if code:
            raise DeployError(_reason(texts[1]) or "%s ended with status %d" % (_step_of(command), code))
        if script:
            self._require_whole(command, cuts if output is None else cuts[1:], output)
        return Result(texts[0], texts[1], began, ended)

    def _require_whole(self, command: List[str], cuts: Sequence[Optional[Cut]], output: Optional[BinaryIO]) -> None:
        """Reject a truncated reply of a step that did not fail."""
        if None in cuts:
            raise DeployError(
                (
                    "%s did not run, although its shell exited normally: a login script such as ~/.bashrc ends with "
                    "exit, reads stdin or starts another program"
                )
                % _step_of(command)
            )
        is_whole = all(cut.is_whole for cut in cuts)
        if output is not None and output.seekable():
            is_whole = self.frame.cut_file(output) and is_whole
        if not is_whole:
            raise DeployError("%s was cut off before its end" % _step_of(command))

    def _wait(
        self, command: List[str], script: bytes, payload: Stdin, timeout_s: float, errors: BinaryIO, answer: BinaryIO
    ) -> Tuple[int, bool]:
        """Run a command with script and payload on stdin; return its exit status and whether it timed out."""
        if self._ending.is_set():
            raise DeployError("interrupted")
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=errors,
            start_new_session=True,
            env=dict(os.environ, SSH_ASKPASS_REQUIRE="never"),
        )
        self._running.append(process)
        if self._ending.is_set():  # set since the check above
            _end(process)
        late = threading.Event()
        timer = threading.Timer(timeout_s, _end_late, (process, late))
        timer.daemon = True
        timer.start()
        try:
            with suppress(BrokenPipeError), process.stdin as stream:  # it need not read all of its input
                try:
                    stream.write(script)
                    payload(stream) if callable(payload) else stream.write(payload)
                except BrokenPipeError:
                    raise
                except OSError:  # of a file to send
                    _end(process)  # before it takes the truncated input as complete
                    raise
            return process.wait(), late.is_set()
        finally:
            timer.cancel()
            process.wait()
            self._running.remove(process)


class DryConnection(Connection):
    """Prints each command and its input instead of running it."""

    def __init__(self, host: Host, show: Callable[[str], None]) -> None:
        super().__init__(host, b"", "SOCKETS", show, lambda step: None)
        self._show = show

    def run(
        self,
        step: str,
        *words: str,
        payload: Stdin = b"",
        timeout_s: float = 120.0,
        is_secret: bool = False,
        output: Optional[BinaryIO] = None,
    ) -> Result:
        """Print a step without running it."""
        del timeout_s, is_secret, output
        if not self._is_open and not self._host.is_local:
            self._show(shlex.join(opening(self._host, self._socket)))
        self._is_open = True
        behind = " + " + RECEIVES.get(step, "a file") if payload else ""
        self._show("%s < scripts/board.sh%s" % (shlex.join(self.command(step, *words)), behind))
        return Result("", "")

    def close(self) -> None:
        """Do nothing: there is no connection."""


def ssh_command(host: Host) -> List[str]:
    """Return the ssh command with all options of a host, without its address."""
    access = host.access
    command = ["ssh", *_options(access)]
    if access.jump_host is not None:
        who, _, where = access.jump_host.rpartition("@")
        name, port = split_port(where)
        jump = ["ssh", *_options(access), "-W", "[%h]:%p"]
        jump += ["-p", port] if port else []
        jump += ["-l", who] if who else []
        # Not -J, which would not pass the options on.
        command += ["-o", "ProxyCommand=" + shlex.join([*jump, name.replace("%", "%%")])]
    command += ["-p", str(access.ssh_port)] if access.ssh_port is not None else []
    return command + (["-l", access.user] if access.user is not None else [])


def _options(access: Access) -> List[str]:
    options = [
        "-T",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=%d" % CONNECT_S,
        "-o",
        "ServerAliveInterval=15",
        "-o",
        "ServerAliveCountMax=%d" % (LOST_S // 15),
    ]
    if access.ssh_config is not None:
        options += ["-F", os.path.expanduser(access.ssh_config)]
    if access.ssh_key is not None:
        options += ["-i", os.path.expanduser(access.ssh_key), "-o", "IdentitiesOnly=yes"]
    return options


def opening(host: Host, socket: str) -> List[str]:
    """Return the command that opens the connection to a host."""
    return [
        *ssh_command(host),
        "-o",
        "ControlMaster=yes",
        "-o",
        "ControlPersist=%d" % IDLE_S,
        "-S",
        socket,
        host.address,
        "true",
    ]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a command and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


def _end_late(process: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    _end(process)


def _read(stream: BinaryIO) -> bytes:
    stream.seek(0)
    return stream.read()


def _step_of(command: Sequence[str]) -> str:
    return "the step " + (command[-1] if command[0] == "ssh" else shlex.join(command))[:80]


def _reason(errors: str) -> str:
    """Return the most informative lines of a failure: pip's errors and the last line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(_UNINFORMATIVE)] or lines
    if any("Host key verification failed" in line for line in lines):
        return "its host key is unknown: connect once by hand (ssh HOST), compare the key, and accept it"
    if any("Permission denied (" in line for line in lines):
        return "%s: install your key there with ssh-copy-id" % lines[-1]
    errors_of_pip = [line for line in lines if line.lower().startswith("error:")]
    return " ".join([lines[-1], *errors_of_pip[:1]]) if lines else ""
