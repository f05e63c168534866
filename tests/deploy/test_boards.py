"""One cluster is deployed, watched, stopped and removed, with real sshds: one rejects keys, one is slow, one is hidden.

The fixture `story` runs all commands once; the tests check their results.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List

import pytest
from boards import Boards, Impossible, skip_unless_possible
from workplace import PROJECT, Done, Workplace

ROUNDS, PORT = 300, 5071
DEPLOYED = ("jump", "inner", "slow")
RUN_S = 120.0  # for the run to end; it takes a few seconds
CLUSTER = """
ssh_config: {ssh_config}
project_dir: apps/flq
master:
  address: {jump}
  port: {port}
  environment: {python}
  set: [model.name=quadratic, model.lr=0.05, mode=bbit, system.max_rounds={rounds}, system.min_workers=2,
        system.linger_s=3]
workers:
  - host: {inner}
    jump_host: root@{jump}:22
    python: {python36}
    settings: {{gpu_memory_limit_mb: 900}}
  - host: {slow}
    environment: {python}
    systemd: user
  - host: {refusing}
"""


def python36() -> str:
    """Return a Python 3.6, or skip."""
    find = 'project_dir="$1"; . "$1/scripts/environment.sh"; find_python_of 3.6'
    found = subprocess.run(
        ["bash", "-c", find, "bash", str(PROJECT)], stdout=subprocess.PIPE, timeout=60, universal_newlines=True
    ).stdout.strip()
    if not found:
        pytest.skip("no Python 3.6 is here, for a board as old as a Jetson Nano")
    return shutil.which(found) or found


def fill_wheelhouse(folder: Path, python: str) -> None:
    """Download the packages of a board with Python 3.6, by the pip that it will use, or skip."""
    pip = folder / "pip-21.3.1-py3-none-any.whl"
    quiet = ["--disable-pip-version-check", "--quiet", "download", "--dest", str(folder)]
    for command in (
        [sys.executable, "-m", "pip", *quiet, "--no-deps", "--python-version", "3.6", "pip==21.3.1"],
        [python, str(pip / "pip"), *quiet, "-r", str(PROJECT / "requirements" / "worker-py36.txt")],
    ):
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=300
        )
        if done.returncode:
            pytest.skip("no wheels can be downloaded for Python 3.6: %s" % done.stdout.strip().splitlines()[-1])


def changes_of(*folders: str) -> Dict[str, float]:
    """Return the modification times of all files below, except those that running programs write."""
    found = {}
    for top in folders:
        for folder, inner, names in os.walk(top):
            inner[:] = [
                name
                for name in inner
                if name not in ("logs", "results", "state", "__pycache__") or "releases" in folder
            ]
            for path in [folder] + [os.path.join(folder, name) for name in names + inner]:
                found[path] = os.lstat(path).st_mtime_ns
    return found


class Story:
    """The commands in order, and their results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "boards").mkdir()
        (folder / "wheelhouse").mkdir()
        old = python36()
        fill_wheelhouse(folder / "wheelhouse", old)
        self.boards = Boards(str(folder / "boards"))
        try:
            with self.boards:
                self.tell(old)
        except Impossible as error:
            pytest.skip("no network of namespaces can be made here: %s" % error)

    def tell(self, old: str) -> None:
        """Deploy, watch, stop, collect, uninstall."""
        self.place = Workplace(self.folder, self.boards.within("operator"))
        cluster = self.folder / "cluster.yaml"
        cluster.write_text(
            CLUSTER.format(
                ssh_config=self.boards.ssh_config,
                python36=old,
                python=sys.executable,
                port=PORT,
                rounds=ROUNDS,
                **self.boards.addresses,
            )
        )
        flags = ("--cluster", str(cluster), "--wheelhouse", str(self.folder / "wheelhouse"))
        self.check = self.place.deploy_jetson("check", *flags)
        self.first = self.place.deploy_jetson(*flags)
        assert self.first.code == 1, self.first
        self.tokens = dict(line.split() for line in self.on_master("state", "tokens").read_text().splitlines())
        self.given = {
            name: Path(self.boards.path(name, "home", "apps", "flq", "settings", "worker%d.token" % index))
            .read_text()
            .strip()
            for index, name in enumerate(("inner", "slow"))
        }
        self.units = {
            name: Path(self.boards.path(name, *parts, "flq-worker.service")).read_text()
            for name, parts in (("inner", ("units",)), ("slow", ("home", ".config", "systemd", "user")))
        }
        places = [self.boards.path(name, part) for name in DEPLOYED for part in ("home", "units")]
        before, calls = changes_of(*places), self.calls()
        self.second = self.place.deploy_jetson(*flags)
        after = changes_of(*places)
        self.changed = sorted(path for path in {**before, **after} if before.get(path) != after.get(path))
        self.calls_of_second = {name: found[len(calls[name]) :] for name, found in self.calls().items()}
        self.status = self.place.deploy_jetson("status", *flags)
        self.excel = self.wait_for_results()
        self.logs = self.place.deploy_jetson("logs", self.boards.addresses["inner"], "--follow", "no", *flags)
        self.stop = self.place.deploy_jetson("stop", *flags)
        self.alive_after_stop = self.programs()
        self.collect = self.place.deploy_jetson("collect", *flags)
        self.collected = sorted(
            str(path.relative_to(self.folder / "collected"))
            for path in (self.folder / "collected").rglob("*")
            if path.is_file()
        )
        self.again = self.place.deploy_jetson("collect", *flags)
        self.uninstall = self.place.deploy_jetson("uninstall", *flags)
        self.left = {
            name: sorted(path.name for path in Path(self.boards.path(name, "home", "apps", "flq")).iterdir())
            for name in DEPLOYED
        }

    def on_master(self, *parts: str) -> Path:
        """Return a path in the master's installation."""
        return Path(self.boards.path("jump", "home", "apps", "flq", *parts))

    def calls(self) -> Dict[str, List[str]]:
        """Return what systemctl was asked, by board."""
        return {name: self.boards.calls(name) for name in DEPLOYED}

    def programs(self) -> List[str]:
        """Return the command lines of FLQ's programs in the namespaces."""
        found = []
        for name in DEPLOYED:
            pids = subprocess.run(
                ["ip", "netns", "pids", self.boards.namespace(name)], stdout=subprocess.PIPE, universal_newlines=True
            ).stdout.split()
            for pid in pids:
                with open("/proc/%s/cmdline" % pid) as stream:
                    words = stream.read().split("\0")
                found += [" ".join(words)] * any(word.endswith(("flq_master.py", "flq_worker.py")) for word in words)
        return found

    def wait_for_results(self) -> List[Path]:
        """Wait until the master has ended; return the workbooks."""
        deadline = time.monotonic() + RUN_S
        while any("flq_master.py" in line for line in self.programs()):
            assert time.monotonic() < deadline, "the run does not end"
            time.sleep(0.2)
        return list(self.on_master("results").glob("*.xlsx"))


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Run the story once; remove everything afterwards."""
    skip_unless_possible()
    return Story(tmp_path_factory.mktemp("boards"))


def hosts(story: Story) -> Dict[str, str]:
    return story.boards.addresses


def test_check_reports_what_fits_and_which_hosts_are_unreachable(story):
    assert story.check.code == 1
    assert "requirements/worker-py36.txt" in story.check.line_of(hosts(story)["inner"])
    assert " ok " in story.check.line_of(hosts(story)["slow"])
    assert "FAILED" in story.check.line_of(hosts(story)["refusing"])


def test_a_host_that_refuses_has_its_line_and_its_log_and_the_exit_code_counts_it(story):
    assert story.first.code == 1, story.first
    line = story.first.line_of(hosts(story)["refusing"])
    assert "FAILED" in line and "Permission denied (publickey)" in line
    log = Path(story.folder / re.search(r"log: (\S+)", line).group(1))
    assert "Permission denied" in log.read_text()


def test_the_other_hosts_continue(story):
    for name in ("inner", "slow"):
        assert " ok " in story.first.line_of(hosts(story)[name])
        assert "flq-worker started" in story.first.line_of(hosts(story)[name])
    assert re.search(r"connected=2/2", story.first.output)


def test_a_board_gets_its_own_token_and_no_other(story):
    assert story.given == {"inner": story.tokens["worker0"], "slow": story.tokens["worker1"]}
    for name, own in (("inner", "worker0"), ("slow", "worker1")):
        folder = Path(story.boards.path(name, "home"))
        others = [token for who, token in story.tokens.items() if who != own]
        texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 10**6]
        assert not [token for token in others for text in texts if token.encode() in text]


def test_no_token_is_in_a_log_or_an_output(story):
    said = [text for done in vars(story).values() if isinstance(done, Done) for text in (done.output, done.errors)]
    said += list(story.place.logs().values()) + [line for calls in story.calls().values() for line in calls]
    assert len(said) > 20
    assert not [token for token in story.tokens.values() if any(token in text for text in said)]


def test_an_offline_board_makes_its_environment_from_the_wheelhouse(story):
    assert "environment worker-py36-" in story.first.line_of(hosts(story)["inner"])


def test_units_are_those_of_the_system_or_of_the_user(story):
    assert "ProtectSystem=strict" in story.units["inner"] and "User=root" in story.units["inner"]
    assert "ProtectSystem" not in story.units["slow"] and "WantedBy=default.target" in story.units["slow"]


def test_a_second_deployment_changes_nothing(story):
    assert story.second.code == 1, story.second  # one still refuses
    for name in (hosts(story)[name] for name in DEPLOYED):
        assert re.match(r"%s +ok +unchanged" % re.escape(name), story.second.line_of(name)), story.second.output
    assert story.changed == []


def test_a_second_deployment_restarts_nothing(story):
    verbs = {word for calls in story.calls_of_second.values() for call in calls for word in call.split()}
    assert verbs & {"is-active", "is-enabled"}
    assert not verbs & {"start", "restart", "stop", "enable", "disable", "daemon-reload"}


def test_status_shows_the_run_and_every_program(story):
    rows = {line.split()[1]: line.split() for line in story.status.output.splitlines() if "worker" in line}
    assert story.status.code == 1
    assert rows["worker0"][2:4] == ["active", "yes"] and rows["worker2"][2] == "unreachable"
    assert re.search(r"^run \S+ (OPEN|CLOSING|FINISHED) round=\d+/%d connected=2/2" % ROUNDS, story.status.output, re.M)


def test_the_run_in_between_trains_to_the_end(story):
    from openpyxl import load_workbook

    (path,) = story.excel
    summary = dict(row[:2] for row in load_workbook(path)["Summary"].iter_rows(values_only=True))
    assert ROUNDS in summary.values(), summary


def test_logs_shows_the_end_of_a_workers_log(story):
    assert story.logs.code == 0
    assert "the run has ended after round %d" % ROUNDS in story.logs.output


def test_stop_after_the_end_reports_it_with_the_results(story):
    said = next(line for line in story.stop.output.splitlines() if line.startswith("run "))
    assert " has ended: %d rounds are done; results: %s; " % (ROUNDS, story.excel[0]) in said


def test_after_stop_nothing_runs(story):
    assert story.stop.code == 1
    assert story.alive_after_stop == []


def test_collect_fetches_each_hosts_results_and_logs_once(story):
    folders = {path.split("/")[0] for path in story.collected}
    assert folders == {hosts(story)[name] for name in DEPLOYED}
    assert any(path.endswith(".xlsx") for path in story.collected)
    assert any("worker1_" in path for path in story.collected)
    assert story.again.output.count("nothing new") == 3


def test_uninstall_leaves_results_and_state(story):
    assert story.left == {
        "inner": ["logs", "state"],
        "slow": ["logs", "state"],  # a worker has no results
        "jump": ["logs", "results", "state"],
    }
    assert "results, state and logs stay" in story.uninstall.line_of(hosts(story)["slow"])
    assert not list(Path(story.boards.path("inner", "units")).iterdir())


def test_nothing_of_the_story_is_left_on_this_machine(story):
    assert (
        story.boards.namespace("operator")
        not in subprocess.run(["ip", "netns"], stdout=subprocess.PIPE, universal_newlines=True).stdout
    )
