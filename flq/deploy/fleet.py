"""Runs work on all hosts in parallel, with a line and a log per host; a failed host does not affect others."""

import glob
import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Callable, Dict, Optional, Sequence

from ..errors import FlqError
from ..leftovers import hold, remove_leftovers
from .hosts import Host
from .release import read_code
from .reporter import Reporter
from .ssh import Connection, DryConnection

MOST_FAILURES = 99  # in an exit code
WAKE_S = 1.0  # maximum delay until a signal is handled

Work = Callable[[Connection, Host], Any]


class Fleet:
    """The hosts of a cluster.

    Parameters
    ----------
    hosts : list of Host
    project_dir : str
        Contains scripts/board.sh and logs/.
    jobs : int
        Maximum number of hosts at the same time.
    is_dry : bool
        Print commands instead of running them.

    Attributes
    ----------
    failures : dict
        {name of a failed host: reason}.
    """

    def __init__(self, hosts: Sequence[Host], project_dir: str, jobs: int, is_dry: bool) -> None:
        self.hosts, self.is_dry = list(hosts), is_dry
        self.failures: Dict[str, str] = {}
        self._jobs = 1 if is_dry else jobs  # in order, so that the output is readable
        self._stamp = time.strftime("%Y%m%d_%H%M%S")
        self._logs = os.path.join(project_dir, "logs")
        self._reporter = Reporter(is_dry)
        self._warning, self._has_warned = threading.Lock(), False  # about a log that cannot be written
        script = read_code(os.path.join(project_dir, "scripts", "board.sh"))
        remove_leftovers(os.path.join(glob.escape(tempfile.gettempdir()), "flq-ssh-*"), are_folders=True)
        self._sockets = tempfile.mkdtemp(prefix="flq-ssh-")  # short, because a socket's path has at most 107 bytes
        self._held = hold(self._sockets)
        self._connections = {host.name: self._connect(host, script) for host in self.hosts}

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: Any) -> None:
        for connection in self._connections.values():
            connection.close()
        shutil.rmtree(self._sockets, ignore_errors=True)
        os.close(self._held)
        self._reporter.close()

    @property
    def exit_code(self) -> int:
        """Number of failed hosts."""
        return min(len(self.failures), MOST_FAILURES)

    def log_of(self, host: Host) -> str:
        """Return the path of a host's log."""
        return os.path.join(self._logs, "deploy_%s_%s.log" % (host.name, self._stamp))

    def say(self, text: str) -> None:
        """Print a complete line; safe from any thread."""
        self._reporter.say(text)

    def tell(self, host: Host, text: str) -> None:
        """Print the current work of a host, except in a dry run."""
        if not self.is_dry:
            self.say("%-24s ...     %s" % (host.name, text))

    def each(
        self,
        work: Work,
        describe: Optional[Callable[[Host, Any], str]] = None,
        hosts: Optional[Sequence[Host]] = None,
        jobs: Optional[int] = None,
    ) -> Dict[str, Any]:
        """Run ``work`` on all hosts that have not failed; return the results by host, without those that fail now.

        Parameters
        ----------
        work : callable(connection, host)
            Raises FlqError or OSError if it fails.
        describe : callable(host, result), optional
            Returns the text of a host's line; None = print a line only for failures.
        hosts : list of Host, optional
            None = all.
        jobs : int, optional
            Maximum number of hosts at the same time; None = that of the fleet.
        """
        chosen = [host for host in (self.hosts if hosts is None else hosts) if host.name not in self.failures]
        results: Dict[str, Any] = {}
        if describe is not None:
            self._reporter.begin(len(chosen))
        with ThreadPoolExecutor(max(1, min(jobs or self._jobs, len(chosen)))) as pool:
            futures: Dict["Future[Any]", Host] = {}
            try:
                for host in chosen:
                    futures[pool.submit(work, self._connections[host.name], host)] = host
                pending = set(futures)
                while pending:  # wait briefly: a signal that arrives just before a wait is handled after it
                    done, pending = wait(pending, WAKE_S, FIRST_COMPLETED)
                    for future in done:
                        self._note(futures[future], future, results, describe)
            except BaseException:  # Ctrl-C: start nothing new, and end running steps
                for future in futures:
                    future.cancel()
                for connection in self._connections.values():
                    connection.close()
                raise
        return results

    def waiting(self, n_here: int, n_wanted: int) -> None:
        """Report how many of the expected workers have joined."""
        self._reporter.waiting(n_here, n_wanted)

    def fail(self, host: Host, reason: str) -> None:
        """Record that a host has failed, and print a line."""
        self.failures[host.name] = reason
        where = "" if self.is_dry else "; log: %s" % os.path.relpath(self.log_of(host))
        self.say("%-24s FAILED  %s%s" % (host.name, reason, where))

    def _note(
        self, host: Host, future: "Future[Any]", results: Dict[str, Any], describe: Optional[Callable[[Host, Any], str]]
    ) -> None:
        self._reporter.end(host.name, future.exception() is None)
        try:
            results[host.name] = future.result()
        except (FlqError, OSError) as error:
            self.fail(host, str(error))
        else:
            if describe is not None and not self.is_dry:
                self.say("%-24s ok      %s" % (host.name, describe(host, results[host.name])))

    def _connect(self, host: Host, script: bytes) -> Connection:
        if self.is_dry:
            return DryConnection(host, lambda text: self.say("[%s] %s" % (host.name, text)))
        return Connection(
            host,
            script,
            self._sockets,
            lambda text: self._log(host, text),
            lambda step: self._reporter.step(host.name, step),
        )

    def _log(self, host: Host, text: str) -> None:
        try:
            os.makedirs(self._logs, exist_ok=True)
            with open(self.log_of(host), "a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write("%s %s\n" % (time.strftime("%H:%M:%S"), text.rstrip()))
        except OSError as error:
            with self._warning:
                has_warned, self._has_warned = self._has_warned, True
            if not has_warned:
                self.say(
                    "the log %s cannot be written: %s; the deployment continues" % (self.log_of(host), error.strerror)
                )
