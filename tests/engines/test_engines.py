"""The table of engines: the plan of places is checked and printed before anything starts."""

import pytest
from factory import quadratic_with

from flq import engines
from flq.engines.engine import MEBIBYTE, Engine, Place, assign, bytes_of_a_worker, describe, make_federation
from flq.engines.simulation import simulate
from flq.errors import ConfigError

SMALL = dict(total_workers=5, max_rounds=3, dim=1 << 18)  # 1 MiB of float32


def place(index, memory=None):
    return Place("node%d" % index, "gpu:%d" % index, memory)


@pytest.mark.parametrize("name", sorted(engines.ENGINES))
def test_every_engine_prints_its_plan_and_trains_the_model_of_the_simulation(name):
    settings, said, rounds = quadratic_with(max_rounds=3), [], []
    federation = make_federation(settings, watch=lambda closed: rounds.append(closed.report.round_index))
    run = engines.run(name, federation, said.append)
    expected = simulate(settings)
    assert run.model.tobytes() == expected.model.tobytes() and run.shared.tobytes() == expected.shared.tobytes()
    assert [report.roll_call for report in run.reports] == [report.roll_call for report in expected.reports]
    assert run.exit_codes == {worker_id: 0 for worker_id in federation.worker_ids}
    assert rounds == [1, 2, 3] and run.reason == expected.reason
    assert len(said) == min(len(engines.ENGINES[name].places()), settings.system.total_workers)
    assert " workers (0" in said[0] or " worker (0)" in said[0]


def test_worker_m_runs_on_place_m_mod_n():
    plan = assign(make_federation(quadratic_with(**SMALL)), [place(0, 1 << 30), place(1)])
    assert [worker_ids for _, worker_ids in plan] == [(0, 2, 4), (1, 3)]
    assert list(describe(plan)) == [
        "gpu:0 on node0, 1024 MB free: 3 workers (0, 2, 4)",
        "gpu:1 on node1: 2 workers (1, 3)",
    ]


def test_places_without_a_worker_are_left_out():
    plan = assign(make_federation(quadratic_with(**SMALL)), [place(index) for index in range(9)])
    assert [worker_ids for _, worker_ids in plan] == [(0,), (1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("memory, n_vectors", [("residual", 2), ("flq", 3)])
def test_a_place_must_have_memory_for_its_workers(memory, n_vectors):
    federation = make_federation(quadratic_with(memory=memory, **SMALL))
    assert bytes_of_a_worker(federation) == n_vectors * MEBIBYTE
    assign(federation, [place(0, 5 * n_vectors * MEBIBYTE)])
    with pytest.raises(ConfigError, match="5 workers of %d MB do not fit into .* on gpu:0 of node0" % n_vectors):
        assign(federation, [place(0, 5 * n_vectors * MEBIBYTE - 1)])


@pytest.mark.parametrize(
    "ids, places, sentence",
    [((0, 1, 2), [], "no place"), ((0, 1, 1, 2), [place(0)], "worker_ids holds worker 1 twice")],
)
def test_a_plan_that_cannot_be_is_refused(ids, places, sentence):
    with pytest.raises(ConfigError, match=sentence):
        assign(make_federation(quadratic_with(min_workers=2), ids), places)


def test_nothing_starts_on_an_unknown_engine_or_with_a_plan_that_is_refused(monkeypatch):
    federation = make_federation(quadratic_with(max_rounds=1))
    with pytest.raises(ConfigError, match="the engine is 'cloud', expected one of .*simulation"):
        engines.run("cloud", federation)
    monkeypatch.setitem(engines.ENGINES, "full", Engine(lambda: [place(0, 1)], lambda *_: pytest.fail("it starts")))
    with pytest.raises(ConfigError, match="do not fit"):
        engines.run("full", federation)
