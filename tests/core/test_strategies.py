"""The contract of the strategies, for every row of the tables; each strategy has its own tests beside it."""

import numpy as np
import pytest

from flq.core.codecs import QUANTIZERS, decode
from flq.core.layout import BLOCK, Layout, Tensor
from flq.core.rng import ROUNDING, stream
from flq.core.settings import MEMORIES
from flq.core.strategies import AGGREGATORS, SERVER_OPTIMIZERS, Contributions, join_state, options_of, split_state
from flq.core.strategies.contributions import ROWS
from flq.errors import ConfigError

N = BLOCK + 3  # more than one block
LAYOUT = Layout((Tensor("w", (8, 512)), Tensor("v", (ROWS + 5,)), Tensor("s", (3,))), 1)  # lowrank codes w as a matrix

any_aggregator = pytest.mark.parametrize("name", sorted(AGGREGATORS))
any_optimizer = pytest.mark.parametrize("name", sorted(SERVER_OPTIMIZERS))
any_strategy = pytest.mark.parametrize("name, row", sorted(AGGREGATORS.items()) + sorted(SERVER_OPTIMIZERS.items()))


def vectors(n, size=LAYOUT.n_params, seed=1):
    generator = np.random.RandomState(seed)
    return [generator.standard_normal(size).astype(np.float32) for _ in range(n)]


def contributions(updates, weights=None, codec=32, layout=LAYOUT):
    """Return the updates of workers 0, 1, ..., coded."""
    payloads = [
        QUANTIZERS[codec].encode(update, layout, stream(1, ROUNDING, 1, m), limit=9000)
        for m, update in enumerate(updates)
    ]
    weights = weights or [1 / len(updates)] * len(updates)
    n = len(updates)
    return Contributions(tuple(range(n)), tuple(weights), (True,) * n, tuple(payloads), QUANTIZERS[codec], layout)


def aggregate(name, given, state=None):
    """Return G, of the trained tensors, and the state."""
    row = AGGREGATORS[name]
    total, state = row.update(given, row.init(given.layout.n_trained) if state is None else state, row.options)
    return total[: given.layout.n_trained], state


def run(name, model, totals, state=None):
    """Return the model and the state after a step of the server optimizer along each of the aggregates."""
    row = SERVER_OPTIMIZERS[name]
    state = row.init(model.size) if state is None else state
    for total in totals:
        model, state = row.update(total, state, model, 0.1, row.options)
    return model, state


def bits_of(state):
    numbers, vectors = split_state(state)
    return numbers, {name: vector.tobytes() for name, vector in vectors.items()}


# -- contributions -----------------------------------------------------------------------------


@pytest.mark.parametrize("codec", sorted(QUANTIZERS))
def test_blocks_are_the_decoded_updates_part_after_part(codec):
    given = contributions(vectors(3), codec=codec)
    whole = np.array([decode(QUANTIZERS[codec], payload, LAYOUT) for payload in given.payloads])
    start = 0
    for part, rows in given.blocks():
        assert part.start == start and rows.shape[1] <= ROWS
        assert (rows == whole[:, part]).all()
        start = part.stop
    assert start == LAYOUT.n_trained


@pytest.mark.parametrize("codec", sorted(QUANTIZERS))
def test_updates_are_added_by_their_factors_and_factor_0_is_left_out(codec):
    given = contributions(vectors(3), codec=codec)
    out = np.ones(LAYOUT.n_params, np.float32)
    expected = out.copy()
    QUANTIZERS[codec].add_to(expected, given.payloads[0], LAYOUT, 0.25)
    QUANTIZERS[codec].add_to(expected, given.payloads[2], LAYOUT, -1.0)
    given.add_to(out, [0.25, 0.0, -1.0])
    assert out.tobytes() == expected.tobytes()
    given.add_to(out, [0.0, 0.0, 0.0])
    assert out.tobytes() == expected.tobytes()


# -- every aggregator --------------------------------------------------------------------------


@any_aggregator
def test_an_aggregate_is_new_finite_and_of_the_models_shape(name):
    given = contributions(vectors(7), codec=4)
    before = [payload.copy() for payload in given.payloads]
    total, _ = AGGREGATORS[name].update(given, AGGREGATORS[name].init(LAYOUT.n_trained), AGGREGATORS[name].options)
    assert (total.dtype, total.shape) == (np.float32, (LAYOUT.n_params,))
    assert np.isfinite(total[: LAYOUT.n_trained]).all()
    assert all(np.array_equal(a, b) for a, b in zip(before, given.payloads))


@any_aggregator
def test_zero_updates_have_the_aggregate_zero(name):
    total, _ = aggregate(name, contributions([np.zeros(LAYOUT.n_params, np.float32)] * 7))
    assert not total.any()


@any_aggregator
def test_equal_updates_have_an_aggregate_in_their_direction(name):
    update = vectors(1)[0]
    total, _ = aggregate(name, contributions([update] * 7))
    factor = float(total[0] / update[0])
    assert factor == pytest.approx(1.0, rel=1e-6) or factor == pytest.approx(7.0, rel=1e-6)  # a mean, or a sum
    assert total == pytest.approx(factor * update[: LAYOUT.n_trained], rel=1e-5)


@any_aggregator
def test_the_order_of_the_workers_does_not_matter_but_for_rounding(name):
    updates, weights = vectors(7), [(m + 1) / 28 for m in range(7)]
    order = [3, 6, 0, 2, 5, 1, 4]
    total, _ = aggregate(name, contributions(updates, weights))
    other, _ = aggregate(name, contributions([updates[m] for m in order], [weights[m] for m in order]))
    assert total == pytest.approx(other, abs=1e-5)


@any_aggregator
def test_an_aggregator_resumes_from_its_state(name):
    rounds = [contributions(vectors(7, seed=seed)) for seed in range(4)]
    state = AGGREGATORS[name].init(LAYOUT.n_trained)
    for given in rounds[:2]:
        _, state = aggregate(name, given, state)
    again = join_state(AGGREGATORS[name], *split_state(state))
    for given in rounds[2:]:
        total, state = aggregate(name, given, state)
        other, again = aggregate(name, given, again)
        assert total.tobytes() == other.tobytes() and bits_of(state) == bits_of(again)


# -- every server optimizer --------------------------------------------------------------------


@any_optimizer
def test_a_step_goes_against_the_aggregate_and_stays_finite(name):
    start, total = np.zeros(N, np.float32), vectors(1, N)[0]
    model, _ = run(name, start, [total])
    assert (model.dtype, model.shape) == (np.float32, (N,)) and np.isfinite(model).all()
    assert float(np.dot(model.astype(np.float64), total)) < 0


@any_optimizer
def test_aggregates_of_zero_leave_a_model_that_has_not_moved(name):
    start = vectors(1, N)[0]
    model, _ = run(name, start, [np.zeros(N, np.float32)] * 3)
    assert model.tobytes() == start.tobytes()


@any_optimizer
def test_elements_are_stepped_alike_wherever_they_lie(name):
    start, totals = vectors(1, N)[0], vectors(3, N, seed=2)
    order = np.random.RandomState(3).permutation(N)
    model, _ = run(name, start, totals)
    other, _ = run(name, start[order], [total[order] for total in totals])
    assert model[order].tobytes() == other.tobytes()


@any_optimizer
def test_inputs_are_not_modified(name):
    first, second = vectors(2, N)
    model, state = run(name, np.zeros(N, np.float32), [first])
    before = model.tobytes(), second.tobytes(), bits_of(state)
    moved, _ = run(name, model, [second], state)
    assert (model.tobytes(), second.tobytes(), bits_of(state)) == before
    assert moved is not model


@any_optimizer
def test_an_optimizer_resumes_from_its_state(name):
    start, totals = vectors(1, N)[0], vectors(5, N, seed=2)
    model, state = run(name, start, totals[:2])
    again, last = run(name, model, totals[2:], join_state(SERVER_OPTIMIZERS[name], *split_state(state)))
    uninterrupted, expected = run(name, start, totals)
    assert again.tobytes() == uninterrupted.tobytes() and bits_of(last) == bits_of(expected)


@any_optimizer
def test_an_optimizer_finds_the_minimum_of_a_quadratic(name):
    target = vectors(1, 50)[0]
    model, state = np.zeros(50, np.float32), None
    for _ in range(300):
        model, state = run(name, model, [0.1 * (model - target)], state)
    assert np.abs(model - target).max() < 0.1 * np.abs(target).max()


# -- options -----------------------------------------------------------------------------------


@any_strategy
def test_every_option_has_a_description_and_a_valid_default(name, row):
    assert set(row.about) == set(row.options._fields)
    assert options_of(name, row, row.options._asdict()) == row.options == options_of(name, row, {})
    assert set(row.refuses) <= set(MEMORIES)


@pytest.mark.parametrize(
    "name, given, text",
    [
        ("sgd", dict(beta_1=0.5), "sgd has no option 'beta_1', expected any of: none"),
        ("adam", dict(momentum=0.5), "adam has no option 'momentum', expected any of: beta_1, beta_2, epsilon"),
        ("adam", dict(beta_1=1.0), "beta_1 of adam must be a number >= 0 and < 1, got 1.0"),
        ("adam", dict(epsilon=2), "epsilon of adam must be a number >= 1e-30 and <= 1, got 2"),
        ("momentum", dict(momentum=float("nan")), "momentum of momentum must be a number >= 0 and < 1, got nan"),
        ("momentum", dict(momentum=float("inf")), "got inf"),
        ("momentum", dict(momentum=True), "got True"),
        ("momentum", dict(momentum="much"), "got 'much'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(name, given, text):
    with pytest.raises(ConfigError, match=text):
        options_of(name, SERVER_OPTIMIZERS[name], given)
