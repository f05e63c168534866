"""Runs a module of FLQ as a program: python FOLDER/flq/launch.py flq.deploy ARGUMENT...

Like python -m flq.deploy, but from any working directory, and also if the folder's path contains a colon, which
PYTHONPATH does not allow.
"""

import os
import runpy
import sys
from typing import List


def argv_of(module: str, *arguments: str) -> List[str]:
    """Return the command line, without the interpreter, that runs a module of FLQ."""
    return [os.path.abspath(__file__), module, *arguments]


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [os.path.dirname(here)] + [folder for folder in sys.path if folder != here]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
