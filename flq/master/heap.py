"""Limits the arenas of glibc's malloc, for a program with many threads.

By default glibc gives nearly every thread its own arena, which keeps the memory that it has once used: with vectors of
4 MB in twenty threads a master grew from 100 MB to 170 MB in 2,000 rounds, and continued to grow. Two arenas are
enough, since the threads seldom allocate at the same time.
"""

import ctypes

M_ARENA_MAX = -8  # of malloc.h
N_ARENAS = 2


def keep_few_arenas() -> bool:
    """Limit the number of arenas; return whether this C library has them."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc, or no dynamic C library
        return False
    return bool(mallopt(M_ARENA_MAX, N_ARENAS))
