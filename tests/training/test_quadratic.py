"""The quadratic problem against its equations in float64."""

import zlib

import numpy as np
import pytest
from descent_oracle import descend
from factory import settings_with

from flq.core.layout import BLOCK
from flq.errors import DataError
from flq.training.frameworks import build_trainer, make_task
from flq.training.quadratic import problem


def objective(settings, x):
    """Sum over m of w_m f_m(x) / dim, as the module's docstring defines it."""
    n_workers = settings.system.total_workers
    weights = np.array([100.0 + 10.0 * worker_id for worker_id in range(n_workers)])
    values = []
    for worker_id in range(n_workers):
        a, c = [part.astype(np.float64) for part in problem(settings, worker_id)]
        values.append(0.5 * np.sum(a * (x - c) ** 2) / len(x))
    return float(np.dot(weights / weights.sum(), values))


@pytest.fixture
def settings():
    return settings_with(name="quadratic")


def test_one_step_is_lr_times_the_gradient(settings):
    shared = np.linspace(-2, 2, 1000).astype(np.float32)
    outcome = build_trainer(settings, 3).local_update(shared, 1)
    a, c = [part.astype(np.float64) for part in problem(settings, 3)]
    np.testing.assert_allclose(outcome.update, 0.1 * a * (shared - c), atol=1e-6)
    assert outcome.loss == pytest.approx(0.5 * np.mean(a * (shared - c) ** 2), rel=1e-6)
    assert outcome.update.dtype == np.float32 and outcome.n_steps == 1


@pytest.mark.parametrize("changes", [{"local_steps": 3, "local_epochs": 0}, {"local_epochs": 3}])
def test_three_steps_are_three_times_one_step(changes):
    one = build_trainer(settings_with(name="quadratic", dim=BLOCK + 7), 1)
    three = build_trainer(settings_with(name="quadratic", dim=BLOCK + 7, **changes), 1)
    shared, losses = np.full(BLOCK + 7, 0.5, np.float32), []
    local = shared
    for _ in range(3):
        outcome = one.local_update(local, 1)
        local, losses = local - outcome.update, losses + [outcome.loss]
    outcome = three.local_update(shared, 1)
    assert outcome.n_steps == 3
    np.testing.assert_allclose(outcome.update, shared - local, atol=1e-6)
    assert outcome.loss == pytest.approx(np.mean(losses), rel=1e-6)


def test_shared_vector_is_not_modified_and_update_is_new(settings):
    shared = np.ones(1000, np.float32)
    trainer = build_trainer(settings, 0)
    first, second = trainer.local_update(shared, 1).update, trainer.local_update(shared, 2).update
    assert np.array_equal(shared, np.ones(1000, np.float32))
    assert np.array_equal(first, second) and not np.shares_memory(first, second)


def test_curvature_and_centre_stay_in_their_ranges():
    a, c = problem(settings_with(name="quadratic", dim=100000), 2)
    assert 1 <= a.min() < 1.01 and 9.99 < a.max() <= 10
    assert -1 <= c.min() < -0.99 and 0.99 < c.max() < 1


def test_workers_have_different_problems_and_weights(settings):
    assert not np.array_equal(problem(settings, 0)[0], problem(settings, 1)[0])
    assert [build_trainer(settings, worker_id).n_samples for worker_id in range(4)] == [100, 110, 120, 130]


def test_evaluation_is_the_objective_minus_its_minimum(settings):
    evaluator = make_task(settings)
    near, far = np.zeros(1000, np.float32), np.ones(1000, np.float32)
    difference = evaluator.evaluate(far)["loss"] - evaluator.evaluate(near)["loss"]
    assert difference == pytest.approx(objective(settings, far) - objective(settings, near), rel=1e-9)
    assert sorted(evaluator.evaluate(near)) == ["loss"] and evaluator.main_metric == ("loss", False)


def test_gradient_descent_on_the_weighted_sum_reaches_loss_zero(settings):
    trainers, evaluator = [build_trainer(settings, worker_id) for worker_id in range(4)], make_task(settings)
    n_total, model = sum(trainer.n_samples for trainer in trainers), np.zeros(1000, np.float32)
    assert evaluator.evaluate(model)["loss"] > 0.2
    for round_index in range(1, 101):
        model = model - sum(
            np.float32(trainer.n_samples / n_total) * trainer.local_update(model, round_index).update
            for trainer in trainers
        )
    assert 0 <= evaluator.evaluate(model)["loss"] < 1e-12


def test_update_is_the_same_bits_under_every_numpy(settings):
    update = build_trainer(settings, 2).local_update(np.full(1000, 0.25, np.float32), 1).update
    assert zlib.crc32(update.tobytes()) == 2590665612


@pytest.mark.parametrize(
    "build",
    [
        lambda settings: make_task(settings).check(),
        lambda settings: build_trainer(settings, 0),
        lambda settings: make_task(settings).open(None),
    ],
)
def test_l2_is_refused(build):
    with pytest.raises(DataError, match="model.l2 must be 0 for the quadratic problem, got 0.1"):
        build(settings_with(name="quadratic", l2=0.1))


def test_a_diverging_descent_raises_no_warning_and_yields_non_finite_numbers():
    trainer = build_trainer(settings_with(name="quadratic", lr=1e6, local_steps=9), 0)
    assert not np.isfinite(trainer.local_update(np.ones(1000, np.float32), 1).update).all()


def test_there_is_no_keras_model_to_save(settings):
    with pytest.raises(DataError, match="no Keras model"):
        make_task(settings).export(np.zeros(1000, np.float32), "model.keras")


# -- local optimizers, proximal term, schedules, gradients --------------------------------


def slope_of(settings, worker_id):
    """The function (x, batch) -> (f_m(x), its gradient), in float64."""
    a, c = [part.astype(np.float64) for part in problem(settings, worker_id)]
    return lambda x, batch: (0.5 * np.sum(a * (x - c) ** 2), a * (x - c))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("mu", [0.0, 0.5])
def test_local_training_is_that_of_the_oracle(optimizer, mu):
    dim = BLOCK + 7
    settings = settings_with(
        name="quadratic", dim=dim, local_steps=6, local_optimizer=optimizer, mu=mu, lr=0.02, local_momentum=0.8
    )
    shared = np.linspace(-2, 2, dim).astype(np.float32)
    outcome = build_trainer(settings, 2).local_update(shared, 1)
    update, loss = descend(slope_of(settings, 2), shared, range(6), 0.02, optimizer, momentum=0.8, mu=mu)
    assert outcome.loss == pytest.approx(loss / dim, rel=1e-6)
    np.testing.assert_allclose(outcome.update, update, atol=3e-6)
    assert outcome.n_steps == 6 and outcome.update.dtype == np.float32


def test_the_loss_has_the_proximal_term():
    settings = settings_with(name="quadratic", dim=8, local_steps=2, mu=3.0)
    a, c = [part.astype(np.float64) for part in problem(settings, 0)]
    shared = np.ones(8, np.float32)
    moved = shared - 0.1 * a * (shared - c)
    first, second = [0.5 * np.sum(a * (x - c) ** 2) for x in (shared, moved)]
    expected = (first + second + 0.5 * 3.0 * np.sum((moved - shared) ** 2)) / 2 / 8
    assert build_trainer(settings, 0).local_update(shared, 1).loss == pytest.approx(expected, rel=1e-6)


def test_a_large_mu_holds_the_model_near_the_shared_copy():
    shared = np.full(1000, 5.0, np.float32)
    updates = [
        build_trainer(settings_with(name="quadratic", local_steps=50, lr=0.01, mu=mu), 0).local_update(shared, 1)
        for mu in (0.0, 50.0)
    ]
    assert np.abs(updates[1].update).max() < 0.5 * np.abs(updates[0].update).max()


def test_optimizers_start_from_zero_in_each_round():
    for optimizer in ("momentum", "adam"):
        trainer = build_trainer(settings_with(name="quadratic", local_steps=3, local_optimizer=optimizer), 1)
        shared = np.ones(1000, np.float32)
        first, second = trainer.local_update(shared, 1), trainer.local_update(shared, 2)
        assert np.array_equal(first.update, second.update) and first.loss == second.loss


def test_the_schedule_changes_the_step():
    shared = np.ones(1000, np.float32)
    trainer = build_trainer(settings_with(name="quadratic", lr_schedule="step", lr_decay=0.5, lr_decay_rounds=10), 1)
    early, late = trainer.local_update(shared, 10).update, trainer.local_update(shared, 11).update
    np.testing.assert_allclose(late, early / 2, rtol=1e-4, atol=1e-7)


def test_the_gradient_is_exact_for_any_learning_rate():
    dim = BLOCK + 7
    settings = settings_with(name="quadratic", dim=dim, update="gradient", local_epochs=5, lr=0.3)
    shared = np.linspace(-2, 2, dim).astype(np.float32)
    outcome = build_trainer(settings, 3).local_update(shared, 1)
    loss, gradient = slope_of(settings, 3)(shared.astype(np.float64), None)
    np.testing.assert_allclose(outcome.update, gradient, atol=2e-6)
    assert outcome.loss == pytest.approx(loss / dim, rel=1e-6)
    assert outcome.n_steps == 1 and outcome.held_back is None
    assert np.array_equal(shared, np.linspace(-2, 2, dim).astype(np.float32))
