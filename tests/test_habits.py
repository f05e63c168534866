"""ruff and mypy find nothing, and the examples in docstrings are correct."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
CHECKS = {
    "lint": ["ruff", "check", "--no-cache"],
    "format": ["ruff", "format", "--check", "--no-cache"],
    "types": ["mypy"],
}
WITH_EXAMPLES = sorted(path for path in PROJECT.joinpath("flq").rglob("*.py") if ">>> " in path.read_text("utf-8"))


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_found(name):
    if name == "types" and sys.version_info < (3, 11):
        pytest.skip("numpy for Python 3.10 and older has other types")
    checked = subprocess.run(
        [sys.executable, "-m", *CHECKS[name]],
        cwd=str(PROJECT),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=600,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_a_module_are_right(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    failed, n_tried = doctest.testmod(importlib.import_module(module.replace(".__init__", "")))
    assert failed == 0 and n_tried > 0
