"""Whole runs in memory: equal to the readable reference; and lost and silent workers."""

import numpy as np
import pytest
from factory import quadratic_with

from flq.core import rng
from flq.core.codecs import MODES
from flq.core.layout import BLOCK, Layout, Tensor
from flq.core.settings import MEMORIES, UPDATES
from flq.core.strategies import SERVER_OPTIMIZERS, split_state
from flq.engines import engine
from flq.engines.simulation import simulate
from flq.errors import ConfigError
from flq.training.frameworks import make_task
from flq.training.quadratic import QuadraticTask
from flq.training.task import Task
from flq_fed_v3 import federate

LAQ = dict(mode="laq", update="gradient", lr=0.02)
RUNS = [
    dict(mode="fedavg"),
    dict(mode="fedavg", b_down=8, server_lr=0.5, local_epochs=3),
    dict(mode="fedavg", sel_clients=2),
    dict(mode="bin"),
    dict(mode="bin", memory="none", b_down=0),
    dict(mode="bin", memory="mirror"),
    dict(memory="none"),
    dict(memory="mirror", thr_scale=0.0),
    dict(memory="mirror"),
    dict(memory="mirror", b_up=2, warmup=3, C=2, D=3, ck=0.5),
    dict(memory="residual", thr_scale=2.0, C=3),
    dict(memory="none", thr_scale=2.0, C=3),
    dict(sel_clients=1, C=2),
    dict(sel_clients=2, memory="mirror", grant_by="random"),
    dict(sel_clients=2, grant_by="age"),
    dict(sel_clients=2, grant_by="both", C=1),
    dict(up_budget_bits=9000),
    dict(up_budget_bits=13000, memory="none", thr_scale=1.0),
    dict(sel_clients=3, up_budget_bits=17000, memory="mirror", C=1),
    dict(b_up=4, b_down=32),
    dict(b_up=8, b_down=1),
    dict(total_workers=1),
    dict(total_workers=7, seed=2**62, dim=33),
    dict(dim=4 * BLOCK + 9, max_rounds=2, total_workers=2),
    dict(clip_global=0.5),
    dict(scale_by_selected=True, sel_ref=8, clip_global=0.5, sel_clients=3, C=2),
    dict(memory="none", scale_by_selected=True, sel_ref=3, clip_global=2.0, sel_clients=2, thr_scale=1.0),
    dict(memory="mirror", clip_global=1.0),
    dict(lr_schedule="cosine", lr_decay_rounds=8),
    dict(update="gradient", lr_schedule="step", lr_decay_rounds=5, server_lr=2.0),
    dict(local_optimizer="momentum", local_steps=3, mu=0.5),
    dict(local_optimizer="adam", local_steps=3, lr=0.01),
    dict(ema=0.9),
    dict(update="gradient", mode="bin", b_down=8, server_optimizer="adam", lr=0.01, clip_global=1.0, sel_clients=2),
    dict(
        update="gradient",
        b_up=4,
        b_down=8,
        server_optimizer="adam",
        lr=0.01,
        scale_by_selected=True,
        up_budget_bits=9000,
        ema=0.5,
    ),
    dict(update="gradient", thr_scale=2.0, C=3),
    dict(LAQ, max_rounds=30),
    dict(LAQ, C=2, D=3, total_workers=7, dim=33),
    dict(LAQ, b_up=1, warmup=3, b_down=8),
    dict(LAQ, b_up=3, sel_clients=2, C=3),
    dict(LAQ, b_up=32),
    dict(LAQ, thr_scale=0.0, lr_schedule="step", lr_decay_rounds=5),
    dict(mode="lowrank", dim=40000, max_rounds=5),
    dict(mode="lowrank", bytes_up=150, bytes_down=400, ema=0.8, sel_clients=2, C=2),
    dict(mode="lowrank", up_budget_bits=8 * 4 * 200, server_optimizer="momentum", server_lr=0.6),
    dict(mode="lowrank", b_down=32, memory="mirror", thr_scale=1.0),
] + [dict(b_up=bits, dim=101) for bits in range(1, 9)]

# Every mode, memory, update and server optimizer that go together.
COMBINATIONS = [
    dict(mode=mode, memory=memory, update=update, server_optimizer=optimizer, lr=0.02)
    for mode in MODES
    for memory in MEMORIES
    for update in UPDATES
    for optimizer in SERVER_OPTIMIZERS
    if mode != "laq" and memory in MODES[mode].memories and memory not in SERVER_OPTIMIZERS[optimizer].refuses
]


def words(changes):
    return "-".join("%s=%s" % item for item in changes.items())


@pytest.mark.parametrize("changes", RUNS + COMBINATIONS, ids=words)
def test_reference_and_simulation_agree_bit_for_bit(changes):
    settings = quadratic_with(**changes)
    rounds, run = list(federate(settings)), simulate(settings)
    assert len(run.reports) == len(rounds) == settings.system.max_rounds
    assert run.model.tobytes() == rounds[-1].server.model.tobytes()
    assert run.shared.tobytes() == rounds[-1].server.shared.tobytes()
    ours, theirs = run.master.model.state, rounds[-1].server
    assert ours.energies == theirs.energies
    assert (ours.mean is None and theirs.mean is None) or ours.mean.tobytes() == theirs.mean.tobytes()
    (numbers, vectors), (their_numbers, their_vectors) = split_state(ours.optimizer), split_state(theirs.optimizer)
    assert (numbers, set(vectors)) == (their_numbers, set(their_vectors))
    assert all(vector.tobytes() == their_vectors[name].tobytes() for name, vector in vectors.items())
    assert np.any(run.model != rounds[0].server.model)  # it has moved
    for expected, report in zip(rounds, run.reports):
        parts = (("uploaded", expected.uploads), ("skipped", expected.skipped), ("refused", expected.refused))
        roll_call = {m: status for status, workers in parts for m in workers}
        assert report.roll_call == roll_call
        assert report.payload_bits_up == expected.bits_up
        assert report.training_loss == expected.loss
    # A delta frame travels with the plan of the next round.
    assert [report.payload_bits_down for report in run.reports] == [0] + [done.bits_down for done in rounds[:-1]]
    assert all(report.retransmitted_bytes == 0 for report in run.reports)
    assert run.exit_codes == dict.fromkeys(range(settings.system.total_workers), 0)
    assert run.reason == "%d rounds are done" % len(rounds)


def test_the_runs_that_are_compared_do_skip_and_refuse():
    statuses = set()
    for changes in RUNS[8:17]:
        for report in simulate(quadratic_with(**changes)).reports:
            statuses |= set(report.roll_call.values())
    assert statuses == {"uploaded", "skipped", "refused"}


def test_a_run_repeats_and_depends_on_the_seed():
    first, second, other = [simulate(quadratic_with(seed=seed)).model.tobytes() for seed in (1, 1, 2)]
    assert first == second != other


@pytest.mark.parametrize("memory", ["none", "residual", "mirror"])
def test_a_worker_that_dies_is_lost_and_the_run_ends(memory):
    run = simulate(quadratic_with(memory=memory, max_rounds=6), dies={1: 3})
    assert [report.roll_call.get(1) for report in run.reports] == [
        run.reports[0].roll_call[1],
        run.reports[1].roll_call[1],
        "lost",
        None,
        None,
        None,
    ]
    assert all(sorted(report.roll_call) == [0, 2, 3] for report in run.reports[3:])
    assert [report.round_s >= 290 for report in run.reports] == [False, False, True, False, False, False]
    assert run.exit_codes == {0: 0, 2: 0, 3: 0}
    assert run.reason == "6 rounds are done"


def test_with_a_budget_a_worker_that_dies_holds_the_grants_until_it_is_lost():
    run = simulate(quadratic_with(sel_clients=1, max_rounds=4), dies={1: 2})
    assert run.reports[1].roll_call[1] == "lost"
    assert sorted(run.reports[1].roll_call.values()) == ["lost", "refused", "refused", "uploaded"]
    assert len(run.reports) == 4 and run.exit_codes == {0: 0, 2: 0, 3: 0}


def test_a_round_closes_at_its_deadline_without_dead_workers():
    run = simulate(quadratic_with(round_deadline_s=10.0, max_rounds=3, min_workers=4, lease_s=1000.0), dies={1: 2})
    # The quorum is all four: the round has to wait for the lease, not for the deadline.
    assert [report.roll_call.get(1) for report in run.reports] == ["uploaded", "lost", None]


def test_only_participating_workers_count():
    run = simulate(quadratic_with(min_workers=2), worker_ids=[1, 3])
    assert all(sorted(report.roll_call) == [1, 3] for report in run.reports)


@pytest.mark.parametrize("worker_ids", [[], [0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 9], [-1, 0, 1, 2]])
def test_too_few_workers_for_a_round_are_refused_instead_of_waited_for(worker_ids):
    with pytest.raises(ConfigError, match="a round opens only with system.min_workers = 4"):
        simulate(quadratic_with(), worker_ids=worker_ids)


def test_scaling_and_clip_change_the_model_and_bound_the_history():
    plain, scaled, clipped = [
        simulate(quadratic_with(mode="fedavg", max_rounds=3, **changes))
        for changes in (
            {},
            dict(scale_by_selected=True, sel_ref=8),
            dict(scale_by_selected=True, sel_ref=8, clip_global=0.5),
        )
    ]
    # 4 uploads / 8: the first aggregate is half as long.
    assert scaled.master.model.state.energies[0] == pytest.approx(plain.master.model.state.energies[0] / 4, rel=1e-6)
    assert clipped.master.model.state.energies == pytest.approx((0.25,) * 3, rel=1e-6)


def test_fedavg_on_the_quadratic_problem_converges():
    settings = quadratic_with(mode="fedavg", max_rounds=50)
    assert make_task(settings).evaluate(simulate(settings).model)["loss"] < 1e-12


def test_mirrors_skip_more_than_half_of_the_uploads_and_end_as_near_the_optimum():
    lazy, eager = [quadratic_with(memory="mirror", max_rounds=100, thr_scale=thr_scale) for thr_scale in (None, 0.0)]
    runs = [simulate(settings) for settings in (lazy, eager)]
    uploads = [
        sum(status == "uploaded" for report in run.reports for status in report.roll_call.values()) for run in runs
    ]
    assert uploads[1] == 400
    assert uploads[0] < 200
    losses = [make_task(lazy).evaluate(run.model)["loss"] for run in runs]
    # From about 1 at the start down to where float32 ends: 2^-24 squared, times half the curvature, is 1e-14.
    assert all(0 <= loss < 1e-12 for loss in losses), losses


def test_a_silent_worker_speaks_again_after_c_rounds():
    run = simulate(quadratic_with(memory="mirror", C=2, thr_scale=1e9, max_rounds=7))
    assert ["".join(report.roll_call[m][0] for m in range(4)) for report in run.reports] == [
        "uuuu",
        "ssss",
        "ssss",
        "uuuu",
        "ssss",
        "ssss",
        "uuuu",
    ]
    assert np.isfinite(run.model).all()


class WithATable(Task):
    """A quadratic problem beside numbers that nothing changes; a worker draws its own and gets the master's."""

    def __init__(self, settings):
        super().__init__(settings)
        self._problem = QuadraticTask(settings)
        self.layout = Layout(self._problem.layout.tensors + (Tensor("table", (50, 60)),), 0, 1)

    def start(self):
        table = rng.uniform(3000, rng.stream(self.settings.system.seed, 99))
        return np.concatenate([self._problem.start(), table])

    def open(self, worker_id):
        return self._problem.open(worker_id)

    def train(self, share, shared, round_index):
        assert shared[self.layout.constants].tobytes() == self.start()[self.layout.constants].tobytes()
        local = self._problem.train(share, shared[: self.layout.n_trained], round_index)
        return local._replace(update=np.concatenate([local.update, np.zeros(3000, np.float32)]))


@pytest.mark.parametrize(
    "changes",
    [dict(mode=mode, memory=memory) for mode in MODES if mode != "laq" for memory in MODES[mode].memories] + [LAQ],
    ids=words,
)
def test_constants_travel_once(monkeypatch, changes):
    settings = quadratic_with(b_down=None, coding="none", **changes)
    alone = simulate(settings)
    monkeypatch.setattr(engine, "make_task", WithATable)
    run = simulate(settings)
    start = WithATable(settings).start()
    assert run.model[-3000:].tobytes() == start[-3000:].tobytes() == run.shared[-3000:].tobytes()
    assert run.model[:-3000].tobytes() == alone.model.tobytes()
    if settings.flq_algorithm.mode != "fedavg":  # a float32 upload is the whole vector, with zeros
        assert [report.payload_bits_up for report in run.reports] == [
            report.payload_bits_up for report in alone.reports
        ]
    rounds, theirs = list(federate(settings, WithATable(settings))), run.master.model.state
    assert rounds[-1].server.model.tobytes() == theirs.model.tobytes()
