"""The choices that follow from the facts about a machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machines import NANO, PC, hosts_with

from flq.deploy.environment import environment_of, requirement_lines
from flq.deploy.facts import Fit, fitting, manager_of, read_facts, require_fit
from flq.deploy.ssh import DeployError, Result

PROJECT = Path(__file__).resolve().parent.parent.parent
RELEASES = {  # of L4T, and what NVIDIA's image of that time has as its Python
    "32.7.1": ("3.6", "jetson-nano"),
    "35.4.1": ("3.8", "jetpack5"),
    "36.4.0": ("3.10", "jetpack6"),
}


def facts_here(tmp_path, *arguments, **variables):
    """Return the facts of this machine, by the step `facts`."""
    began = time.time()
    with open(str(PROJECT / "scripts" / "board.sh"), "rb") as script:
        answer = subprocess.run(
            ["bash", "-s", "--", "facts", "flq", *(arguments or (sys.executable,))],
            stdin=script,
            stdout=subprocess.PIPE,
            universal_newlines=True,
            check=True,
            timeout=60,
            env=dict(os.environ, HOME=str(tmp_path), **variables),
        )
    return read_facts(Result(answer.stdout, "", began, time.time()))


def worker_host(**keys):
    return hosts_with(dict({"host": "192.0.2.2"}, **keys))[1]


def test_facts_are_read_from_a_step(tmp_path):
    facts = facts_here(tmp_path)
    assert (facts.home, facts.project) == (str(tmp_path), str(tmp_path / "flq"))
    assert facts.ahead_s == 0 and facts.memory_mb > 100 and facts.disk_mb > 0
    assert facts.pythons == {"%d.%d" % sys.version_info[:2]: sys.executable}
    assert (facts.releases, facts.environments, facts.current) == ([], [], "")


def test_a_jetson_is_known_by_its_release_and_its_model(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text(
        "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, DATE: Sat Feb 19\n"
    )
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    (tmp_path / "proc" / "device-tree" / "model").write_bytes(b"NVIDIA Jetson Nano Developer Kit\0")
    facts = facts_here(tmp_path, FLQ_ROOT=str(tmp_path))
    assert (facts.l4t, facts.board) == ("32.7.1", "NVIDIA Jetson Nano Developer Kit")


def test_an_answer_that_is_cut_is_no_fact():
    with pytest.raises(DeployError, match="its facts are incomplete"):
        read_facts(Result("home /home/ada\nproject /home/ada/flq\n", ""))


@pytest.mark.parametrize("l4t", sorted(RELEASES))
def test_a_jetson_gets_nvidias_packages_for_its_release(l4t):
    version, name = RELEASES[l4t]
    facts = NANO._replace(l4t=l4t, pythons={version: "/usr/bin/python" + version, "3.11": "/opt/python3.11"})
    assert fitting(worker_host(), facts)[:3] == (name, version, "/usr/bin/python" + version)


@pytest.mark.parametrize(
    "versions, name", [(["3.6", "3.8", "3.13"], "worker"), (["3.6", "3.8"], "worker-py38"), (["3.6"], "worker-py36")]
)
def test_another_machine_gets_the_newest_that_its_python_allows(versions, name):
    facts = PC._replace(pythons={version: "python" + version for version in versions})
    assert fitting(worker_host(), facts).requirements == name


def test_a_master_gets_the_packages_of_master_and_workers():
    master = hosts_with({"host": "192.0.2.1"})[0]
    assert fitting(master, PC).requirements == "local"
    with pytest.raises(DeployError, match="no suitable Python"):
        fitting(master, NANO)


def test_a_missing_requirement_of_a_board_is_named():
    with pytest.raises(DeployError, match=r"it has 3.8, expected one of 3.6 \(L4T 32.7.1\)"):
        fitting(worker_host(), NANO._replace(pythons={"3.8": "python3.8"}))


def test_every_chosen_set_exists():
    for facts in [
        PC,
        *(NANO._replace(l4t=l4t, pythons={version: "python"}) for l4t, (version, _) in RELEASES.items()),
        *(PC._replace(pythons={version: "python"}) for version in ("3.6", "3.8")),
    ]:
        fit = fitting(worker_host(), facts)
        assert (PROJECT / "requirements" / (fit.requirements + ".txt")).exists()


def test_the_environment_is_named_by_its_content(tmp_path):
    (tmp_path / "requirements").mkdir()
    one = tmp_path / "requirements" / "one.txt"
    one.write_text("# a comment\n--extra-index-url https://example.org\n-r two.txt\na==1\n")
    (tmp_path / "requirements" / "two.txt").write_text("b==2  # why\n")
    fit = Fit("one", "3.11", "python3.11", None)
    first = environment_of(fit, str(tmp_path), False)
    assert first.requirements == b"--extra-index-url https://example.org\nb==2\na==1\n"
    offline = environment_of(fit, str(tmp_path), True)
    assert (offline.name, offline.requirements) == (first.name, b"b==2\na==1\n")
    assert environment_of(fit._replace(version="3.12"), str(tmp_path), False).name != first.name
    one.write_text("a==2\n-r two.txt\n")
    assert environment_of(fit, str(tmp_path), False).name != first.name


def test_a_set_that_is_missing_is_named(tmp_path):
    with pytest.raises(DeployError, match="none.txt cannot be read"):
        requirement_lines(str(tmp_path), "none.txt")


@pytest.mark.parametrize(
    "asked, managers, chosen",
    [
        ("auto", ["system", "user"], "system"),
        ("auto", ["user"], "user"),
        ("auto", [], "none"),
        ("user", ["system", "user"], "user"),
        ("none", ["system"], "none"),
    ],
)
def test_the_service_manager_is_the_first_available(asked, managers, chosen):
    assert manager_of(worker_host(systemd=asked), PC._replace(managers=managers)) == chosen


def test_systemd_that_may_not_be_used_is_refused():
    with pytest.raises(DeployError, match="needs root, or sudo without a password"):
        manager_of(worker_host(systemd="system"), PC._replace(managers=["user"]))


def test_a_clock_that_is_wrong_is_named():
    (note,) = require_fit(worker_host(), PC._replace(ahead_s=-3600.0))
    assert "3600 s behind" in note and "set-ntp" in note
    assert require_fit(worker_host(), PC) == []


@pytest.mark.parametrize(
    "began, begun, done, ended, ahead_s",
    [
        (0, 1, 2, 3, 0),
        (0, 90, 95, 100, 0),  # a slow answer says nothing against a clock
        (0, 3605, 3606, 10, 3596),
        (0, -3600, -3590, 15, -3600),
        (0, 100, 195, 100, 95),
        (0, -5, 90, 100, -5),
    ],
)  # what the step itself took does not count
def test_two_clocks_are_compared_at_the_same_moment(tmp_path, began, begun, done, ended, ahead_s):
    lines = [
        "clock %s" % begun,
        "home /h",
        "project /h/flq",
        "user ada",
        "machine x",
        "memory_mb 1",
        "disk_mb 1",
        "board ",
        "l4t ",
        "clock %s" % done,
    ]
    assert read_facts(Result("\n".join(lines), "", began, ended)).ahead_s == ahead_s


def test_a_clock_that_is_an_hour_ahead_is_seen(tmp_path):
    (tmp_path / "date").write_text("#!/bin/sh\necho $(($(PATH=/usr/bin:/bin date +%s) + 3600)).5\n")
    (tmp_path / "date").chmod(0o755)
    facts = facts_here(tmp_path, PATH="%s:%s" % (tmp_path, os.environ["PATH"]))
    assert 3500 < facts.ahead_s <= 3601


def test_a_full_disk_is_rejected_unless_everything_is_installed():
    full = PC._replace(disk_mb=100)
    with pytest.raises(DeployError, match="only 100 MB are free"):
        require_fit(worker_host(), full)
    assert require_fit(worker_host(), full._replace(environments=["a"])) == []
