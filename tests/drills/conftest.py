"""Fixtures of the drills."""

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from power_loss import Recorder

SHARED_MEMORY = "/dev/shm"


@pytest.fixture(scope="session")
def oplog(tmp_path_factory):
    """Return the library that records changes of files, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the power-loss drills record what programs write with a library in C")
    source = Path(__file__).resolve().parent / "oplog.c"
    library = tmp_path_factory.mktemp("oplog") / "oplog.so"
    compiled = subprocess.run(
        [compiler, "-O1", "-Wall", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl", "-pthread"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    assert compiled.returncode == 0, compiled.stdout
    return library


@pytest.fixture
def scratch():
    """Return a folder that does not exist, in memory where there is room for one: recovery forces much to disk."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None) as folder:
        yield Path(folder) / "scratch"


@pytest.fixture
def make_recorder(oplog, tmp_path, scratch):
    """Return a function that makes a Recorder in a fresh folder."""
    numbers = itertools.count()
    return lambda: Recorder(oplog, tmp_path / str(next(numbers)), scratch)


@pytest.fixture
def recorder(make_recorder):
    """Return a Recorder in a fresh folder."""
    return make_recorder()
