"""docs/adding.md is correct: each of its examples has the documented size, and works."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from adding import PROJECT, apply, blocks_of
from factory import settings_with

from flq.sinks.messages import Began, Ended, Round, line_of

sys.path.append(str(PROJECT / "tests" / "report"))

from report_rows import a_round  # noqa: E402

SECTIONS = re.findall(r"^## (.*)$", (PROJECT / "docs" / "adding.md").read_text(encoding="utf-8"), re.MULTILINE)


def run(folder, *words, told=b"", path=None):
    """Run a module of the changed copy, or of ``path``; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=str(folder),
        input=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH="%s:%s" % (path or folder, PROJECT / "tests"), PYTHONDONTWRITEBYTECODE="1"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


SIMULATED = """
import json, sys
sys.path.append(%r)
from factory import quadratic_with
from flq.engines.simulation import simulate
changes = json.load(sys.stdin)
settings = quadratic_with(**changes)
print(json.dumps([report.training_loss for report in simulate(settings).reports]))
"""


def losses_of(folder, **changes):
    """Return the training losses of a simulated run of the changed copy, on the quadratic problem by default."""
    (folder / "simulated.py").write_text(SIMULATED % str(PROJECT / "tests"))
    return json.loads(run(folder, "simulated", told=json.dumps(changes).encode()))


def check_contract(folder, tests, name):
    """Run the tests of a contract on one row of the changed copy."""
    for path in (PROJECT / "tests" / tests).parent.glob("*.py"):  # with their imports
        if not (folder / path.name).exists():
            shutil.copy(str(path), str(folder))
    run(folder, "pytest", "-q", "-p", "no:cacheprovider", "-k", name, os.path.basename(tests))


def test_the_simulation_that_the_page_shows_runs(tmp_path):
    (block,) = blocks_of("How to run it")
    (tmp_path / "simulated.py").write_text(block, encoding="utf-8")
    losses = json.loads(run(tmp_path, "simulated", path=PROJECT))
    assert len(losses) == 5 and losses[-1] < losses[0]


@pytest.mark.parametrize("section", SECTIONS)
def test_the_code_of_a_section_is_formatted_and_has_no_mistakes(tmp_path, section):
    for number, block in enumerate(blocks_of(section)):
        if ", in " not in block.splitlines()[0]:
            (tmp_path / ("block%d.py" % number)).write_text(block, encoding="utf-8")
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(PROJECT / "pyproject.toml")]
        done = subprocess.run([*ruff, str(tmp_path)], stdout=subprocess.PIPE, universal_newlines=True, timeout=60)
        assert done.returncode == 0, done.stdout


def test_a_data_set_is_a_file_and_a_row(tmp_path):
    changed = apply("A data set", tmp_path)
    assert changed == ["flq/training/sources/checkers.py", "flq/training/datasets.py"]
    assert "a text (checkers, digits, " in run(tmp_path, "flq.config_docs")
    table = run(tmp_path, "flq.training.distribution", "--dataset", "checkers").splitlines()
    assert table[0].split() == ["worker", "samples", "class", "0", "class", "1"]
    assert table[-1].split() == ["all", "1200", "600", "600"]
    shutil.copy(str(PROJECT / "tests" / "factory.py"), str(tmp_path))
    check_contract(tmp_path, "training/test_datasets.py", "checkers")


@pytest.mark.tf
def test_a_model_is_a_function_and_a_row(tmp_path):
    pytest.importorskip("tensorflow")
    assert apply("A model", tmp_path) == ["flq/training/models.py"]
    assert "a text (lenet5, logreg, " in run(tmp_path, "flq.config_docs")
    shutil.copy(str(PROJECT / "tests" / "factory.py"), str(tmp_path))
    check_contract(tmp_path, "training/test_keras_models.py", "lenet5")


def test_a_framework_is_a_file_and_a_row(tmp_path):
    assert apply("A framework", tmp_path) == ["flq/training/softmax_task.py", "flq/training/frameworks.py"]
    assert "a text (softmax, logreg, " in run(tmp_path, "flq.config_docs")
    losses = losses_of(tmp_path, name="softmax", mode="fedavg", lr=1.0)
    assert losses[-1] < 0.6 * losses[0]


def test_a_codec_is_a_file_and_a_row(tmp_path):
    assert apply("A codec", tmp_path) == ["flq/core/codecs/ternary.py", "flq/core/codecs/__init__.py"]
    assert "one of ternary, lowrank" in run(tmp_path, "flq.config_docs")
    losses = losses_of(tmp_path, mode="ternary", memory="mirror", update="gradient", lr=0.1)
    assert losses[-1] < 0.8 * losses[0] and losses != losses_of(tmp_path, b_up=2, memory="mirror", update="gradient")
    check_contract(tmp_path, "core/test_codec_contract.py", "11 or ternary")


def test_an_aggregator_is_a_file_and_a_row(tmp_path):
    assert apply("An aggregator", tmp_path) == [
        "flq/core/strategies/trimmed_mean.py",
        "flq/core/strategies/__init__.py",
    ]
    assert "an object of numbers (trimmed_mean: trim 0.2" in run(tmp_path, "flq.config_docs")
    settings = dict(mode="bbit", memory="mirror", aggregator="trimmed_mean", total_workers=5)
    losses = [losses_of(tmp_path, aggregator_options={"trim": trim}, **settings) for trim in (0.0, 0.1, 0.4)]
    assert losses[0] == losses[1] != losses[2]  # of five workers, a tenth is none
    assert losses[2][-1] < losses[2][0]
    check_contract(tmp_path, "core/test_strategies.py", "trimmed_mean")


def test_a_server_optimizer_is_a_file_and_a_row(tmp_path):
    assert apply("A server optimizer", tmp_path) == ["flq/core/strategies/yogi.py", "flq/core/strategies/__init__.py"]
    assert "yogi: beta_1 0.9, beta_2 0.99, epsilon 0.001" in run(tmp_path, "flq.config_docs")
    losses = losses_of(tmp_path, mode="fedavg", server_optimizer="yogi", server_lr=0.05)
    assert losses[-1] < 0.8 * losses[0]
    check_contract(tmp_path, "core/test_strategies.py", "yogi")


def test_a_transport_is_a_function(tmp_path):
    assert apply("A transport", tmp_path) == ["flq/worker/in_process.py"]
    tests = (PROJECT / "tests" / "master" / "test_transports.py").read_text("utf-8")
    row = '"in process": lambda master, worker_id: connect(master.run, worker_id),'
    added = tests.replace("TRANSPORTS = {", "from flq.worker.in_process import connect\n\nTRANSPORTS = {\n    " + row)
    (tmp_path / "test_transports.py").write_text(added, encoding="utf-8")
    check_contract(tmp_path, "master/test_transports.py", "in and process")


def test_an_engine_is_a_file_and_a_row(tmp_path):
    assert apply("An engine", tmp_path) == ["flq/engines/threads.py", "flq/engines/__init__.py"]
    check_contract(tmp_path, "engines/test_engines.py", "every_engine and threads")


def test_a_tracker_is_a_file_and_a_row(tmp_path):
    changed = apply("A sink (a tracker)", tmp_path)
    assert changed == ["flq/sinks/trackers/csv_file.py", "flq/sinks/trackers/__init__.py"]
    assert "csv" in run(tmp_path, "flq.config_docs")  # so it can be asked for
    rounds = [Round(a_round(k, accuracy=k / 4), {}) for k in (1, 2)]
    told = [Began("run_7", settings_with(), "", rounds[:1]), rounds[1], Ended("done", False, False, [])]
    run(tmp_path, "flq.sinks.trackers", "csv", str(tmp_path), told=b"".join(map(line_of, told)))
    with open(str(tmp_path / "run_7.csv"), newline="") as stream:
        lines = list(csv.reader(stream))
    assert lines[0] == ["round", "name", "value"]
    assert [line for line in lines if line[1] == "test/accuracy"] == [
        ["1", "test/accuracy", "0.25"],
        ["2", "test/accuracy", "0.5"],
    ]
