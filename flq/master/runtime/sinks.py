"""The sinks of a run: child processes that are told what happens, and cannot hold anything up.

Telling a sink puts a line into a queue; a thread of its own writes it to the child. A child that takes no lines, or
ends too early, is replaced after a while, and told all that has happened.
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

MOST_WAITING = 1000  # lines; a child that is so far behind is replaced, and told all that has happened
STUCK_S = 120.0  # how long a child may take no line although there are some
PAUSE_S = 300.0  # between the end of a child and the next that takes its place
PIECE = 65536  # bytes that are written at a time
FAREWELL_S = 5.0  # how long a child may take to end when it reads no more, and its last words to come
MOST_SAID = Rate(1.0, 200.0)  # lines of a child for the log, a second and at once; one that says more is ended
LONGEST_SAID = 1000  # bytes of such a line; what is longer is several


class Sink:
    """One child process.

    Parameters
    ----------
    name : str
        What the log calls it.
    argv : sequence of str
        Its command line, after the interpreter.
    environment : mapping, optional
        Variables that it gets beside those of this process.
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
        self._lines: Deque[Tuple[bool, bytes]] = deque()  # whether Began would have it too
        self._child: Optional["subprocess.Popen[bytes]"] = None
        self._is_behind = self._is_closing = False
        self._make_began: Callable[[], Began] = lambda: Began("", Settings(), "", [])
        self._thread = threading.Thread(target=self._run, name="sink-" + name, daemon=True)

    def start(self, make_began: Callable[[], Began]) -> None:
        """Begin; ``make_began`` says what each child is told first."""
        self._make_began = make_began
        self._thread.start()

    def tell(self, message: Message) -> None:
        """Have a message told; never waits."""
        line = line_of(message)
        with self._changed:
            if len(self._lines) >= MOST_WAITING:
                self._lines.clear()
                self._is_behind = True
            self._lines.append((isinstance(message, Round), line))
            self._changed.notify()

    def begin_closing(self) -> None:
        """Let the child finish with what it has been told; more does not come."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Let the child finish with what it has been told, but no longer than that."""
        self.begin_closing()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                logger.warning("%s: not done after %.0f s, it is ended", self.name, timeout_s)
            while self._thread.is_alive():  # it may be about to begin another
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
                logger.warning("%s cannot begin: %s", self.name, error.strerror or error)
            except Exception:  # a bug, or a thread that cannot be had: the next may do better
                logger.exception("%s has failed", self.name)
            with self._changed:
                is_closing = self._is_closing
                self._changed.wait_for(lambda: self._is_closing, PAUSE_S)
                is_last = self._is_closing and (is_closing or not self._lines)  # what it was not told: one more try

    def _watch(self) -> None:
        """Begin a child and tell it all, until it ends or this one closes."""
        self._child = child = begin(
            self._argv, self._environment, subprocess.DEVNULL, start_new_session=True
        )  # Ctrl-C is for the master
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
                logger.warning("%s %s; the run goes on without it", self.name, why)
        finally:
            with suppress(OSError):  # it, and whatever it has begun; most often all have ended
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            with suppress(OSError):
                child.stdin.close()
            if reader.is_alive():  # who has left the group may keep stderr open for ever
                reader.join(FAREWELL_S)

    def _feed(self, child: Any, line: Optional[bytes]) -> Optional[str]:
        """Write lines until there is nothing more to come; return what is wrong with the child, if anything."""
        readiness = select.poll()  # which takes descriptors of any number
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
                    except OSError:  # nobody reads
                        with suppress(subprocess.TimeoutExpired):
                            child.wait(FAREWELL_S)
                        return (
                            "reads no more"
                            if child.returncode is None
                            else "has ended with exit code %d" % child.returncode
                        )
                elif self._clock() - since > STUCK_S:
                    return "takes nothing for %.0f s" % STUCK_S
            line = self._next(child)
        if self._is_behind:
            return "is too far behind"
        return None if child.poll() is None or self._is_closing else "has ended with exit code %d" % child.returncode

    def _next(self, child: Any) -> Optional[bytes]:
        """Wait for the next line; None if there is none any more, or the child is behind or has ended."""
        with self._changed:
            while not self._lines and not self._is_closing and child.poll() is None:
                self._changed.wait(1.0)
            can_take = self._lines and not self._is_behind and child.poll() is None
            return self._lines.popleft()[1] if can_take else None

    def _log(self, child: Any) -> None:
        """Put what a child says into the log, as text that does nothing; end one that floods it."""
        said = Buckets(MOST_SAID)
        with child.stderr as stream:
            for line in iter(lambda: stream.readline(LONGEST_SAID), b""):
                try:
                    said.take(self.name)
                except TooManyRequests:
                    logger.warning("%s says too much, it is ended", self.name)
                    return child.kill()
                logger.info("%s: %s", self.name, printable(line.decode("utf-8", "replace").rstrip()))


class Sinks:
    """All sinks of a run; telling them never waits."""

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks: List[Sink] = list(sinks)
        self._has_ended = False

    def start(self, make_began: Callable[[], Began]) -> None:
        """Start them all."""
        for sink in self._sinks:
            sink.start(make_began)

    def tell(self, message: Message) -> None:
        """Tell them all; what is wrong with a message is logged."""
        self._has_ended = self._has_ended or isinstance(message, Ended)
        for sink in self._sinks:
            try:
                sink.tell(message)
            except Exception:  # a value that JSON does not have: a bug, but none of the run's business
                logger.exception("%s is not told", sink.name)

    @property
    def has_ended(self) -> bool:
        """Whether they have been told of the end."""
        return self._has_ended

    def close(self, timeout_s: float) -> None:
        """Let them finish, all within that time."""
        until = time.monotonic() + timeout_s
        for sink in self._sinks:
            sink.begin_closing()
        for sink in self._sinks:
            sink.close(max(0.0, until - time.monotonic()))
