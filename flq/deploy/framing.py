"""Where the answer of a step begins and ends, among all that the login scripts of a machine may print.

A step marks both ends of what it prints. The marks are made anew for each connection, and reach the machine on stdin,
behind the login scripts: nothing else that runs there can print them by accident.
"""

import mmap
import secrets
from typing import BinaryIO, NamedTuple, Optional


class Cut(NamedTuple):
    """Part of what came: what the step printed, and whether that is all of it."""

    inner: bytes
    is_whole: bool


class Frame:
    """The marks around an answer.

    Attributes
    ----------
    begin, end : bytes
        Each is a line, but for whatever stands before it without an end.
    """

    def __init__(self) -> None:
        mark = secrets.token_hex(16)
        self.begin, self.end = (("flq-%s-%s\n" % (mark, word)).encode() for word in ("begin", "end"))

    @property
    def header(self) -> bytes:
        """What stands before a script: both its outputs get both marks, however it ends."""
        begin, end = self.begin.decode().strip(), self.end.decode().strip()
        return ("echo %s; echo %s >&2; trap 'echo %s; echo %s >&2' EXIT\n" % (begin, begin, end, end)).encode()

    def cut(self, data: bytes) -> Optional[Cut]:
        """Return what stands between the marks; None if the step has printed nothing, so that it did not begin."""
        _, begin, rest = data.partition(self.begin)
        inner, end, unended = rest.rpartition(self.end)
        return Cut(inner if end else unended, bool(end)) if begin else None

    def cut_file(self, stream: BinaryIO) -> bool:
        """Leave a file at the beginning of the answer that is in it, and let it end there; return whether it is whole.
        """
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
