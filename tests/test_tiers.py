"""Every test is in a tier, and a run that leaves some out reports how many."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiers import ALL, DRILLS, FIRST, IN_SHORT, ONLY_DRILLS, SHORT, rank, row_of, tiers_of

HERE = Path(__file__).resolve().parent


def test_every_file_has_a_row_and_a_unique_name():
    files = [str(path.relative_to(HERE.parent)) for path in HERE.rglob("test_*.py")]
    assert len(set(map(os.path.basename, files))) == len(files)  # pytest imports them by that
    assert len(files) > 100
    assert [name for name in files if not row_of(name, IN_SHORT)] == [], "add a row to tests/tiers.py"


@pytest.mark.parametrize("row", [*IN_SHORT, *ONLY_DRILLS, *FIRST])
def test_a_row_is_about_something(row):
    path, _, test = row.partition("::")
    assert (HERE / path).exists()
    assert not test or "\ndef %s(" % test in (HERE / path).read_text(encoding="utf-8")


def test_the_most_specific_row_counts_and_a_part_of_the_cases_may_do():
    rows = {"a": 0, "a/test_b.py": 2, "a/test_b.py::test_c": 1, "test_d.py": 0}
    tests = ["a/test_b.py::test_%s" % name for name in ("x[0]", "x[1]", "x[a/b::c]", "y", "c[0]", "c[1]")]
    tests += ["a/test_e.py::test_x", "test_d.py::test_x"]
    tiers = [SHORT, ALL, SHORT, SHORT, SHORT, SHORT, ALL, ALL]
    assert tiers_of(["tests/" + test for test in tests], rows) == tiers


def test_the_full_drills_are_a_separate_tier_and_long_tests_start_first():
    assert tiers_of(["tests/%s[x]" % test for test in ONLY_DRILLS]) == [DRILLS] * len(ONLY_DRILLS)
    tests = ["tests/core/test_rng.py::test_x", "tests/%s::test_x" % FIRST[1], "tests/%s::test_x" % FIRST[0]]
    assert sorted(tests, key=rank) == tests[::-1]


PROJECT = {"core": "def test_a(): pass", "e2e": "def test_a(): pass", "drills": "def test_a(): pass"}


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the tests of a small project, and returns those that passed, and the last lines."""
    for folder in PROJECT:
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / ("test_%s.py" % folder)).write_text(PROJECT[folder])
    (tmp_path / "tests" / "drills" / "test_kills.py").write_text(
        "import os\ndef %s(): assert os.environ['FLQ_DRILLS'] == 'all'" % ONLY_DRILLS[1].partition("::")[2]
    )
    for name in ("conftest.py", "tiers.py"):
        (tmp_path / "tests" / name).write_bytes((HERE / name).read_bytes())
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FLQ_"))}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

    def run_tests(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-v", "-p", "xdist", "-p", "no:cacheprovider", *arguments],
            cwd=str(tmp_path),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        passed = re.findall(r"tests/\w+/test_(\w+)\.py::\S+ PASSED|PASSED .*tests/\w+/test_(\w+)\.py", done.stdout)
        return sorted(one or other for one, other in passed), done.stdout.splitlines()[-2:]

    return run_tests


FULL_HINT = "1 tests of the full drills were left out: ./run_tests.sh --drills runs them."


@pytest.mark.parametrize("cores", [(), ("-n2", "--dist=loadfile")], ids=["one process", "several"])
def test_a_run_has_its_tiers_and_reports_what_it_omits(run, cores):
    passed, last = run(*cores)
    assert passed == ["core"]
    assert last == ["2 tests were left out: ./run_tests.sh --all runs them.", FULL_HINT]
    passed, last = run("--all", *cores)
    assert passed == ["core", "drills", "e2e"] and last[1] == FULL_HINT and "3 passed" in last[0]
    passed, last = run("--drills", *cores)
    assert passed == ["drills", "kills"] and "2 passed" in last[1]


def test_a_named_path_always_runs_and_a_name_pattern_stays_in_the_tier(run):
    assert run("tests/e2e")[0] == ["e2e"]
    passed, last = run("-k", "core or e2e")
    assert passed == ["core"] and last[1] == "1 tests were left out: ./run_tests.sh --all runs them."
