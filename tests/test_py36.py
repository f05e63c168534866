"""The code that runs on a worker is valid for Python 3.6, the Python of JetPack 4.6 on the original Jetson Nano."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from beside import Beside

PROJECT = Path(__file__).resolve().parent.parent
WORKER_SOURCES = ("flq/__init__.py", "flq/errors.py", "flq/flags.py", "flq/logfile.py", "flq/durable.py",
                  "flq/tokens.py", "flq/core", "flq/protocol", "flq/training", "flq/worker", "flq/report",
                  "flq_worker.py", "flq_fed_v3.py")
WORKER_TESTS = ("tests/core", "tests/protocol", "tests/simulate", "tests/training", "tests/worker",
                "tests/report/test_curves.py")
SUITE = []  # it, once it is started
PYTHON36 = PROJECT / ".venv36" / "bin" / "python"


def existing(names):
    """Return those of the paths that exist and hold Python code."""
    paths = [PROJECT / name for name in names]
    return [str(path) for path in paths if path.is_file() or any(path.glob("*.py"))]


def run_vermin(paths):
    """Run the version checker. Annotations count, because 3.6 evaluates them when a function is defined."""
    vermin = [sys.executable, "-c", "from vermin import main; main()"]
    return subprocess.run(vermin + ["-t=3.6-", "--no-tips", "--eval-annotations", "--violations"] + paths,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=300)


def test_worker_code_uses_nothing_newer_than_python_36():
    paths = existing(WORKER_SOURCES)
    assert str(PROJECT / "flq" / "core") in paths
    checked = run_vermin(paths)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("source", [
    "from __future__ import annotations\n",
    "import dataclasses\n",
    "x: list[int] = []\n",
    "def f(x: 'int | None' = None, /):\n    return x\n",
    "if (n := 1):\n    print(n)\n",
    "import subprocess\nsubprocess.run(['true'], capture_output=True)\n",
    "from contextlib import nullcontext\n",
])
def test_newer_python_is_found(tmp_path, source):
    planted = tmp_path / "planted.py"
    planted.write_text(source)
    assert run_vermin([str(planted)]).returncode == 1


def start(config):
    """Start the suite; tests/conftest.py calls this before the first test."""
    if not (PYTHON36.exists() and subprocess.run([str(PYTHON36), "-c", ""]).returncode == 0):
        return
    folders = existing(WORKER_TESTS)
    assert folders, "none of {} exists".format(WORKER_TESTS)
    # PYTEST_ADDOPTS and the like were meant for the outer run.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [str(PYTHON36), "-m", "pytest", "-q", "-m", "not tf", "-p", "no:cacheprovider", *folders]
    SUITE.append(Beside(command, str(PROJECT), config, environment))


@pytest.mark.slow
def test_worker_tests_pass_under_python_36():
    if not SUITE:
        pytest.skip("no .venv36: run_tests.sh makes it where a CPython 3.6 is found")
    code, text = SUITE[0].result(1800)
    print(text)
    assert code == 0, text
