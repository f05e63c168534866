"""The sinks that settings and environment request; the one that draws delays nothing."""

import importlib.util
import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from waits import WAIT_S, wait_until

from flq.config_file import load_config
from flq.errors import ConfigError
from flq.launch import argv_of
from flq.master.runtime.configured_sinks import sinks_of

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=5")
ADDRESS = "tgram://123456789:AAs3cret/-100"


def config_with(*overrides):
    return load_config(None, ("report.figure_every=0",) + overrides)


def made(sinks):
    return [(sink.name, sink._argv, sink._environment) for sink in sinks._sinks]


def test_without_settings_and_secrets_there_are_no_sinks(tmp_path):
    assert made(sinks_of(config_with(), {}, str(tmp_path), "results")) == []


def test_secrets_of_the_environment_go_to_one_child_and_to_no_other(tmp_path):
    environment = {"FLQ_NOTIFY": ADDRESS + " json://host", "FLQ_NOTIFY_PROXY": "http://p:1", "HOME": "/home"}
    ((name, argv, own),) = made(sinks_of(config_with(), environment, str(tmp_path), "results"))
    assert (name, argv) == ("notifications", argv_of("flq.sinks.notify"))
    assert own == {"FLQ_NOTIFY": ADDRESS + "\njson://host", "FLQ_NOTIFY_PROXY": "http://p:1"}
    assert environment == {"HOME": "/home"}


def test_secrets_of_a_file_that_others_can_read_are_warned_of_and_not_used(tmp_path, caplog):
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "notify"
    path.write_text(ADDRESS)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING, "flq"):
        assert made(sinks_of(config_with(), {}, str(tmp_path), "results")) == []
    assert "others can read" in caplog.text and "s3cret" not in caplog.text
    path.chmod(0o600)
    ((_, _, own),) = made(sinks_of(config_with(), {}, str(tmp_path), "results"))
    assert own["FLQ_NOTIFY"] == ADDRESS


def test_each_tracker_has_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    config = config_with("trackers=jsonl,swanlab,jsonl")
    assert [(name, argv) for name, argv, _ in made(sinks_of(config, {}, str(tmp_path), "results"))] == [
        ("tracker jsonl", argv_of("flq.sinks.trackers", "jsonl", os.path.join("results", "trackers", "jsonl"))),
        ("tracker swanlab", argv_of("flq.sinks.trackers", "swanlab", os.path.join("results", "trackers", "swanlab"))),
    ]


def test_a_tracker_whose_package_is_missing_is_refused_before_the_run_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install \.\[tensorboard\]"):
        sinks_of(config_with("trackers=tensorboard"), {}, str(tmp_path), "results")


def test_the_master_imports_no_packages_of_its_sinks():
    code = (
        "import sys, flq.master.runtime.configured_sinks; "
        "sys.exit(bool({'apprise', 'matplotlib', 'tensorboardX', 'swanlab'} & set(sys.modules)))"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def test_figures_are_drawn_unless_the_settings_say_no(tmp_path):
    assert made(sinks_of(load_config(None), {}, str(tmp_path), "results")) == [
        ("figures", argv_of("flq.sinks.figures"), {})
    ]


def test_without_matplotlib_the_log_names_the_package(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert made(sinks_of(load_config(None), {}, str(tmp_path), "results")) == []
    assert "matplotlib is missing; install it" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_one_that_hangs_or_dies_delays_no_round_and_the_end_no_longer_than_its_limit(
    make_master, run_workers, tmp_path, number
):
    undisturbed = run_workers(make_master(*RUN))
    master = make_master(*RUN, "report.figure_every=1")
    sinks = sinks_of(load_config(None, ["report.figure_every=1"]), {}, str(tmp_path), "results")
    master.run.feed._sinks, (sink,) = sinks, sinks._sinks
    sink.start(master.run._began)
    wait_until(lambda: sink._child is not None)
    os.kill(sink._child.pid, number)
    model = run_workers(master)  # waits for the end of the run, which is not drawn
    assert np.array_equal(model, undisturbed)
    assert len(master.run.record.rounds()) == 5
    if number == signal.SIGSTOP:
        assert sink._child.poll() is None and sink._thread.is_alive()
        sink.close(0.1)  # as the master does, with a longer limit
        assert sink._child.returncode == -signal.SIGKILL
    sink.close(WAIT_S)
    assert not sink._thread.is_alive()
