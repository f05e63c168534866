"""A master's machine is captured between rounds; snapshot and later events restore it, bit for bit."""

import json

import numpy as np
import pytest
from master_bench import Bench, lasting

from flq.core.codecs import QUANTIZERS, plus
from flq.core.layout import fingerprint
from flq.core.rng import ROUNDING, stream
from flq.protocol import events
from flq.protocol.journal_codec import from_entry
from flq.protocol.master_machine import MasterMachine, State
from flq.protocol.master_state import capture, is_between_rounds, resume
from flq.protocol.messages import Kind, Outcome
from flq.protocol.traffic import Traffic

CONFIGURATIONS = {
    "fedavg": dict(mode="fedavg", ema=0.9),
    "laq8, momentum": dict(mode="laq8", server_optimizer="momentum"),
    "residual": dict(mode="bbit"),
    "mirror, adam": dict(mode="bbit", memory="mirror", server_optimizer="adam", server_lr=0.01),
    "flq": dict(mode="bbit", update="gradient", ema=0.5),
    "laq": dict(mode="laq", update="gradient"),
    "bin": dict(mode="bin", memory="residual"),
    "one at a time": dict(mode="bbit", sel_clients=1, C=1),
    "budget, mirrors, deadlines": dict(mode="bbit", memory="mirror", up_budget_bits=180, round_deadline_s=60.0),
}


class Recorded(Bench):
    """A bench with workers that answer each round, and snapshots in between."""

    def __init__(self, **changes):
        super().__init__(min_workers=3, lease_s=100.0, **changes)
        self.snapshots = []
        self.mirrors = {}

    def take_snapshot(self):
        assert is_between_rounds(self.machine)
        meta, arrays = capture(self.machine)
        self.snapshots.append(
            (
                len(self.journal),
                json.dumps(meta),
                {name: a.copy() for name, a in arrays.items()},
                arrays,
                self.machine.delivery.capture(),
            )
        )

    def upload(self, worker_id, values):
        """Send an offer if one is needed, and upload; return the outcome."""
        rules, member = self.machine.options.rules, self.machine.members[worker_id]
        if rules.needs_offers and self.verdict_of_offer(worker_id) is not Outcome.GRANTED:
            return None
        payload = QUANTIZERS[rules.codec_up].encode(np.array(values, np.float32), self.layout, stream(1, ROUNDING))
        crc = 0
        if rules.has_mirrors:
            mirror = self.machine.model.mirror_of(worker_id)
            base = np.zeros(4, np.float32) if mirror is None else mirror
            crc = fingerprint(plus(base, rules.codec_up, payload, self.layout))
        return self.verdict(worker_id, seq=member.closed_seq + 1, payload=payload, state_crc=crc)

    def verdict_of_offer(self, worker_id):
        seq = self.machine.members[worker_id].closed_seq + 1
        ticket = self.offers[worker_id] = self.offers.get(worker_id) or self.answer(
            worker_id, Kind.OFFER, seq=seq, energy=float(worker_id)
        )
        return None if self.is_parked(ticket) else self.outcome(ticket)

    def play(self):
        """Play some rounds with a skip, a newcomer, a lost worker, and one that begins a new epoch."""
        self.take_snapshot()
        self.join(0, 1, 2)
        self.take_snapshot()
        for k in range(1, 7):
            index, self.offers = self.round, {}
            if k == 2:
                self.join(3)
            if k == 3:
                self.verdict(0, Kind.SKIP, seq=self.machine.members[0].closed_seq + 1)
            for _ in range(2):
                for worker_id in self.machine.open_round.undecided() if self.round == index else ():
                    if k != 4 or worker_id != 1:
                        self.upload(worker_id, [k, -worker_id, 0.1 * k * worker_id, 1])
            if k == 4:  # worker 1 says nothing until it is lost
                for _ in range(4):
                    for worker_id in (0, 2, 3):
                        self.poll(worker_id, answered=self.round)
                    self.wait(25)
            if k == 5:
                self.join(1)
            if self.machine.open_round is not None and not self.machine.open_round.has_begun():
                self.take_snapshot()

    def revived(self, number):
        """Return the machine of a snapshot and the later journal."""
        n_entries, text, copies, arrays, traffic = self.snapshots[number]
        assert all(arrays[name].tobytes() == copy.tobytes() for name, copy in copies.items()), "never written to"
        meta, machine = json.loads(text), MasterMachine(self.options, self.start)
        version = meta["version"]
        deltas = list(self.encoded.values())  # there is one for each version
        resume(machine, meta, copies, list(enumerate(deltas, 1))[:version])
        machine.delivery.resume(json.loads(json.dumps(traffic)))
        for entry in self.journal[n_entries:]:
            machine.replay(
                from_entry(entry.kind, json.loads(json.dumps(entry.body)), entry.frame, self.link, -1),
                {index: delta for index, delta in self.encoded.items() if delta is not None},
            )
        return machine


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_any_snapshot_and_the_journal_after_it_make_the_machine_again(name):
    bench = Recorded(**CONFIGURATIONS[name])
    bench.play()
    assert len(bench.snapshots) >= 5 and bench.round >= 5 and bench.machine.model.state.version >= 3
    for number in range(len(bench.snapshots)):
        assert lasting(bench.revived(number)) == lasting(bench.machine)


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_a_resumed_machine_continues_like_the_original(name):
    bench = Recorded(**CONFIGURATIONS[name])
    bench.play()
    bench.machine, live = bench.revived(len(bench.snapshots) // 2), bench.machine
    bench.machine.restart_clocks(bench.now)
    bench.wait(26)
    assert sorted(worker_id for worker_id, m in bench.machine.members.items() if m.has_lease) == [
        worker_id for worker_id, m in sorted(live.members.items()) if m.has_lease
    ]  # leases begin in full
    for worker_id in list(bench.machine.open_round.undecided()):
        bench.verdict(worker_id, Kind.SKIP, seq=bench.machine.members[worker_id].closed_seq + 1)
    assert bench.round == live.round_index + 1


def test_a_round_of_which_something_is_decided_is_not_captured():
    bench = Bench(min_workers=2, round_deadline_s=60.0)
    assert is_between_rounds(bench.machine)
    bench.join(0, 1)
    assert is_between_rounds(bench.machine)
    bench.verdict(0)
    assert not is_between_rounds(bench.machine)
    bench.verdict(1)
    assert is_between_rounds(bench.machine)
    bench.wait(60)  # the deadline has passed without an answer
    assert not is_between_rounds(bench.machine)
    bench.tell(events.Stop("enough"))
    assert bench.machine.state is State.CLOSING and not is_between_rounds(bench.machine)


def test_counts_are_restored():
    bench = Bench(min_workers=1)
    bench.join(0)
    bench.poll(0)
    bench.verdict(0)
    machine = bench.replayed()
    machine.delivery.resume(json.loads(json.dumps(bench.machine.delivery.capture())))
    assert machine.delivery.totals == bench.machine.delivery.totals and isinstance(machine.delivery.totals, Traffic)
    assert machine.delivery.round_traffic == bench.machine.delivery.round_traffic
    assert machine.delivery.traffic_of(0) == bench.machine.delivery.traffic_of(0) != Traffic()
