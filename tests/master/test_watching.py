"""Which watchers a run has, and that the one that draws holds nothing up, whatever becomes of it."""

import os
import signal

import numpy as np
import pytest
from local_master import WAIT_S
from test_watchers import wait_for

from flq.config_file import load_config
from flq.master import watching
from flq.master.watchers import Watchers
from flq.master.watching import watchers_of

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=5")


def settings_of(*overrides):
    return load_config(None, overrides).settings()


def test_figures_are_drawn_unless_the_settings_say_no():
    assert [watcher.name for watcher in watchers_of(settings_of())] == ["figures"]
    assert watchers_of(settings_of("report.figure_every=0")) == []


def test_without_matplotlib_the_log_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setattr(watching, "find_spec", lambda name: None)
    assert watchers_of(settings_of()) == []
    assert "matplotlib is missing; install it" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_one_that_hangs_or_dies_delays_no_round_and_the_end_no_longer_than_its_limit(make_master, run_workers, number):
    undisturbed = run_workers(make_master(*RUN))
    master = make_master(*RUN, "report.figure_every=1")
    watcher, = watchers_of(master.settings)
    master.service._watchers = Watchers([watcher])
    watcher.start(master.service._began)
    wait_for(lambda: watcher._child is not None)
    os.kill(watcher._child.pid, number)
    model = run_workers(master)  # waits for the end of the run, which nobody draws
    assert np.array_equal(model, undisturbed)
    assert len(master.service.record.rounds()) == 5
    if number == signal.SIGSTOP:
        assert watcher._child.poll() is None and watcher._thread.is_alive()
        watcher.close(0.1)  # as the master does, with a longer limit
        assert watcher._child.returncode == -signal.SIGKILL
    watcher.close(WAIT_S)
    assert not watcher._thread.is_alive()
