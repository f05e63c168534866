"""Waits for another process or thread: as long as it takes, but not for ever."""

import threading
import time
from typing import Any, Callable

WAIT_S = 60.0  # far beyond what anything takes, on a busy machine too: a test that fails must end
LOOK_S = 0.02


def wait_until(condition: Callable[[], Any], what: str = "it does not come") -> None:
    """Wait until a condition holds.

    Raises
    ------
    AssertionError
        If it does not within ``WAIT_S``; its message is ``what``.
    """
    until, passed = time.monotonic() + WAIT_S, threading.Event()
    while not condition():
        assert time.monotonic() < until, what
        passed.wait(LOOK_S)
