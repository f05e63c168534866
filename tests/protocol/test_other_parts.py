"""Another kind of round, and a run with two models, work with the unchanged machine and its other parts."""

import ast
from pathlib import Path

import numpy as np
import pytest
from master_bench import LAYOUT, Bench, lasting, vector
from other_parts import BufferedRounds, TwoModels

from flq.core.codecs import QUANTIZERS
from flq.core.layout import fingerprint
from flq.protocol import events, master_machine
from flq.protocol.messages import Kind, Outcome

# -- the parts do not know each other --------------------------------------------------------

PARTS = {
    "membership": {"membership", "claims", "member"},
    "round_machine": {"round_machine", "roll_call"},
    "global_model": {"global_model", "downlink"},
    "delivery": {"delivery"},
    "data_agreement": {"data_agreement"},
}  # with the modules that only this part has
VALUES = {"events", "messages", "notes", "options", "resumable", "traffic", "wire"}  # pass between them


def imported_by(module):
    """Return the modules of flq.protocol that one of them imports."""
    source = (Path(master_machine.__file__).parent / (module + ".py")).read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.level == 1]
    return {name for node in nodes for name in ([node.module] if node.module else [item.name for item in node.names])}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_no_part_imports_another_or_the_machine(part):
    for module in PARTS[part]:
        assert imported_by(module) <= PARTS[part] | VALUES, module


def test_the_values_that_pass_between_the_parts_know_none_of_them():
    for module in VALUES:
        assert imported_by(module) <= VALUES, module


# -- buffered rounds -------------------------------------------------------------------------


def test_a_buffered_round_closes_without_the_slow_and_takes_their_uploads_later():
    bench = Bench(parts=dict(rounds=BufferedRounds), min_workers=3)
    bench.join(0, 1, 2)
    polls = [bench.poll(worker_id) for worker_id in range(3)]
    assert [bench.plan(ticket)[0].round_index for ticket in polls] == [1, 1, 1]
    assert bench.verdict(0, values=(3, 0, 0, 0)) is Outcome.APPLIED and bench.round == 1
    assert bench.verdict(1, values=(0, 3, 0, 0)) is Outcome.APPLIED and bench.round == 2
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "uploaded"}
    assert bench.verdict(2, values=(0, 0, 5, 0), round_index=1) is Outcome.APPLIED  # one round stale
    assert bench.verdict(0, values=(3, 0, 0, 0)) is Outcome.APPLIED and bench.round == 3
    assert bench.reports[1].roll_call == {2: "uploaded", 0: "uploaded"}
    assert bench.model == pytest.approx([-1 - 10 * 3 / 40, -2, -30 * 5 / 40, 0])
    assert bench.machine.rounds.attendance[2].tally["late"] == 0
    assert lasting(bench.replayed()) == lasting(bench.machine)


# -- a run with two models -------------------------------------------------------------------


@pytest.mark.parametrize("changes", [dict(), dict(mode="bbit", memory="mirror")], ids=["plain", "mirrors"])
def test_two_models_are_trained_side_by_side(changes):
    bench = Bench(parts=dict(model=TwoModels), min_workers=4, **changes)
    bench.join(0, 1, 2, 3)
    targets = {0: (1, 0, 0, 0), 1: (0, 1, 0, 0), 2: (1, 0, 0, 0), 3: (0, 1, 0, 0)}
    for worker_id, values in targets.items():
        assert bench.verdict(worker_id, values=values, state_crc=fingerprint(vector(*values))) is Outcome.APPLIED
    even, odd = bench.machine.model.clusters
    assert even.state.model.tolist() == [-1, 0, 0, 0] and odd.state.model.tolist() == [0, -1, 0, 0]
    for worker_id in range(4):
        plan, frames = bench.plan(bench.poll(worker_id, answered=1))
        expected = bench.machine.model.of(worker_id).state.shared
        moved = np.zeros(4, np.float32)
        QUANTIZERS[frames[0].codec_id].add_to(moved, frames[0].payload, LAYOUT)
        assert plan.model_crc == fingerprint(expected) and moved.tolist() == expected.tolist()
    again = bench.replayed().model
    assert [cluster.state.model.tolist() for cluster in again.clusters] == [[-1, 0, 0, 0], [0, -1, 0, 0]]


def test_with_two_models_a_worker_that_is_lost_leaves_its_own():
    bench = Bench(parts=dict(model=TwoModels), min_workers=2, lease_s=100.0, mode="bbit", memory="mirror")
    bench.join(0, 1)
    for worker_id in (0, 1):
        bench.verdict(worker_id, state_crc=fingerprint(vector(1, 1, 1, 1)))
    bench.wait(60)
    bench.ask(lambda ticket: events.Heartbeat(ticket, 0, 1))
    bench.wait(50)  # worker 1 is lost
    bench.verdict(0, Kind.SKIP)
    even, odd = bench.machine.model.clusters
    assert set(even.mirrors) == {0} and odd.mirrors == {}
