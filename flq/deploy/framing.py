"""Separates the output of a step from that of a machine's login scripts.

A step prints a mark before and after its output. The marks are random for each connection and reach the machine on
stdin, after the login scripts have run, so nothing else prints them.
"""

import mmap
import secrets
from typing import BinaryIO, NamedTuple, Optional


class Cut(NamedTuple):
    """The output of a step, and whether it is complete."""

    inner: bytes
    is_whole: bool


class ReplyFrame:
    """The marks around the output of a step.

    Attributes
    ----------
    begin, end : bytes
        Each ends its line, but may follow output that has no newline.
    """

    def __init__(self) -> None:
        mark = secrets.token_hex(16)
        self.begin, self.end = (("flq-%s-%s\n" % (mark, word)).encode() for word in ("begin", "end"))

    @property
    def header(self) -> bytes:
        """Shell lines that print both marks on stdout and stderr, however the script after them ends."""
        begin, end = self.begin.decode().strip(), self.end.decode().strip()
        return ("echo %s; echo %s >&2; trap 'echo %s; echo %s >&2' EXIT\n" % (begin, begin, end, end)).encode()

    def cut(self, data: bytes) -> Optional[Cut]:
        """Return the output between the marks; None if the first is missing, so that the step did not begin."""
        _, begin, rest = data.partition(self.begin)
        inner, end, unended = rest.rpartition(self.end)
        return Cut(inner if end else unended, bool(end)) if begin else None

    def cut_file(self, stream: BinaryIO) -> bool:
        """Seek a file to the start of the output and truncate it after the end; return whether it is complete."""
        stream.flush()
        if stream.seek(0, 2) == 0:
            return False
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            begin, end = data.find(self.begin), data.rfind(self.end)
        if not 0 <= begin < end:
            return False
        stream.truncate(end)
        stream.seek(begin + len(self.begin))
        return True
