"""python -m flq.console FILE: copy stdin into FILE and to stdout, like tee; at a terminal, with a bar.

The file gets every byte as it comes, whatever becomes of the terminal.
"""

import os
import sys
from typing import List, Optional

from .screen import drawer_of

PIECE_BYTES = 1 << 16


def main(argv: Optional[List[str]] = None) -> int:
    """Copy until stdin ends; return 1 if the file could not be written to its end."""
    path, = sys.argv[1:] if argv is None else argv
    drawer = drawer_of(sys.stdout, os.environ)
    if drawer is not None:
        drawer.put("start=starting")  # it may take some seconds to its first line
    code, is_seen, begun = 0, True, b""  # begun: a line that has not ended yet
    with open(path, "wb", buffering=0) as copy:
        while True:
            piece = os.read(sys.stdin.fileno(), PIECE_BYTES)
            if code == 0:
                code = _write(copy.fileno(), piece, path)
            if drawer is None:
                is_seen = is_seen and _write(sys.stdout.fileno(), piece, "stdout") == 0
            else:
                *lines, begun = (begun + piece).split(b"\n")
                for line in lines + ([begun] if begun and not piece else []):
                    drawer.put(line.decode("utf-8", "replace").rstrip("\r"))
            if not piece:
                break
    if drawer is not None:
        drawer.close()
    return code


def _write(fd: int, data: bytes, name: str) -> int:
    """Write all of it; return 1, with a line on stderr, if that can not be done."""
    try:
        while data:
            data = data[os.write(fd, data):]
    except OSError as error:
        try:
            os.write(2, ("%s can not be written: %s\n" % (name, error.strerror)).encode())
        except OSError:  # nobody is there to read it
            pass
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
