"""Another kind of round, and a run with two models: the machine and its other parts take them as they are."""

import ast
import functools
from pathlib import Path

import numpy as np
import pytest
from master_bench import LAYOUT, Bench, lasting, vector

from flq.config_file import load_config
from flq.core.codecs import QUANTIZERS
from flq.core.layout import fingerprint
from flq.engines import simulation
from flq.errors import Conflict
from flq.protocol import events, master_machine
from flq.protocol.global_model import GlobalModel
from flq.protocol.master_machine import MasterMachine
from flq.protocol.messages import Kind, Outcome
from flq.protocol.roll_call import UPLOADED
from flq.protocol.round_machine import RoundMachine, Ruling

# -- the parts do not know each other --------------------------------------------------------

PARTS = ("membership", "round_machine", "global_model", "delivery")
SHARED = {
    "downlink",
    "events",
    "messages",
    "options",
    "resumable",
    "roll_call",
    "traffic",
    "wire",
}  # values that pass between them


@pytest.mark.parametrize("part", PARTS)
def test_no_part_imports_another_or_the_machine(part):
    source = (Path(master_machine.__file__).parent / (part + ".py")).read_text(encoding="utf-8")
    imported = {
        node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.level == 1
    }
    assert imported <= SHARED


def test_what_they_share_imports_none_of_them():
    for module in SHARED:
        source = (Path(master_machine.__file__).parent / (module + ".py")).read_text(encoding="utf-8")
        named = {
            node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.level == 1
        }
        assert named <= SHARED


# -- buffered rounds (FedBuff: Nguyen et al. 2022, arXiv:2106.06639) -------------------------


class BufferedRounds(RoundMachine):
    """Rounds that close after ``SIZE`` uploads, whichever round they were trained in; nobody is late."""

    SIZE = 2

    def judge(self, answer):
        going = self.open_round
        if going is None or answer.worker_id not in going.n_samples:
            return Ruling(Outcome.LATE)
        if answer.worker_id in going.status:
            raise Conflict("worker %d has answered already" % answer.worker_id)
        if answer.kind is Kind.SKIP:
            return super().judge(answer._replace(round_index=going.index))
        self._check_upload(answer, going)
        return Ruling(Outcome.APPLIED, UPLOADED)

    def is_complete(self):
        return len(self.open_round.uploads) >= self.SIZE or not self.open_round.undecided()

    def missing(self):
        return []


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


def test_buffered_rounds_train_a_whole_run(monkeypatch):
    monkeypatch.setattr(simulation, "MasterMachine", functools.partial(MasterMachine, rounds=BufferedRounds))
    sizes = ("model.dim=50", "system.total_workers=3", "system.min_workers=3", "system.max_rounds=6")
    settings = load_config(None, ("model.name=quadratic",) + sizes).settings()
    run = simulation.simulate(settings)
    assert set(run.exit_codes.values()) == {0} and len(run.reports) == settings["system"]["max_rounds"]
    assert all(sum(status == UPLOADED for status in report.roll_call.values()) == 2 for report in run.reports)


# -- a run with two models -------------------------------------------------------------------


class TwoModels:
    """A model for workers with even ids and one for the others: clusters, in their simplest form."""

    def __init__(self, start, link, rules):
        self.clusters = [GlobalModel(start, link, rules) for _ in range(2)]

    def __getattr__(self, name):  # what is asked of no worker is asked of the first
        return getattr(self.clusters[0], name)

    def of(self, worker_id):
        return self.clusters[worker_id % 2]

    def plan(self, worker_id, *rest):
        return self.of(worker_id).plan(worker_id, *rest)

    def begin_epoch(self, worker_id):
        self.of(worker_id).begin_epoch(worker_id)

    def forget(self, worker_id):
        return self.of(worker_id).forget(worker_id)

    def receive(self, answer, n_members):
        return self.of(answer.worker_id).receive(answer, n_members)

    def close_round(self, round_index, n_samples, uploads, known=None):
        steps = []
        for i, cluster in enumerate(self.clusters):
            own = [{m: value for m, value in found.items() if m % 2 == i} for found in (n_samples, uploads)]
            steps.append(cluster.close_round(round_index, *own, known if i == 0 else None))
        return steps[0]


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
