"""Lost, repeated, garbled and late messages do not change the model.

The two machines are joined by a network that applies a list of faults, one per call. After the list, the network is
perfect, so every run ends.
"""

import random
from functools import lru_cache, partial

import pytest
from factory import quadratic_with
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flq.core.rng import start_values
from flq.engines.simulation import simulate
from flq.engines.virtual_worker import VirtualWorker
from flq.errors import FlqError
from flq.protocol import events
from flq.protocol import worker_events as worker
from flq.protocol.exchange import to_master, to_worker
from flq.protocol.master_machine import MasterMachine
from flq.protocol.options import run_options
from flq.protocol.wire import PREFIX_SIZE, VERDICT, decode
from flq.protocol.worker_machine import MAX_REJECTIONS, WorkerMachine
from flq.training.frameworks import build_trainer, make_task

FAULTS = [
    "none",
    "drop request",  # the worker hears nothing, nor does the master
    "drop reply",  # the master has acted, the worker does not know
    "copy before",  # the master gets the request twice; the second reply arrives
    "copy after",  # the same, but the first reply arrives
    "copy late",  # a copy arrives again when other calls have been made
    "garble request",
    "garble reply",
    "cut reply",  # only its first part arrives
]
TIMEOUT_S = 60.0
LATE_CALLS = 4

SMALL = dict(total_workers=3, max_rounds=4, dim=21, lease_s=1e9, give_up_s=1e9)
CONFIGURATIONS = {
    "fedavg": dict(SMALL, mode="fedavg"),
    "residual": dict(SMALL),
    "mirror": dict(SMALL, memory="mirror"),
    "gradients, flq, adam": dict(SMALL, update="gradient", server_optimizer="adam", lr=0.01, ema=0.5),
    "laq8": dict(SMALL, mode="laq8", server_optimizer="momentum"),
    "lowrank": dict(SMALL, mode="lowrank", server_optimizer="momentum", server_lr=0.6),
    "laq": dict(SMALL, mode="laq", update="gradient", lr=0.02, C=1),
    "one at a time": dict(SMALL, sel_clients=1, C=1),
    "budget, mirrors": dict(SMALL, up_budget_bits=2 * 224, memory="mirror", max_rounds=5),
}
FEW = {"total_workers": 2, "max_rounds": 3}


class Peer(VirtualWorker):
    """A worker, and the faults of its calls."""

    def __init__(self, worker_id, clock):
        machine = WorkerMachine(worker_id, "peer", random.Random(worker_id), give_up_s=1e9)
        super().__init__(machine, build_trainer, clock)
        self.worker_id = worker_id
        self.n_garbled = {}  # frame -> how often the master could not read it


class Network:
    """Carries calls from the workers to the master, and the replies."""

    def __init__(self, run_settings, faults):
        layout = make_task(run_settings).layout
        self.settings, self.faults = run_settings, list(faults)
        self.master = MasterMachine(
            run_options("faults", run_settings, layout), start_values(layout, run_settings.system.seed)
        )
        self.now, self.n_tickets, self.n_calls = 0.0, 0, 0
        self.waiting, self.answered = {}, set()  # ticket -> peer; tickets
        self.late = []  # (call number, event without its ticket)
        self.reports = []
        self.peers = [Peer(worker_id, lambda: self.now) for worker_id in range(run_settings.system.total_workers)]

    def run(self):
        """Let all processes act until all workers have exited; return the master."""
        left = set()
        while len(left) < len(self.peers):
            acted = False
            for peer in self.peers:
                if isinstance(peer.action, worker.Exit):
                    assert peer.action.code == 0, peer.action.sentence
                    left.add(peer)
                elif not peer.is_waiting:
                    peer.act(partial(self.call, peer))
                    acted = True
            if not acted and len(left) < len(self.peers):
                self.pass_time()
        return self.master

    def pass_time(self):
        """Move the clock to the next event, since no process can act."""
        due = [peer.due[0] for peer in self.peers if peer.due is not None]
        deadline = self.master.next_deadline(self.now)
        self.now = min(due + ([deadline] if deadline is not None else []))
        self.tell(events.Tick())
        for peer in self.peers:
            if peer.due is not None and peer.due[0] <= self.now:
                self.report(peer, peer.due[1])

    def report(self, peer, event):
        """Report the result of an action to its worker."""
        self.waiting = {ticket: other for ticket, other in self.waiting.items() if other is not peer}
        peer.report(event)

    def call(self, peer, action):
        """Carry one call, with the next fault."""
        self.n_calls += 1
        fault = self.faults.pop(0) if self.faults else "none"
        for belated in [event for at, event in self.late if at <= self.n_calls]:
            self.deliver(belated)
        self.late = [(at, event) for at, event in self.late if at > self.n_calls]

        event = to_master(action, 0, peer.worker_id, self.master.link)
        if fault == "garble request" and isinstance(action, worker.CallAnswer) and self.may_garble(peer, action):
            return self.garbled(action)
        if fault in ("drop request", "garble request"):
            peer.due = self.now + TIMEOUT_S, worker.Unreachable("dropped")
            return None
        if fault == "copy late":
            self.late.append((self.n_calls + LATE_CALLS, event))
        if fault == "copy before":
            self.deliver(event)
        peer.garble_reply, peer.cuts_reply = fault == "garble reply", fault == "cut reply"
        if fault == "drop reply":
            self.deliver(event)
            peer.due = self.now + TIMEOUT_S, worker.Unreachable("dropped")
        else:
            self.deliver(event, peer)
        if fault == "copy after":
            self.deliver(event)
        return None

    def may_garble(self, peer, action):
        """Limit the faults: after MAX_REJECTIONS a worker drops an upload, which is another run."""
        frame = b"".join(bytes(buffer) for buffer in action.frame)
        peer.n_garbled[frame] = peer.n_garbled.get(frame, 0) + 1
        return peer.n_garbled[frame] <= MAX_REJECTIONS

    def garbled(self, action):
        """Return the worker's event after the master cannot read its frame."""
        frame = bytearray(b"".join(bytes(buffer) for buffer in action.frame))
        frame[self.n_calls % len(frame)] ^= 0x10
        try:
            decode(frame, self.master.link, object)
        except FlqError as error:
            # A flipped run or layout is reported as corrupted, not as a conflict: the CRC comes first.
            assert error.status_hint in (400, 413, 422)
            return worker.Problem(error.status_hint, str(error))
        raise AssertionError("a garbled frame was read")

    def deliver(self, event, peer=None):
        """Pass a call to the master; its reply goes to the peer, or is lost."""
        self.n_tickets += 1
        if peer is not None:
            self.waiting[self.n_tickets] = peer
        self.tell(event._replace(ticket=self.n_tickets))

    def tell(self, event):
        for effect in self.master.handle(event, self.now):
            if isinstance(effect, events.RoundClosed):
                self.reports.append(effect.report)
            if not isinstance(effect, events.Reply):
                continue
            assert effect.ticket not in self.answered, "a ticket is answered once"
            self.answered.add(effect.ticket)
            if effect.ticket in self.waiting:
                peer = self.waiting.pop(effect.ticket)
                self.report(peer, self.received(peer, effect.body))

    def received(self, peer, body):
        """Return the reply as the worker's event."""
        event = to_worker(peer.action, body)
        if isinstance(event, worker.Registered):
            return worker.Unreachable("broken") if peer.garble_reply or peer.cuts_reply else event
        if not isinstance(event, (worker.Polled, worker.VerdictReceived)):
            return event
        stream = event[0]
        if peer.cuts_reply:
            del stream[self.n_calls * 7 % len(stream) :]
            if isinstance(event, worker.Polled) or len(stream) < PREFIX_SIZE + VERDICT.size:
                return worker.Unreachable("broken off")  # as the HTTP client says
        if peer.garble_reply:
            stream[self.n_calls % len(stream)] ^= 0x10
        return event


@lru_cache(maxsize=None)
def undisturbed(name, few):
    return simulate(quadratic_with(**dict(CONFIGURATIONS[name], **(FEW if few else {}))))


def check(name, faults, few=False):
    """Run with the faults and compare with the undisturbed run."""
    expected = undisturbed(name, few)
    network = Network(expected.master.options.settings, faults)
    master = network.run()
    assert master.model.state.model.tobytes() == expected.model.tobytes()
    assert master.model.state.shared.tobytes() == expected.shared.tobytes()
    assert [report.roll_call for report in network.reports] == [report.roll_call for report in expected.reports]
    assert [report.payload_bits_up for report in network.reports] == [
        report.payload_bits_up for report in expected.reports
    ]  # distinct frames, however often they came
    assert master.everyone_heard()
    for peer in network.peers:  # where both ends hold a mirror, it is the same
        mirror = master.model.mirrors.get(peer.worker_id)
        if mirror is not None and peer.machine.memory is not None and peer.machine.state.value == "DONE":
            proposal = peer.machine._pending  # the last verdict may have been END
            known = [peer.machine.memory] + ([proposal.if_applied] if proposal is not None else [])
            assert any(state.mirror.tobytes() == mirror.tobytes() for state in known)
    return network


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_without_faults_the_network_is_the_simulation(name):
    network = check(name, [])
    assert sum(report.retransmitted_bytes for report in network.reports) == 0


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
@pytest.mark.parametrize("fault", FAULTS[1:])
def test_a_network_that_does_it_every_other_time_leads_to_the_same_model(name, fault):
    network = check(name, [fault, "none"] * 60)
    assert not network.faults or network.n_calls < 120


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_each_call_may_fail_in_each_way(name):
    """The i-th call fails, for every i of the run and every fault."""
    n_calls = check(name, [], few=True).n_calls
    assert n_calls >= 2 * (2 + 1 + 3)  # two to join, a poll, and an answer in each round, which brings the next
    for fault in FAULTS[1:]:
        for i in range(n_calls):
            check(name, ["none"] * i + [fault], few=True)


@settings(max_examples=50)
@given(name=st.sampled_from(sorted(CONFIGURATIONS)), faults=st.lists(st.sampled_from(FAULTS), max_size=80))
@example(name="one at a time", faults=FAULTS * 8)
def test_any_mixture_of_faults_leads_to_the_same_model(name, faults):
    check(name, faults)
