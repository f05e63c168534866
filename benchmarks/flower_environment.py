"""Flower's packages in an environment of their own, so that FLQ's stays as it is."""

import os
import subprocess
import sys
from typing import List

from benchmarks.processes import PROJECT

FLOWER = "flwr==1.41.0"
DEFAULT = os.path.join(PROJECT, ".venv-flower")
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}  # environment variables: nothing is sent home
TRAINING = os.path.join(PROJECT, "requirements", "worker.txt")


def flower_python(environment: str, trains: bool = False) -> str:
    """Return the Python of Flower's environment; what is missing there is installed.

    Parameters
    ----------
    environment : str
        Folder of the environment; made if it is not there.
    trains : bool
        Whether FLQ's trainers shall work there too: TensorFlow, of the version that FLQ's workers have.
    """
    python = os.path.join(environment, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    if not _has(python, ["flwr"] + ["tensorflow", "keras"] * trains):
        subprocess.run(
            [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", FLOWER]
            + ["--requirement", TRAINING] * trains,
            check=True,
        )
    return python


def _has(python: str, packages: List[str]) -> bool:
    """Return whether all packages are installed there."""
    code = "import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))"
    return subprocess.run([python, "-c", code, *packages]).returncode == 0
