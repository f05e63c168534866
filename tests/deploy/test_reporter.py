"""Progress of the work on the hosts: lines without a terminal, a bar of hosts with one."""

import os
import re
import subprocess
import sys

import pytest
from pseudo import WAIT_S, Pseudo

from flq.deploy.reporter import Reporter

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def lines_of(capsys):
    """Return the printed lines, with T for every time."""
    return [re.sub(r"seconds=\d+\.\d\b", "seconds=T", line) for line in capsys.readouterr().out.splitlines()]


def test_long_steps_have_a_line_at_their_beginning_and_end(capsys):
    reporter = Reporter(is_dry=False)
    reporter.begin(2)
    for step in ("facts", "release", "put", "environment"):
        reporter.step("a", step)
    reporter.end("a", False)
    reporter.step("b", "start")
    reporter.end("b", True)
    reporter.say("b   ok   started")
    reporter.close()
    assert lines_of(capsys) == [
        "host=a step=release state=begun",
        "host=a step=release state=done seconds=T",
        "host=a step=environment state=begun",
        "host=a step=environment state=failed seconds=T",
        "host=b step=start state=begun",
        "host=b step=start state=done seconds=T",
        "b   ok   started",
    ]


def test_workers_that_are_waited_for_have_a_line_when_their_number_changes(capsys):
    reporter = Reporter(is_dry=False)
    for n_here in (0, 0, 1, 1, 2):
        reporter.waiting(n_here, 2)
    assert lines_of(capsys) == ["start=waiting_for_workers workers=%d/2" % n_here for n_here in (0, 1, 2)]


def test_a_dry_run_is_busy_with_nothing(capsys):
    reporter = Reporter(is_dry=True)
    reporter.begin(1)
    reporter.step("a", "environment")
    reporter.end("a", True)
    reporter.waiting(0, 1)
    assert lines_of(capsys) == []


# The output of a deployment at a terminal, paused at a step until it was checked.
AT_A_TERMINAL = """
import sys
sys.path.insert(0, sys.argv[1])
from flq.deploy.reporter import Reporter
reporter = Reporter(is_dry=False)
reporter.begin(3)
reporter.step("jetson1", "facts")
reporter.step("jetson2", "environment")
reporter.say("jetson1   ...     makes")
input()
reporter.end("jetson2", True)
reporter.say("jetson2   ok      unchanged")
input()
for host in ("jetson1", "jetson3"):
    reporter.end(host, False)
reporter.say("jetson1   FAILED  no room")
reporter.waiting(1, 2)
input()
reporter.say("run r OPEN connected=2/2")
reporter.close()
"""


@pytest.mark.parametrize("n_columns", [100, 40])
def test_a_terminal_has_a_bar_of_hosts_with_their_steps(n_columns):
    with Pseudo(n_columns) as pseudo:
        program = pseudo.start(
            [sys.executable, "-c", AT_A_TERMINAL, PROJECT],
            env=dict(os.environ, TERM="xterm"),
            stdin=subprocess.PIPE,
            bufsize=0,
        )
        pseudo.wait_for(r"hosts 0/3 \|.*\| \d:\d\d jetson1:f%s" % ("acts jetson2:env" if n_columns == 100 else ""))
        program.stdin.write(b"\n")
        pseudo.wait_for(r"hosts 1/3 \|.*\| \d:\d\d jetson1:f")
        program.stdin.write(b"\n")
        pseudo.wait_for(r"waiting for workers \(workers 1/2\) 0:0")
        program.stdin.write(b"\n")
        program.stdin.close()
        assert program.wait(WAIT_S) == 0
        pseudo.wait_for("connected=2/2")
        text = pseudo.text
        rows = pseudo.rows
    assert [row.split()[:2] for row in rows if row] == [
        ["jetson1", "..."],
        ["jetson2", "ok"],
        ["jetson1", "FAILED"],
        ["run", "r"],
    ]
    assert "host=" not in text and rows[-1] == ""


def test_a_deployment_at_a_terminal_counts_its_hosts(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text("#!/bin/sh\necho 'no such machine' >&2\nexit 255\n")
    (programs / "ssh").chmod(0o755)
    environ = dict(os.environ, TERM="xterm", PATH="%s:%s" % (programs, os.environ["PATH"]), PYTHONPATH=PROJECT)
    with Pseudo(200) as pseudo:
        program = pseudo.start(
            [sys.executable, "-m", "flq.deploy", "check", "--master_ip", "192.0.2.1", "--worker_ips", "192.0.2.2"],
            cwd=str(tmp_path),
            env=environ,
        )
        assert program.wait(WAIT_S) == 2, pseudo.text
        pseudo.wait_for(r"(?s)FAILED.*FAILED.*\n")
        rows = pseudo.rows
    assert sorted(row.split()[:2] for row in rows if row) == [["192.0.2.1", "FAILED"], ["192.0.2.2", "FAILED"]], rows
    assert "hosts 0/2 |" in pseudo.text and rows[-1] == ""
