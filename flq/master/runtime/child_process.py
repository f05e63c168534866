"""Starts child processes of the master: other programs of this package, with the same Python."""

import os
import subprocess
import sys
from typing import Any, Mapping, Optional, Sequence


def begin(
    argv: Sequence[str], environment: Optional[Mapping[str, str]] = None, stdout: int = subprocess.PIPE, **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a child process whose stdin and stderr are pipes.

    Parameters
    ----------
    argv : sequence of str
        Its command line, without the interpreter.
    environment : mapping, optional
        Its variables in addition to those of this process.
    stdout : int, optional
    **options
        See ``subprocess.Popen``.

    Raises
    ------
    OSError
        If the process cannot be started.
    """
    return subprocess.Popen(
        [sys.executable, *argv],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=dict(os.environ, **environment or {}),
        **options,
    )
