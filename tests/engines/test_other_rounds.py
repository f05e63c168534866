"""Unchanged workers train a run with rounds of another kind."""

import functools
import sys
from pathlib import Path

from factory import quadratic_with

from flq.core.statuses import UPLOADED
from flq.engines import memory_master, simulation
from flq.protocol.master_machine import MasterMachine

sys.path.append(str(Path(__file__).resolve().parent.parent / "protocol"))

from other_parts import BufferedRounds  # noqa: E402


def test_buffered_rounds_train_a_whole_run(monkeypatch):
    monkeypatch.setattr(memory_master, "MasterMachine", functools.partial(MasterMachine, rounds=BufferedRounds))
    run = simulation.simulate(quadratic_with(total_workers=3, min_workers=3, max_rounds=6, dim=50))
    assert set(run.exit_codes.values()) == {0} and len(run.reports) == 6
    assert all(sum(status == UPLOADED for status in report.roll_call.values()) == 2 for report in run.reports)
