"""Draws lines and a bar on a terminal in a separate thread, so that no other thread waits for the terminal.

Other threads queue their lines. A terminal that blocks (Ctrl-S, a slow link) delays the drawing thread only. If the
terminal disappears, nothing is written to it any more, and the program continues.
"""

import os
import select
import threading
import time
from collections import deque
from typing import Any, List, Mapping, Optional, TextIO, Union

from .progress import Progress

TICK_S = 1.0  # interval at which the times at the bottom are updated
MOST_LINES = 10000  # queued lines while the terminal blocks
PATIENCE_S = 2.0  # how long the end of a program waits for the terminal
ERASE = "\r\x1b[K"  # erase the cursor's line


class Terminal:
    """The file behind a terminal; writing to it never raises."""

    def __init__(self, fd: int, encoding: str) -> None:
        self._fd, self._encoding = fd, encoding
        self._is_gone = False
        self.is_ascii = not encoding.lower().replace("-", "").startswith("utf8")

    @property
    def n_columns(self) -> int:
        """Current width in columns."""
        try:
            return os.get_terminal_size(self._fd).columns or 80
        except OSError:
            return 80

    def write(self, text: str) -> None:
        """Write a text while the terminal exists."""
        data = text.encode(self._encoding, "replace")
        while data and not self._is_gone:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # another process has made it non-blocking
                select.select([], [self._fd], [], TICK_S)
            except OSError:
                self._is_gone = True


def terminal_of(stream: TextIO, environ: Mapping[str, str]) -> Optional[Terminal]:
    """Return the terminal of a stream; None if plain lines are appropriate.

    No colours are used, so NO_COLOR has nothing to turn off.
    """
    try:
        if not stream.isatty() or environ.get("TERM", "dumb") in ("", "dumb"):
            return None
        import tqdm.utils  # noqa: F401 - draws the bar; old environments lack it
    except (AttributeError, ValueError, ImportError):  # None, or a closed stream
        return None
    return Terminal(stream.fileno(), stream.encoding or "ascii")


class Drawer:
    """Shows lines on a terminal, above the bar that they update."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._progress = Progress()
        self._has_bottom = False
        self._lines: Any = deque()  # str: a line; Event: set when reached; None: the end
        self._n_lost = 0
        # A lock that wakes the thread when it is released: unlike a Condition, a signal handler may use it safely.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        """Queue one or more lines."""
        if len(self._lines) < MOST_LINES:
            self._hand_over(text)
        else:
            self._n_lost += 1

    def wait_until_shown(self) -> None:
        """Wait until all lines are shown, for lines that appear in no log."""
        reached = threading.Event()
        self._hand_over(reached)
        while self._thread.is_alive() and not reached.wait(TICK_S):
            pass

    def close(self, timeout_s: Optional[float] = PATIENCE_S) -> None:
        """Show pending lines and stop; idempotent."""
        self._hand_over(None)
        self._thread.join(timeout_s)

    def _hand_over(self, item: Union[str, threading.Event, None]) -> None:
        self._lines.append(item)
        try:
            self._bell.release()
        except RuntimeError:  # already released
            pass

    def _run(self) -> None:
        while True:
            self._bell.acquire(timeout=TICK_S)
            reached: List[threading.Event] = []
            ends = self._draw(reached)
            for event in reached:
                event.set()
            if ends:
                return

    def _draw(self, reached: List[threading.Event]) -> bool:
        """Show all queued lines at once; return whether the stream has ended."""
        now, pieces, ends = time.monotonic(), [], False
        while self._lines and not ends:
            item = self._lines.popleft()
            if item is None:
                ends = True
            elif isinstance(item, threading.Event):
                reached.append(item)
            elif self._progress.take(printable(item), now):
                if self._progress.is_complete:
                    pieces += [self._bottom(now) + "\n"] if self._progress.is_worth_keeping else []
                    self._progress.clear_bar()
            else:
                pieces += [printable(line) + "\n" for line in item.splitlines() or [""]]
        if self._n_lost:
            pieces.append("(%d lines were not shown)\n" % self._n_lost)
            self._n_lost = 0
        bottom = self._bottom(now, ends)
        if ends and bottom:
            bottom = bottom + "\n" if self._progress.is_worth_keeping else ""
        text = "".join(pieces) + bottom
        if text or self._has_bottom:
            self._terminal.write((ERASE if self._has_bottom else "") + text)
        self._has_bottom = bool(bottom)
        return ends

    def _bottom(self, now: float, is_last: bool = False) -> str:
        return self._progress.bottom(self._terminal.n_columns, now, self._terminal.is_ascii, is_last)


def printable(text: str) -> str:
    """Return a text with control characters escaped; it may come from a worker."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text.expandtabs()
    )


def drawer_of(stream: TextIO, environ: Mapping[str, str]) -> Optional[Drawer]:
    """Return the screen of a stream's terminal; None if plain lines are appropriate."""
    terminal = terminal_of(stream, environ)
    return None if terminal is None else Drawer(terminal)
