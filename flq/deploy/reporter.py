"""Prints the progress of the work on the hosts: lines and, in a terminal, a bar of hosts."""

import os
import sys
import threading
import time
from typing import Dict, NamedTuple, Optional

from ..console.screen import drawer_of

LONG = frozenset({"release", "wheelhouse", "environment", "switch", "start"})  # steps that may take long


class HostStep(NamedTuple):
    """The current step of a host and its start time."""

    name: str
    began: float


class Reporter:
    """Prints complete lines from any thread, and shows which hosts are working.

    At a terminal, a bar shows the hosts and their steps. Elsewhere, each long step has a line, host=NAME step=STEP
    state=begun|done|failed.

    Parameters
    ----------
    is_dry : bool
        Show no work, because a dry run does none.
    """

    def __init__(self, is_dry: bool) -> None:
        self._is_dry = is_dry
        self._drawer = None if is_dry else drawer_of(sys.stdout, os.environ)
        self._printing = threading.Lock()
        self._working: Dict[str, HostStep] = {}  # by the name of the host
        self._n_done, self._n_hosts = 0, 0  # of the current work on all hosts
        self._n_here: Optional[int] = None

    def say(self, text: str) -> None:
        """Print a text; return when it is printed."""
        if self._drawer is not None:
            self._drawer.put(text)
            self._drawer.wait_until_shown()
            return
        with self._printing:
            print(text, flush=True)

    def begin(self, n_hosts: int) -> None:
        """Start work on a number of hosts."""
        self._n_done, self._n_hosts = 0, n_hosts
        self._show_hosts()

    def step(self, host: str, name: str) -> None:
        """Record that a host begins a step, and has finished the previous one."""
        self._end_step(host, "done")
        self._working[host] = HostStep(name, time.monotonic())
        if name in LONG:
            self._tell("host=%s step=%s state=begun" % (host, name))
        self._show_hosts()

    def end(self, host: str, is_well: bool) -> None:
        """Record that a host is finished."""
        self._end_step(host, "done" if is_well else "failed")
        if self._n_hosts:
            self._n_done += 1
            self._show_hosts()
            if self._n_done == self._n_hosts:
                self._n_hosts = 0

    def waiting(self, n_here: int, n_wanted: int) -> None:
        """Set the number of expected workers that have joined."""
        if n_here != self._n_here:
            self._n_here = n_here
            line = "start=waiting_for_workers workers=%d/%d" % (n_here, n_wanted)
            self._tell(line)
            if self._drawer is not None:
                self._drawer.put(line)

    def close(self) -> None:
        """Print pending lines and remove the bar."""
        if self._drawer is not None:
            self._drawer.close(None)

    def _end_step(self, host: str, state: str) -> None:
        step = self._working.pop(host, None)
        if step is not None and step.name in LONG:
            self._tell(
                "host=%s step=%s state=%s seconds=%.1f" % (host, step.name, state, time.monotonic() - step.began)
            )

    def _tell(self, line: str) -> None:
        """Print a line that is needed only without a bar."""
        if self._drawer is None and not self._is_dry:
            self.say(line)

    def _show_hosts(self) -> None:
        if self._drawer is not None and self._n_hosts:
            working = ",".join("%s:%s" % (host, step.name) for host, step in sorted(self._working.copy().items()))
            self._drawer.put("hosts=%d/%d%s" % (self._n_done, self._n_hosts, " working=" + working if working else ""))
