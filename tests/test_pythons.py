"""The code that runs on a worker is valid for Python 3.6, the Python of JetPack 4.6 on the original Jetson Nano."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from beside import Beside

PROJECT = Path(__file__).resolve().parent.parent
WORKER_SOURCES = (
    "flq/__init__.py",
    "flq/errors.py",
    "flq/output.py",
    "flq/console",
    "flq/addresses.py",
    "flq/flags.py",
    "flq/logfile.py",
    "flq/durable.py",
    "flq/leftovers.py",
    "flq/locks.py",
    "flq/systemd.py",
    "flq/tokens.py",
    "flq/device",
    "flq/core",
    "flq/protocol",
    "flq/drawing",
    "flq/training",
    "flq/worker",
    "flq/report",
    "flq_worker.py",
    "flq_fed_v3.py",
)
WORKER_TESTS = (
    "tests/core",
    "tests/console",
    "tests/device",
    "tests/protocol",
    "tests/engines",
    "tests/training",
    "tests/worker",
    "tests/report/test_curves.py",
)
VERSIONS = {"3.6": "with TensorFlow 2.6, as on JetPack 4.6", "3.8": "with TensorFlow 2.11, as on JetPack 5"}
SUITES = {}  # version -> its suite, once it is started


def existing(names):
    """Return those of the paths that exist and hold Python code."""
    paths = [PROJECT / name for name in names]
    return [str(path) for path in paths if path.is_file() or any(path.glob("*.py"))]


def run_vermin(paths):
    """Run the version checker. Annotations count, because 3.6 evaluates them when a function is defined."""
    vermin = [sys.executable, "-c", "from vermin import main; main()"]
    return subprocess.run(
        vermin + ["-t=3.6-", "--no-tips", "--eval-annotations", "--violations"] + paths,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=300,
    )


def test_worker_code_uses_nothing_newer_than_python_36():
    paths = existing(WORKER_SOURCES)
    assert str(PROJECT / "flq" / "core") in paths
    checked = run_vermin(paths)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations\n",
        "import dataclasses\n",
        "x: list[int] = []\n",
        "def f(x: 'int | None' = None, /):\n    return x\n",
        "if (n := 1):\n    print(n)\n",
        "import subprocess\nsubprocess.run(['true'], capture_output=True)\n",
        "from contextlib import nullcontext\n",
    ],
)
def test_newer_python_is_found(tmp_path, source):
    planted = tmp_path / "planted.py"
    planted.write_text(source)
    assert run_vermin([str(planted)]).returncode == 1


def start(config):
    """Start the suites; tests/conftest.py calls this before the first test."""
    if SUITES:
        return
    folders = existing(WORKER_TESTS)
    assert folders, "none of {} exists".format(WORKER_TESTS)
    # PYTEST_ADDOPTS and the like were meant for the outer run.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for version in VERSIONS:
        python = PROJECT / ".venv{}".format(version.replace(".", "")) / "bin" / "python"
        if python.exists() and subprocess.run([str(python), "-c", ""]).returncode == 0:
            command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *folders]
            SUITES[version] = Beside(command, str(PROJECT), config, environment)


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.parametrize("version", VERSIONS)
def test_the_whole_worker_suite_passes(version):
    if version not in SUITES:
        pytest.skip(
            "no .venv{}: run_tests.sh makes it where a CPython {} is found".format(version.replace(".", ""), version)
        )
    code, text = SUITES[version].result(1800)
    print(text)
    assert code == 0, text
