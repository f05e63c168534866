"""Programs at a pseudo-terminal, and what a user at that terminal would see."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading

from waits import WAIT_S

TOKEN = re.compile("\x1b\\[K|[\r\n]|[^\x00-\x1f\x7f]", re.S)


def seen(text, n_columns):
    """Return the rows of a terminal of that width on which the text was written, without blanks at their ends.

    Anything except lines, carriage returns and the erasing of a line is an AssertionError.
    """
    rows, column, at = [[]], 0, 0
    while at < len(text):
        token = TOKEN.match(text, at)
        assert token, "a control character: %r" % text[at : at + 20]
        at = token.end()
        if token.group() == "\r":
            column = 0
        elif token.group() == "\n":
            rows.append([])
            column = 0
        elif token.group() == "\x1b[K":
            del rows[-1][column:]
        else:
            if column == n_columns:
                rows.append([])
                column = 0
            rows[-1] += [" "] * (column - len(rows[-1]))
            rows[-1][column : column + 1] = [token.group()]
            column += 1
    return ["".join(row).rstrip() for row in rows]


class Pseudo:
    """A pseudo-terminal of some columns, which keeps all text written to it.

    Attributes
    ----------
    slave : int
        The descriptor for a program.
    """

    def __init__(self, n_columns=80):
        self._master, self.slave = pty.openpty()
        self._changed = threading.Condition()
        self._data, self._ended = b"", False
        self._woken, self._waker = os.pipe()
        self._programs = []
        self.resize(n_columns)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for program in self._programs:
            program.kill()
            program.wait(WAIT_S)
        self.hang_up()

    def resize(self, n_columns):
        """Change its width."""
        self.n_columns = n_columns
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, n_columns, 0, 0))

    @property
    def text(self):
        """Everything written so far, with the programs' line ends."""
        with self._changed:
            return self._data.decode("utf-8").replace("\r\n", "\n")

    @property
    def rows(self):
        """The visible rows, from the first line on."""
        return seen(self.text, self.n_columns)

    def wait_for(self, pattern):
        """Wait until the text matches; return the match."""
        found = []

        def is_there():
            found[:] = [match for match in [re.search(pattern, self._data.decode("utf-8", "replace"))] if match]
            return found or self._ended

        with self._changed:
            self._changed.wait_for(is_there, WAIT_S)
        assert found, "%r was not written; there is only:\n%s" % (pattern, self.text)
        return found[0]

    def start(self, argv, outlives=False, **options):
        """Start a program with this terminal as stdin, stdout, stderr (by default) and controlling terminal.

        With ``outlives`` it ignores a hang-up, as if started by nohup.
        """

        def take():
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN if outlives else signal.SIG_DFL)

        for name in ("stdin", "stdout", "stderr"):
            options.setdefault(name, self.slave)
        self._programs.append(subprocess.Popen(argv, preexec_fn=take, pass_fds=[self.slave], **options))
        return self._programs[-1]

    def type(self, data):
        """Press keys."""
        os.write(self._master, data)

    def hang_up(self):
        """Close it, as when a window is closed: programs that still have it can not write any more."""
        if not self._ended:
            os.write(self._waker, b"x")
            self._reader.join(WAIT_S)
            for fd in (self._master, self.slave, self._woken, self._waker):
                os.close(fd)

    def _read(self):
        while True:
            ready, _, _ = select.select([self._master, self._woken], [], [])
            if self._master not in ready:  # all that was written has been read
                break
            with self._changed:
                self._data += os.read(self._master, 1 << 16)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
