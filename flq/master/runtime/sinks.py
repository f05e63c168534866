"""The sinks of a run: child processes that receive messages on its events, and cannot delay it.

A message to a sink is a line in a queue, which a thread writes to the child. A child that reads no lines, or exits too
early, is restarted after a pause, with all rounds so far.
"""

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Deque, List, Mapping, Optional, Sequence, Tuple

from ...console.screen import printable
from ...core.settings import Settings
from ...errors import TooManyRequests
from ...sinks.messages import Began, Ended, Message, Round, line_of
from ..http.limits import Buckets, Rate
from .child_process import begin

logger = logging.getLogger(__name__)

MOST_WAITING = 1000  # lines; a child that is farther behind is restarted
STUCK_S = 120.0  # longest time that a child may not read waiting lines
PAUSE_S = 300.0  # between the end of a child and its restart
PIECE = 65536  # bytes that are written at a time
FAREWELL_S = 5.0  # time limit for a child to exit after it has closed its input, and for its last output
MOST_SAID = Rate(1.0, 200.0)  # lines of a child's output for the log; a child that writes more is killed
LONGEST_SAID = 1000  # bytes of such a line; a longer one is split


class Sink:
    """One sink and its child process.

    Parameters
    ----------
    name : str
        Its name in the log.
    argv : sequence of str
        The child's command line, after the interpreter.
    environment : mapping, optional
        The child's variables in addition to those of this process.
    clock : callable()
        Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Optional[Mapping[str, str]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._argv, self._environment, self._clock = list(argv), dict(environment or {}), clock
        self._changed = threading.Condition()
        self._lines: Deque[Tuple[bool, bytes]] = deque()  # (whether Began would include it, line)
        self._child: Optional["subprocess.Popen[bytes]"] = None
        self._is_behind = self._is_closing = False
        self._make_began: Callable[[], Began] = lambda: Began("", Settings(), "", [])
        self._thread = threading.Thread(target=self._run, name="sink-" + name, daemon=True)

    def start(self, make_began: Callable[[], Began]) -> None:
        """Start the thread; ``make_began`` makes the first message to each child."""
        self._make_began = make_began
        self._thread.start()

    def tell(self, message: Message) -> None:
        """Queue a message without waiting."""
        line = line_of(message)
        with self._changed:
            if len(self._lines) >= MOST_WAITING:
                self._lines.clear()
                self._is_behind = True
            self._lines.append((isinstance(message, Round), line))
            self._changed.notify()

    def begin_closing(self) -> None:
        """Let the child finish its messages; there will be no more."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Let the child finish its messages within a time limit, then kill it."""
        self.begin_closing()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                logger.warning("%s: not finished after %.0f s, killed", self.name, timeout_s)
            while self._thread.is_alive():  # it may start another child
                if self._child is not None:
                    self._child.kill()
                self._thread.join(1.0)

    # -- the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        is_last = False
        while not is_last:
            try:
                self._watch()
            except OSError as error:
                logger.warning("%s cannot be started: %s", self.name, error.strerror or error)
            except Exception:  # a bug, or no thread available: the next attempt may succeed
                logger.exception("%s has failed", self.name)
            with self._changed:
                is_closing = self._is_closing
                self._changed.wait_for(lambda: self._is_closing, PAUSE_S)
                is_last = self._is_closing and (is_closing or not self._lines)  # one more attempt for unsent lines

    def _watch(self) -> None:
        """Start a child and send it all messages, until it exits or this sink closes."""
        self._child = child = begin(
            self._argv, self._environment, subprocess.DEVNULL, start_new_session=True
        )  # not interrupted by Ctrl-C
        reader = threading.Thread(target=self._log, args=(child,), name=self.name + "-stderr", daemon=True)
        try:
            reader.start()
            os.set_blocking(child.stdin.fileno(), False)
            with self._changed:
                self._is_behind = False
                self._lines = deque(item for item in self._lines if not item[0])
            why = self._feed(child, line_of(self._make_began()))
            with suppress(OSError):
                child.stdin.close()
            if why is None:
                child.wait()
            else:
                logger.warning("%s %s; the run continues without it", self.name, why)
        finally:
            with suppress(OSError):  # the child and the processes that it has started, if any still run
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            with suppress(OSError):
                child.stdin.close()
            if reader.is_alive():  # a process that has left the group may keep stderr open forever
                reader.join(FAREWELL_S)

    def _feed(self, child: Any, line: Optional[bytes]) -> Optional[str]:
        """Write lines until the last one; return what is wrong with the child, if anything."""
        readiness = select.poll()  # unlike select(), without a limit on descriptors
        readiness.register(child.stdin, select.POLLOUT)
        while line is not None:
            rest = memoryview(line)
            since = self._clock()
            while rest:
                if readiness.poll(1000):
                    try:
                        rest, since = rest[os.write(child.stdin.fileno(), rest[:PIECE]) :], self._clock()
                    except BlockingIOError:
                        pass
                    except OSError:  # the child has closed its input
                        with suppress(subprocess.TimeoutExpired):
                            child.wait(FAREWELL_S)
                        return (
                            "has closed its input"
                            if child.returncode is None
                            else "has ended with exit code %d" % child.returncode
                        )
                elif self._clock() - since > STUCK_S:
                    return "has read nothing for %.0f s" % STUCK_S
            line = self._next(child)
        if self._is_behind:
            return "is too far behind"
        return None if child.poll() is None or self._is_closing else "has ended with exit code %d" % child.returncode

    def _next(self, child: Any) -> Optional[bytes]:
        """Wait for the next line; return None after the last one, or if the child is too far behind or has exited."""
        with self._changed:
            while not self._lines and not self._is_closing and child.poll() is None:
                self._changed.wait(1.0)
            can_take = self._lines and not self._is_behind and child.poll() is None
            return self._lines.popleft()[1] if can_take else None

    def _log(self, child: Any) -> None:
        """Log a child's stderr without control characters; kill a child that floods the log."""
        said = Buckets(MOST_SAID)
        with child.stderr as stream:
            for line in iter(lambda: stream.readline(LONGEST_SAID), b""):
                try:
                    said.take(self.name)
                except TooManyRequests:
                    logger.warning("%s writes too much to the log, killed", self.name)
                    return child.kill()
                logger.info("%s: %s", self.name, printable(line.decode("utf-8", "replace").rstrip()))


class Sinks:
    """All sinks of a run; no method but :meth:`close` waits."""

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks: List[Sink] = list(sinks)
        self._has_ended = False

    def start(self, make_began: Callable[[], Began]) -> None:
        """Start them all."""
        for sink in self._sinks:
            sink.start(make_began)

    def tell(self, message: Message) -> None:
        """Send a message to all sinks; log an error in it."""
        self._has_ended = self._has_ended or isinstance(message, Ended)
        for sink in self._sinks:
            try:
                sink.tell(message)
            except Exception:  # a value that JSON lacks: a bug, which must not affect the run
                logger.exception("a message to %s is lost", sink.name)

    @property
    def has_ended(self) -> bool:
        """Whether the message on the end has been sent."""
        return self._has_ended

    def close(self, timeout_s: float) -> None:
        """Let all sinks finish within one time limit."""
        until = time.monotonic() + timeout_s
        for sink in self._sinks:
            sink.begin_closing()
        for sink in self._sinks:
            sink.close(max(0.0, until - time.monotonic()))
