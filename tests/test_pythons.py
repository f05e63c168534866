"""The code that runs on a worker is valid for Python 3.6, the Python of JetPack 4.6 on the original Jetson Nano."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
WORKER_SOURCES = (
    "flq/__init__.py",
    "flq/__main__.py",
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
# What another Python, numpy, requests, Pillow or TensorFlow may change: not every test twice. That workers of all these
# train one model together: e2e/test_mixed_pythons.py.
WORKER_TESTS = (
    "tests/core",
    "tests/training",
    "tests/protocol/test_wire.py",
    "tests/protocol/test_worker_machine.py",
    "tests/protocol/test_worker_state.py",
    "tests/engines/test_coded_runs.py",
    "tests/engines/test_simulation.py",
    "tests/worker/test_durable.py",
    "tests/worker/test_http_client.py",
    "tests/worker/test_locks.py",
    "tests/worker/test_worker_program.py",
    "tests/device/test_tensorflow_probe.py",
    "tests/report/test_curves.py",
)
VERSIONS = {"3.6": "with TensorFlow 2.6, as on JetPack 4.6", "3.8": "with TensorFlow 2.11, as on JetPack 5"}


def paths_of(names):
    """Return the paths: files, or folders with Python code."""
    paths = [PROJECT / name for name in names]
    assert [str(path) for path in paths if not path.is_file() and not any(path.glob("*.py"))] == []
    return [str(path) for path in paths]


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
    checked = run_vermin(paths_of(WORKER_SOURCES))
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


@pytest.mark.tf
@pytest.mark.parametrize("version", VERSIONS)
def test_what_may_differ_there_passes(version):
    python = PROJECT / ".venv{}".format(version.replace(".", "")) / "bin" / "python"
    if not python.exists() or subprocess.run([str(python), "-c", ""]).returncode != 0:
        pytest.skip(
            "no .venv{}: run_tests.sh --all makes it where a CPython {} is found".format(
                version.replace(".", ""), version
            )
        )
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths_of(WORKER_TESTS)],
        cwd=str(PROJECT),
        # PYTEST_ADDOPTS and the like were meant for the outer run.
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout
