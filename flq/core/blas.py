"""Run numpy's matrix products on one thread.

The threads of a BLAS wait for each other without yielding the core. With several programs on a few cores that takes
longer than one thread, and twice the CPU time for a model of 80,000 parameters. One thread also makes the bits of a
product independent of the number of cores.
"""

from functools import lru_cache
from typing import ContextManager

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=None)
def _libraries() -> ThreadpoolController:
    """Return a controller of numpy's BLAS; finding it takes a few milliseconds."""
    return ThreadpoolController()


def one_thread() -> ContextManager[object]:
    """Return a context in which numpy's matrix products use one thread.

    It affects the whole process: only one thread at a time may be inside.
    """
    return _libraries().limit(limits=1, user_api="blas")
