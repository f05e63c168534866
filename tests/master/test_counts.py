"""Bytes and energy belong to the round that closes next, also after a restart of the master."""

import json

from factory import settings_with

from flq.core.rng import start_values
from flq.master.records.counts import Counts
from flq.master.records.wire_meter import Meter, Wire
from flq.protocol.events import RoundReport
from flq.protocol.master_machine import MasterMachine
from flq.protocol.options import run_options
from flq.training.frameworks import make_task

REPORT = RoundReport(1, {}, *[0] * 11)


def new_machine():
    settings = settings_with(name="quadratic", lr=0.05, mode="bbit")
    layout = make_task(settings).layout
    return MasterMachine(run_options("run", settings, layout), start_values(layout, 1))


def test_a_round_has_the_bytes_since_the_one_before_and_the_energy_so_far():
    counts = Counts(Meter())
    counts.meter.add(0, Wire(10, 20))
    counts.meter.add(None, Wire(500, 500))  # of no worker
    assert counts.close_round(REPORT).wire == (10, 20)
    counts.meter.add(1, Wire(1, 2))
    for joules in 1.0, 4.0:
        counts.devices.take(1, {"life": "one", "energy_j": joules})
    closed = counts.close_round(REPORT)
    assert (closed.wire, closed.energy_j) == ((1, 2), 3.0)


def test_another_process_counts_on():
    counts, machine = Counts(Meter()), new_machine()
    counts.meter.add(0, Wire(10, 20))
    closed = counts.close_round(REPORT)
    counts.meter.add(0, Wire(3, 4))
    other = Counts(Meter())
    other.resume_round(closed)
    other.resume(new_machine(), json.loads(json.dumps(counts.to_json(machine))))
    assert other.close_round(REPORT).wire == (3, 4)
    assert other.totals(machine, None) == counts.totals(machine, None)


def test_counts_that_are_not_known_begin_at_zero():
    counts = Counts(Meter())
    counts.resume(new_machine(), None)
    assert counts.close_round(REPORT).wire == (0, 0)
