"""Products of matrices by one thread.

A BLAS divides a product among threads that wait for each other without letting go of the core: with several programs
on a few cores that takes longer than one thread does, and twice the CPU time for a model of 80,000 parameters. With
one thread, the bits of a product do not depend on the number of cores either.
"""

from functools import lru_cache
from typing import ContextManager

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=None)
def _libraries() -> ThreadpoolController:
    """Find numpy's BLAS, which is loaded by now; it takes a few milliseconds."""
    return ThreadpoolController()


def one_thread() -> ContextManager[object]:
    """Return a context in which numpy's products of matrices take one thread; then as many as before.

    It counts for the whole process, so only one of its threads may be within at a time.
    """
    return _libraries().limit(limits=1, user_api="blas")
