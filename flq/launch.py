"""Run a module as a program, wherever FLQ lies: python FOLDER/flq/launch.py flq.deploy ARGUMENT...

Like python -m flq.deploy, but the working directory does not matter, and the folder's path may have a colon, with which
PYTHONPATH could not name it.
"""

import os
import runpy
import sys

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
