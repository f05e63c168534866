"""Child processes of the master: other programs of this package, under the same Python."""

import os
import subprocess
import sys
from typing import Any, Mapping, Optional, Sequence


def begin(argv: Sequence[str], environment: Optional[Mapping[str, str]] = None, stdout: int = subprocess.PIPE,
          **options: Any) -> "subprocess.Popen[bytes]":
    """Begin a child whose stdin and stderr are pipes.

    Parameters
    ----------
    argv : sequence of str
        Its command line, after the interpreter.
    environment : mapping, optional
        Variables that it gets beside those of this process.
    stdout : int, optional
    **options
        As of ``subprocess.Popen``.

    Raises
    ------
    OSError
        If there cannot be another process.
    """
    return subprocess.Popen([sys.executable, *argv], stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE,
                            env=dict(os.environ, **environment or {}), **options)
