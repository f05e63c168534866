"""The commands of README that start a run by hand on one machine, and watch it with curl, do what README says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest
from cluster import REPOSITORY, RUN_S, START_S, free_port

SHORT = ["--set", "model.name=quadratic", "--set", "model.lr=0.05", "--set", "max_rounds=300"]  # seconds, not minutes
FILES = ("flq_master.py", "flq_worker.py", "flq_config.json", "start_master.sh", "start_worker.sh")


@pytest.fixture
def project(tmp_path):
    """Return a copy of the project with an environment, without results, state and logs."""
    for name in FILES:
        shutil.copy2(os.path.join(REPOSITORY, name), str(tmp_path / name))
    shutil.copytree(os.path.join(REPOSITORY, "scripts"), str(tmp_path / "scripts"))
    (tmp_path / "flq").symlink_to(os.path.join(REPOSITORY, "flq"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def commands(first, last):
    """Return the lines of README's block that begins and ends with these words, without comments."""
    with open(os.path.join(REPOSITORY, "README.md"), encoding="utf-8") as stream:
        (block,) = [
            block for block in re.findall(r"(?:^    .*\n)+", stream.read(), re.M) if first in block and last in block
        ]
    return [line.split("  #")[0].strip() for line in block.splitlines()]


def test_the_run_can_be_watched_before_it_is_over_and_afterwards(project):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    port = free_port()
    master, *workers, status, stop = commands("--keep_serving", "/stop")
    assert len(workers) == 2
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment.pop("CONDA_DEFAULT_ENV", None)

    def start(command, *more):
        return subprocess.Popen(
            shlex.split(command) + ["--port", str(port), *more],
            cwd=str(project),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # lines of rounds, which would fill a pipe
            universal_newlines=True,
        )

    def ask(command):
        done = subprocess.run(
            shlex.split(command.replace(":5000", ":%d" % port)) + ["--silent", "--show-error", "--fail"],
            env=environment,
            stdout=subprocess.PIPE,
            timeout=RUN_S,
        )
        assert done.returncode == 0
        return json.loads(done.stdout.decode())

    with ExitStack() as closing:
        programs = []
        for command, more in [(master, SHORT)] + [(worker, []) for worker in workers]:
            programs.append(closing.enter_context(start(command, *more)))
            closing.callback(programs[-1].kill)
            if command == master:
                assert programs[0].stdout.readline().startswith("FLQ master ready on http://127.0.0.1:%d" % port)
        during = ask(status)
        assert during["max_rounds"] == 300 and during["current_round"] < 300
        assert [worker.wait(RUN_S) for worker in programs[1:]] == [0, 0]
        after = ask(status)
        assert after["current_round"] == 300 and programs[0].poll() is None
        answer = ask(stop)
        assert answer["status"] == "stopped" and os.path.exists(answer["results_saved"])
        assert programs[0].wait(START_S) == 0
