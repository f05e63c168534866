"""Under any faults between both machines, at any time, the invariants hold and the run ends.

Messages may be reordered, lost, or repeated much later; master and workers may die between any two steps and restart
from their disks. ``Crashes`` has only faults that must not change the model, and compares the result with the
undisturbed run; ``Anything`` also lets leases and deadlines expire, and disks get lost.
"""

import sys
from functools import lru_cache

from crashing import World, events
from factory import quadratic_with
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flq.engines.simulation import simulate

SMALL = dict(total_workers=3, max_rounds=4, dim=21, lease_s=1e9, give_up_s=1e9)
STORMY = dict(SMALL, lease_s=100.0, max_rounds=5)
DEADLINES = dict(STORMY, round_deadline_s=40.0)
MODES = {
    "fedavg": dict(mode="fedavg"),
    "residual": dict(),
    "mirror": dict(memory="mirror", C=2),
    "flq": dict(update="gradient", lr=0.01),
    "lowrank": dict(mode="lowrank"),
    "laq": dict(mode="laq", update="gradient", lr=0.02, C=2),
    "one at a time": dict(sel_clients=1, C=1),
    "budget, mirrors": dict(up_budget_bits=2 * 224, memory="mirror", C=2),
}
CALM = {name: dict(SMALL, **changes) for name, changes in MODES.items()}
WILD = {name: dict(STORMY, **changes) for name, changes in MODES.items()}
WILD.update(
    {
        name + ", deadlines": dict(DEADLINES, min_workers=3 - i % 2, **changes)
        for i, (name, changes) in enumerate(sorted(MODES.items()))
    }
)
WILD["four, quorum of one"] = dict(DEADLINES, total_workers=4, min_workers=1, memory="mirror", sel_clients=2)
CRASHES = ["before the journal", "before the answer"]
ANY = st.integers(0, 10**6)  # which one, of those that there are


@lru_cache(maxsize=None)
def undisturbed(name):
    return simulate(quadratic_with(**CALM[name]))


class Crashes(RuleBasedStateMachine):
    """Faults that must not change the model."""

    world = None

    @initialize(name=st.sampled_from(sorted(CALM)), n_steps=st.integers(0, 120))
    def begin(self, name, n_steps):
        self.name, self.world = name, World(quadratic_with(**CALM[name]))
        self.go_well(n_steps)

    @rule(n_steps=st.integers(1, 30))
    def go_well(self, n_steps):
        for _ in range(n_steps):
            if not self.world.is_over():
                self.world.step()
                self.world.check()

    @rule(which=ANY)
    def a_worker_acts(self, which):
        idle = [peer for peer in self.world.peers if peer.is_idle()]
        if idle:
            self.world.act(idle[which % len(idle)])

    @rule()
    def time_passes(self):
        self.world.pass_time()

    @precondition(lambda self: self.world.bag)
    @rule(which=ANY)
    def a_message_arrives(self, which):
        self.world.deliver(self.world.bag.pop(which % len(self.world.bag)))

    @precondition(lambda self: self.world.bag)
    @rule(which=ANY)
    def a_message_is_lost(self, which):
        self.world.bag.pop(which % len(self.world.bag))

    @precondition(lambda self: self.world.sent)
    @rule(back=st.integers(0, 40))
    def an_old_request_comes_again(self, back):
        self.world.bag.append(self.world.sent[max(0, len(self.world.sent) - 1 - back)])

    @rule()
    def the_master_dies(self):
        self.world.restart_master()

    @precondition(lambda self: self.world.bag)
    @rule(which=ANY, when=st.sampled_from(CRASHES))
    def the_master_dies_on_a_request(self, which, when):
        self.world.deliver(self.world.bag.pop(which % len(self.world.bag)), crash=when)

    @rule()
    def a_snapshot_is_taken(self):
        self.world.take_snapshot()

    @rule()
    def results_are_saved(self):
        self.world.save()

    @rule(which=ANY)
    def a_worker_dies(self, which):
        peer = self.world.peers[which % len(self.world.peers)]
        if not peer.has_left:
            self.world.restart(peer)

    @invariant()
    def both_ends_agree(self):
        if self.world is not None:
            self.world.check()

    def teardown(self):
        if self.world is None or sys.exc_info()[0] is not None:
            return
        self.world.finish()
        if self.world.is_undisturbed:
            self.compare()

    def compare(self):
        expected = undisturbed(self.name)
        assert self.world.master.model.state.model.tobytes() == expected.model.tobytes()
        assert self.world.master.model.state.shared.tobytes() == expected.shared.tobytes()
        assert self.world.roll_calls == {report.round_index: report.roll_call for report in expected.reports}


class Anything(Crashes):
    """Any faults: no process gets wrong information, and the run ends."""

    @initialize(name=st.sampled_from(sorted(WILD)), n_steps=st.integers(0, 120))
    def begin(self, name, n_steps):
        self.name, self.world = name, World(quadratic_with(**WILD[name]))
        self.go_well(n_steps)

    def compare(self):
        """Compare nothing: the model may depend on the order of arrival."""

    @rule(which=ANY, with_identity=st.booleans())
    def a_worker_loses_its_disk(self, which, with_identity):
        peer = self.world.peers[which % len(self.world.peers)]
        if not peer.has_left:
            self.world.lose_state(peer, with_identity)

    @rule(which=ANY, seconds=st.sampled_from([50.0, 110.0, 250.0]))
    def a_worker_sleeps(self, which, seconds):
        idle = [peer for peer in self.world.peers if peer.is_idle()]
        if idle:
            self.world.sleep(idle[which % len(idle)], seconds)

    @rule(seconds=st.sampled_from([30.0, 110.0]))
    def nobody_does_anything_for_long(self, seconds):
        self.world.now += seconds
        self.world.tell(events.Tick())

    @precondition(lambda self: self.world.master.round_index > 2)
    @rule()
    def somebody_stops_the_run(self):
        self.world.tell(events.Stop("enough"))


TestCrashes, TestAnything = Crashes.TestCase, Anything.TestCase
FEWER = 1 if sys.version_info >= (3, 7) else 3  # on an old Python the machines are the same: it shows that they run
# A failure says its steps; to make them fewer takes many minutes.
TestCrashes.settings = settings(max_examples=40 // FEWER, stateful_step_count=30, phases=[Phase.generate])
TestAnything.settings = settings(max_examples=50 // FEWER, stateful_step_count=30, phases=[Phase.generate])
