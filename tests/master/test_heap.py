"""Twenty threads share two arenas of the C library's heap, as counted by the library itself."""

import platform
import subprocess
import sys

import pytest

# Each thread allocates while all others hold what they have; malloc_info then lists the arenas.
COUNT = """
import ctypes, sys, threading
from flq.master.heap import keep_few_arenas
if sys.argv[1] == "few":
    assert keep_few_arenas()
barrier = threading.Barrier(20)
malloc = ctypes.CDLL(None).malloc
malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
def take():
    barrier.wait()
    assert malloc(100000)
    barrier.wait()
threads = [threading.Thread(target=take) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_many_threads_share_two_arenas():
    def arenas(how):
        done = subprocess.run(
            [sys.executable, "-c", COUNT, how], stdout=subprocess.PIPE, universal_newlines=True, check=True
        )
        return done.stdout.count("<heap nr=")

    assert arenas("few") <= 2 < arenas("as it comes")
