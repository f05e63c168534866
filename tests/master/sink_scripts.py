"""Sinks for the tests: the first argument selects the behaviour, the second names the output file."""

import os
import signal
import subprocess
import sys


def main(how: str, path: str) -> None:
    """Watch."""
    with open(path, "ab", buffering=0) as out:
        out.write(b"child\n")
        if how == "deaf":
            signal.pause()
        if how == "leaves":  # a child of its own that outlives it and keeps its stderr
            subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        if how == "floods":
            sys.stderr.write("\x1b[2J%s\n" % ("x" * 5000))
            sys.stderr.write("line\n" * 100000)
        for line in sys.stdin.buffer:
            out.write(line)
            if how == "dies" and b"now" in line:
                os._exit(7)
            if how == "hangs" and b"Ended" in line:
                signal.pause()
        if how == "talks":
            sys.stderr.write("all is well\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
