"""Output streams that never raise: not if the terminal has closed, the disk is full or a name cannot be encoded.

Example
-------
>>> with text_of(SteadyFile("/dev/full", lambda error: print(error.strerror)), "ascii") as stream:
...     stream.write("a name: \\u4e2d\\n")
No space left on device
10
"""

import codecs
import errno
import io
import os
import select
import sys
from typing import Any, Callable, Tuple

NO_READER = (errno.EPIPE, errno.EIO)  # a pipe without a reader, a terminal that has been closed


class SteadyFile(io.FileIO):
    """A file whose write and close never raise: bytes that cannot be written are dropped.

    Parameters
    ----------
    file : str or int
        Path, to append to, or descriptor, which stays open.
    tell : callable(OSError)
        Called with each error.
    """

    def __init__(self, file: Any, tell: Callable[[OSError], None]) -> None:
        super().__init__(file, "ab" if isinstance(file, str) else "wb", closefd=isinstance(file, str))
        self._tell = tell

    def write(self, data: Any) -> int:
        """Write all of ``data`` if possible; return its size in bytes."""
        rest = memoryview(data).cast("B")
        n_bytes = len(rest)
        try:
            while rest:
                n_written = super().write(rest)
                if n_written is None:  # another program has made the terminal non-blocking
                    readiness = select.poll()
                    readiness.register(self, select.POLLOUT)
                    readiness.poll(1000)
                else:
                    rest = rest[n_written:]
        except OSError as error:
            self._tell(error)
        return n_bytes

    def close(self) -> None:
        """Close the file; report an error to ``tell``."""
        try:
            super().close()
        except OSError as error:  # a network file system may report a full disk only now
            self._tell(error)


def text_of(file: SteadyFile, encoding: str, errors: str = "backslashreplace") -> io.TextIOWrapper:
    """Return a text stream on a file; characters that the encoding lacks become escapes."""
    return io.TextIOWrapper(file, encoding, errors, write_through=True)


def bytes_of_names(error: UnicodeError) -> Tuple[bytes, int]:
    """Handle encoding errors: write undecodable bytes of a file name unchanged, other characters as escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return b"".join(
        bytes([ord(letter) - 0xDC00]) if "\udc80" <= letter <= "\udcff" else letter.encode("ascii", "backslashreplace")
        for letter in letters
    ), error.end


def make_output_safe() -> None:
    """Replace stdout and stderr by streams that never raise; call this first.

    The exit code then does not depend on whether the output can be written. If stdout cannot, one line on stderr says
    so, unless its reader has gone.
    """
    codecs.register_error("bytes_of_names", bytes_of_names)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _safe(sys.stdout, _Once(), "bytes_of_names")
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _safe(sys.stderr, lambda error: None, "backslashreplace")


def _safe(stream: Any, tell: Callable[[OSError], None], errors: str) -> io.TextIOWrapper:
    if stream is not None:
        return text_of(SteadyFile(stream.fileno(), tell), stream.encoding, errors)
    # The stream was closed before the start. Occupy its descriptor, or the next file opened would receive the output.
    fd = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(fd, True)
    return text_of(SteadyFile(fd, tell), "utf-8")


class _Once:
    """Reports once, on stderr, why stdout cannot be written."""

    def __init__(self) -> None:
        self._has_said = False

    def __call__(self, error: OSError) -> None:
        if not self._has_said and error.errno not in NO_READER:
            self._has_said = True
            print("stdout cannot be written: %s" % error.strerror, file=sys.stderr)
