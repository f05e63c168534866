"""Installs Flower in a separate virtual environment, which leaves FLQ's unchanged."""

import os
import subprocess
import sys
from typing import List

from benchmarks.processes import PROJECT

FLOWER = "flwr==1.41.0"
DEFAULT = os.path.join(PROJECT, ".venv-flower")
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}  # environment variables: no telemetry
TRAINING = os.path.join(PROJECT, "requirements", "worker.txt")


def flower_python(environment: str, trains: bool = False) -> str:
    """Return the Python of Flower's environment, after installing missing packages.

    Parameters
    ----------
    environment : str
        Folder of the environment, created if missing.
    trains : bool
        Also install what FLQ's trainers need: TensorFlow, in the version of FLQ's workers.
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
