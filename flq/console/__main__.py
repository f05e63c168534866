"""python -m flq.console FILE...: copy stdin to each FILE and to stdout, like tee; at a terminal, with a bar.

A file that cannot be written does not affect the other copies.
"""

import os
import sys
from contextlib import suppress
from typing import List, Optional

from ..output import SteadyFile, make_output_safe
from .screen import drawer_of

PIECE_BYTES = 1 << 16


def main(argv: Optional[List[str]] = None) -> int:
    """Copy until stdin ends; return 1 if a file could not be written completely."""
    copies = [Copy(path) for path in (sys.argv[1:] if argv is None else argv)]
    drawer = drawer_of(sys.stdout, os.environ)
    if drawer is not None:
        drawer.put("start=starting")  # the first line may take some seconds
    shown, begun = Copy("stdout", sys.stdout.fileno()), b""  # begun: an incomplete last line
    while True:
        piece = os.read(sys.stdin.fileno(), PIECE_BYTES)
        for copy in copies:
            copy.write(piece)
        if drawer is None:
            shown.write(piece)
        else:
            *lines, begun = (begun + piece).split(b"\n")
            for line in lines + ([begun] if begun and not piece else []):
                drawer.put(line.decode("utf-8", "replace").rstrip("\r"))
        if not piece:
            break
    if drawer is not None:
        drawer.close()
    return int(any(copy.is_broken for copy in copies))


class Copy:
    """A copy of the stream; it stops at the first write error, with a line on stderr."""

    def __init__(self, name: str, fd: Optional[int] = None) -> None:
        self.is_broken = False
        self._name = name
        try:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666) if fd is None else fd
            self._file = SteadyFile(fd, self._give_up)
        except OSError as error:
            self._give_up(error)

    def write(self, data: bytes) -> None:
        """Write all bytes."""
        if not self.is_broken:
            self._file.write(data)

    def _give_up(self, error: OSError) -> None:
        self.is_broken = True
        with suppress(OSError):  # stderr may be closed
            os.write(
                2, ("%s cannot be written: %s\n" % (self._name, error.strerror)).encode("utf-8", "backslashreplace")
            )


if __name__ == "__main__":
    make_output_safe()
    sys.exit(main())
