"""How the C library keeps memory for a program with many threads.

By default glibc gives nearly every thread an arena of its own, each of which keeps what it once had: with vectors of
4 MB passing through twenty threads a master of 100 MB became one of 170 MB in 2,000 rounds, and still grew. Two
arenas suffice here: the threads seldom allocate at the same time.
"""

import ctypes

M_ARENA_MAX = -8  # of malloc.h
N_ARENAS = 2


def keep_few_arenas() -> bool:
    """Bound the number of arenas from now on; return whether this C library has them."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or none that can be asked
        return False
    return bool(mallopt(M_ARENA_MAX, N_ARENAS))
