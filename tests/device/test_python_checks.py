"""Checks of the Python interpreter and its numpy, for any machine."""

import importlib.util
import sys

import numpy
import pytest

from flq.device.board import Board
from flq.device.checks import FAIL, OK, WARN
from flq.device.python_checks import (
    Interpreter,
    installed_numpy,
    packages_line,
    python_lines,
    requirements_for,
    this_interpreter,
)

PC = Board("pc", "a PC")
NANO = Board("nano", "a Nano", "32.7.1", "4.6.1", (5, 3))
ON_NANO = Interpreter((3, 6, 9), "aarch64", "1.19.5", "ARMV8")


def statuses(interpreter, board, lowest=(3, 6)):
    return [line.status for line in python_lines(interpreter, board, lowest)]


def test_the_interpreter_is_described_without_importing_numpy():
    assert this_interpreter({"OPENBLAS_CORETYPE": "ARMV8"}).openblas == "ARMV8"
    assert this_interpreter({})[0] == sys.version_info[:3]
    assert installed_numpy() == numpy.__version__


def test_jetpacks_own_python_is_well_on_a_nano():
    assert statuses(ON_NANO, NANO) == [OK, OK]


def test_numpy_that_dies_on_a_nano_is_a_failure_with_its_fix():
    line = python_lines(ON_NANO._replace(openblas=""), NANO, (3, 6))[1]
    assert line.status == FAIL
    assert "illegal instruction" in line.text and "export OPENBLAS_CORETYPE=ARMV8" in line.fix


@pytest.mark.parametrize("change", [{"numpy": "1.19.4"}, {"machine": "x86_64"}, {"numpy": "1.23.1"}])
def test_other_numpys_and_machines_need_no_variable(change):
    assert statuses(ON_NANO._replace(openblas="", **change), NANO)[1] == OK


def test_another_python_than_jetpacks_cannot_load_nvidias_tensorflow():
    line = python_lines(ON_NANO._replace(version=(3, 8, 10)), NANO, (3, 6))[0]
    assert line.status == WARN and "needs Python 3.6" in line.text and "jetson-nano.txt" in line.fix


def test_jetpacks_python_is_not_suggested_to_a_program_that_it_is_too_old_for():
    assert statuses(ON_NANO._replace(version=(3, 11, 2)), NANO, lowest=(3, 9))[0] == OK


def test_a_python_that_is_too_old_fails():
    line = python_lines(ON_NANO, PC, (3, 9))[0]
    assert line.status == FAIL and "needs 3.9 or newer" in line.text


def test_a_missing_numpy_fails():
    assert statuses(ON_NANO._replace(numpy=None), PC) == [OK, FAIL]


def test_missing_packages_are_named_with_the_file_that_has_them():
    line = packages_line(["json", "no_such_package"], "master.txt")
    assert line.status == FAIL and "no_such_package" in line.text and "json" not in line.text
    assert line.fix == "pip install -r requirements/master.txt"
    assert packages_line(["json"], "master.txt").status == OK


def test_packages_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert packages_line(["deadly"], "worker.txt").status == OK


@pytest.mark.parametrize(
    "jetpack, name",
    [
        ("4.6.1", "jetson-nano.txt"),
        ("5.1.2", "jetpack5.txt"),
        ("6", "jetpack6.txt"),
        ("7.2", "worker.txt"),
        (None, "worker.txt"),
    ],
)
def test_each_jetpack_has_its_requirements(jetpack, name):
    assert requirements_for(PC._replace(jetpack=jetpack)) == name
