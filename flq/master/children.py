"""Child processes of the master: other programs of this package, under the same Python."""

import os
import subprocess
import sys
from typing import Any, Mapping, Optional, Sequence

PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


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
        If there can not be another process.
    """
    path = os.pathsep.join(filter(None, [PACKAGE_PARENT, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen([sys.executable, *argv], stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE,
                            env=dict(os.environ, PYTHONPATH=path, **environment or {}), **options)
