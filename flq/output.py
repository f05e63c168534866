"""What a program prints can never end it: a terminal that has gone, a full disk, a name that cannot be shown.

Example
-------
>>> stream = text_of(SteadyFile("/dev/full", lambda error: print(error.strerror)), "ascii")
>>> stream.write("a name: \\u4e2d\\n")
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

NOBODY_READS = (errno.EPIPE, errno.EIO)  # a pipe without its other end, a terminal that has been closed


class SteadyFile(io.FileIO):
    """A file to write, whose write and close never raise: what cannot be written is dropped.

    Parameters
    ----------
    file : str or int
        Path, written from its end on, or descriptor, which stays open.
    tell : callable(OSError)
        Takes what is wrong, each time.
    """

    def __init__(self, file: Any, tell: Callable[[OSError], None]) -> None:
        super().__init__(file, "ab" if isinstance(file, str) else "wb", closefd=isinstance(file, str))
        self._tell = tell

    def write(self, data: Any) -> int:
        """Write all of it, if that is possible; return its size."""
        rest = memoryview(data).cast("B")
        n_bytes = len(rest)
        try:
            while rest:
                n_written = super().write(rest)
                if n_written is None:  # somebody else has made a terminal so that it does not wait
                    readiness = select.poll()
                    readiness.register(self, select.POLLOUT)
                    readiness.poll(1000)
                else:
                    rest = rest[n_written:]
        except OSError as error:
            self._tell(error)
        return n_bytes

    def close(self) -> None:
        """Close it, as far as that is possible."""
        try:
            super().close()
        except OSError as error:  # a network file system says only now that the disk is full
            self._tell(error)


def text_of(file: SteadyFile, encoding: str, errors: str = "backslashreplace") -> io.TextIOWrapper:
    """Return a stream of text on a file; what the encoding lacks is shown as an escape."""
    return io.TextIOWrapper(file, encoding, errors, write_through=True)


def bytes_of_names(error: UnicodeError) -> Tuple[bytes, int]:
    """Encode what an encoding lacks: bytes of a file's name as they are, for whoever reads the name; else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start:error.end]
    return b"".join(bytes([ord(letter) - 0xdc00]) if "\udc80" <= letter <= "\udcff"
                    else letter.encode("ascii", "backslashreplace") for letter in letters), error.end


def make_output_safe() -> None:
    """Give a program a stdout and a stderr to which it can print whatever comes of it; for its first line.

    The exit code tells what the program has done, not who has read about it. One line on stderr says that stdout
    cannot be written, unless nobody is there to read it.
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
    # It was closed before the start. The number is taken, or the next file that is opened would get all the output.
    fd = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(fd, True)
    return text_of(SteadyFile(fd, tell), "utf-8")


class _Once:
    """Says on stderr what is wrong with stdout, the first time."""

    def __init__(self) -> None:
        self._has_said = False

    def __call__(self, error: OSError) -> None:
        if not self._has_said and error.errno not in NOBODY_READS:
            self._has_said = True
            print("stdout cannot be written: %s" % error.strerror, file=sys.stderr)
