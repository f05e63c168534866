"""docs/adding.md is right: each of its examples costs what it says, and works."""

import csv
import os
import re
import subprocess
import sys

import pytest
from adding import PROJECT, apply, blocks_of

from flq.sinks.messages import Began, Ended, Round, line_of

sys.path.append(str(PROJECT / "tests" / "report"))

from report_rows import a_round  # noqa: E402

SECTIONS = re.findall(r"^## (.*)$", (PROJECT / "docs" / "adding.md").read_text(encoding="utf-8"), re.MULTILINE)


def run(folder, *words, told=b""):
    """Run a module of the changed copy; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=str(folder),
        input=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.parametrize("section", SECTIONS)
def test_the_code_of_a_section_is_formatted_and_has_no_mistakes(tmp_path, section):
    for number, block in enumerate(blocks_of(section)):
        if ", in " not in block.splitlines()[0]:
            (tmp_path / ("block%d.py" % number)).write_text(block, encoding="utf-8")
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(PROJECT / "pyproject.toml")]
        done = subprocess.run([*ruff, str(tmp_path)], stdout=subprocess.PIPE, universal_newlines=True, timeout=60)
        assert done.returncode == 0, done.stdout


def test_a_tracker_is_a_file_and_a_row(tmp_path):
    changed = apply("A sink (a tracker)", tmp_path)
    assert changed == ["flq/sinks/trackers/csv_file.py", "flq/sinks/trackers/__init__.py"]
    assert "csv" in run(tmp_path, "flq.config_docs")  # so it can be asked for
    rounds = [Round(a_round(k, accuracy=k / 4), {}) for k in (1, 2)]
    told = [Began("run_7", {}, "", rounds[:1]), rounds[1], Ended("done", False, False, [])]
    run(tmp_path, "flq.sinks.trackers", "csv", str(tmp_path), told=b"".join(map(line_of, told)))
    with open(str(tmp_path / "run_7.csv"), newline="") as stream:
        lines = list(csv.reader(stream))
    assert lines[0] == ["round", "name", "value"]
    assert [line for line in lines if line[1] == "test/accuracy"] == [
        ["1", "test/accuracy", "0.25"],
        ["2", "test/accuracy", "0.5"],
    ]
