"""The Keras trainer and evaluator; these need TensorFlow."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pytest
from descent_oracle import dense_slope, descend
from factory import settings_with
from inside import batches_of_round, n_traces

from flq.core import rng
from flq.core.layout import unflatten
from flq.core.settings import to_json
from flq.errors import DataError
from flq.training import keras_task
from flq.training.datasets import load_dataset
from flq.training.frameworks import build_trainer, make_task
from flq.training.keras_setup import Device, set_up_tensorflow
from flq.training.partition import partition

pytestmark = pytest.mark.tf

KERAS_NAMES = ["cnn_small", "mlp"]
WHITE = 16.0  # of the digits

# Every setting of local training, at least once.
WAYS = [
    dict(name="mlp"),
    dict(name="cnn_small", local_optimizer="momentum", mu=0.1),
    dict(name="mlp", local_optimizer="adam", lr=0.003, l2=0.01, lr_schedule="exponential"),
    dict(name="cnn_small", update="gradient", l2=0.01),
    dict(name="resnet20", local_steps=2),
]

CHILD = """
import json, sys, zlib
from flq.core import rng
from flq.core.settings import settings_from_json
from flq.training.frameworks import build_trainer
for settings in json.loads(sys.argv[1]):
    trainer = build_trainer(settings_from_json(settings), 1)
    shared = rng.start_values(trainer.layout, 42)
    for round_index in (1, 2):
        outcome = trainer.local_update(shared, round_index)
        shared = shared - outcome.update
        print(zlib.crc32(outcome.update.tobytes()), outcome.loss.hex())
"""


@pytest.fixture(autouse=True)
def tensorflow():
    """TensorFlow, set up before any test uses it."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    return module


def batches_of(settings, worker_id, round_index, n_steps):
    """The (pixels, labels) of a round's first steps, as the seed draws them; the pass is long enough."""
    dataset, size = load_dataset(settings), settings.dataset.batch_size
    shard = partition(dataset.y_train, settings)[worker_id]
    order = shard[rng.permutation(len(shard), rng.stream(42, rng.BATCHES, round_index, worker_id))]
    parts = [order[i * size : (i + 1) * size] for i in range(n_steps)]
    return [(dataset.x_train[part] / WHITE, dataset.y_train[part]) for part in parts]


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_one_step_is_lr_times_the_gradient_by_hand(l2):
    settings = settings_with(local_steps=1, l2=l2)
    trainer = build_trainer(settings, 2)
    shared = rng.start_values(trainer.layout, 1)
    ((x, y),) = batches_of(settings, 2, 5, 1)
    loss, gradient = dense_slope(shared, trainer.layout, x, y, l2)

    outcome = trainer.local_update(shared, 5)
    np.testing.assert_allclose(outcome.update, 0.1 * gradient, atol=2e-7)
    assert outcome.loss == pytest.approx(loss, rel=1e-5)
    assert outcome.n_steps == 1 and outcome.held_back is None


@pytest.mark.parametrize("name", ["logreg", "mlp"])
@pytest.mark.parametrize("optimizer, lr", [("sgd", 0.1), ("momentum", 0.05), ("adam", 0.003)])
@pytest.mark.parametrize("mu, l2", [(0.0, 0.0), (2.0, 0.1)])
def test_local_training_is_that_of_the_oracle(name, optimizer, lr, mu, l2):
    settings = settings_with(
        name=name, local_steps=8, local_optimizer=optimizer, lr=lr, mu=mu, l2=l2, local_momentum=0.8
    )
    trainer = build_trainer(settings, 1)
    shared = rng.start_values(trainer.layout, 1)
    update, loss = descend(
        lambda v, batch: dense_slope(v, trainer.layout, *batch, l2=l2),
        shared,
        batches_of(settings, 1, 3, 8),
        lr,
        optimizer,
        momentum=0.8,
        mu=mu,
    )
    outcome = trainer.local_update(shared, 3)
    # Adam divides by the gradient's size, so entries near zero are inexact.
    atol, most_off = (1e-4, 0.002) if optimizer == "adam" else (2e-6, 0.0)
    off = np.abs(outcome.update - update) > atol
    assert off.mean() <= most_off, np.abs(outcome.update - update).max()
    assert outcome.loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("name", ["logreg", "mlp"])
def test_the_gradient_is_that_of_one_batch_l2_included(name):
    settings = settings_with(name=name, update="gradient", l2=0.1, local_epochs=3, lr=0.5)
    trainer = build_trainer(settings, 1)
    shared = rng.start_values(trainer.layout, 1)
    ((x, y),) = batches_of(settings, 1, 4, 1)
    loss, gradient = dense_slope(shared, trainer.layout, x, y, l2=0.1)
    outcome = trainer.local_update(shared, 4)
    np.testing.assert_allclose(outcome.update, gradient, atol=2e-6)
    assert outcome.loss == pytest.approx(loss, rel=1e-5)
    assert outcome.n_steps == 1 and outcome.update.dtype == np.float32


def test_the_adjustment_removes_the_workers_class_shares_from_the_learnt_model():
    settings = settings_with(name="logreg", update="gradient", partition="non_iid", dir_alpha=0.1, logit_adjustment=1.0)
    dataset, trainer = load_dataset(settings), build_trainer(settings, 1)
    labels = dataset.y_train[partition(dataset.y_train, settings)[1]]
    counts = np.bincount(labels, minlength=10)
    assert 0 in counts  # a class that the worker has not got
    outcome = trainer.local_update(np.zeros(trainer.layout.n_params, np.float32), 1)
    kernel, bias = unflatten(outcome.update, trainer.layout)
    ((_, drawn),) = batches_of(settings, 1, 1, 1)
    shares = (counts + 1) / (counts + 1).sum()
    expected = shares - np.bincount(drawn, minlength=10) / len(drawn)  # softmax(0 + log shares) - mean(one-hot)
    np.testing.assert_allclose(bias, expected, atol=1e-6)
    assert outcome.loss == pytest.approx(-np.log(shares)[drawn].mean(), rel=1e-5)


def test_two_epochs_are_two_passes_over_the_same_samples():
    trainer = build_trainer(settings_with(local_epochs=2), 1)
    passes = batches_of_round(trainer, 1).reshape(2, -1)
    assert all(len(set(one)) == 11 * 32 for one in passes) and not np.array_equal(passes[0], passes[1])
    assert np.array_equal(passes[0], batches_of_round(build_trainer(settings_with(), 1), 1).ravel())
    shared = rng.start_values(trainer.layout, 1)
    as_steps = build_trainer(settings_with(local_steps=22), 1).local_update(shared, 1)
    assert np.array_equal(trainer.local_update(shared, 1).update, as_steps.update)


def test_the_schedule_changes_the_step_without_a_new_trace():
    settings = settings_with(local_steps=1, lr_schedule="exponential", lr_decay=0.25, lr_decay_rounds=2)
    scheduled, constant = build_trainer(settings, 1), build_trainer(settings_with(local_steps=1), 1)
    shared = rng.start_values(scheduled.layout, 1)
    for round_index, factor in (1, 1.0), (2, 0.5), (3, 0.25):
        np.testing.assert_allclose(
            scheduled.local_update(shared, round_index).update,
            factor * constant.local_update(shared, round_index).update,
            atol=1e-7,
        )
    assert n_traces(scheduled) == 1


@pytest.mark.parametrize("changes", [dict(), dict(local_optimizer="adam", lr=0.003)])
def test_batches_made_in_advance_change_no_bit(monkeypatch, changes):
    shared = rng.start_values(make_task(settings_with()).layout, 1)

    def bits(n_gpus, n_ahead, n_at_a_time):
        monkeypatch.setattr(keras_task, "set_up_tensorflow", lambda settings: Device(n_gpus, False, []))
        # White 255 makes divisions that are not exact, which is where rounding could differ.
        monkeypatch.setattr(keras_task, "load_dataset", lambda settings: load_dataset(settings)._replace(scale=255.0))
        trainer = build_trainer(settings_with(prefetch_size=n_ahead, num_parallel_calls=n_at_a_time, **changes), 1)
        outcomes = [trainer.local_update(shared, round_index) for round_index in (1, 2)]
        assert n_traces(trainer) == 1
        return [(zlib.crc32(outcome.update.tobytes()), outcome.loss.hex()) for outcome in outcomes]

    in_the_loop = bits(0, 2, 2)
    assert len(set(in_the_loop)) == 2
    for n_ahead, n_at_a_time in (0, 1), (1, 1), (2, 2), (5, 3), (100, 16):
        assert bits(1, n_ahead, n_at_a_time) == in_the_loop


@pytest.mark.parametrize(
    "changes, n_steps",
    [
        ({}, 11),  # a shard of 359 has 11 full batches of 32
        ({"local_epochs": 2}, 22),
        ({"local_steps": 15}, 15),  # more than one pass
        ({"batch_size": 359}, 1),
        ({"batch_size": 0}, 1),  # all of them
        ({"batch_size": 300, "local_epochs": 3}, 3),
    ],
)
def test_number_of_steps(changes, n_steps):
    trainer = build_trainer(settings_with(**changes), 1)
    assert trainer.local_update(rng.start_values(trainer.layout, 1), 1).n_steps == n_steps


def test_local_steps_continue_with_a_second_reshuffled_pass():
    trainer = build_trainer(settings_with(local_steps=13), 1)
    batches = batches_of_round(trainer, 1)
    assert batches.shape == (13, 32)
    first, second = batches[:11].ravel(), batches[11:].ravel()
    assert len(set(first)) == 11 * 32 and len(set(second)) == 2 * 32
    assert not np.array_equal(first[:64], second)
    assert not np.array_equal(batches, batches_of_round(trainer, 2))


@pytest.mark.parametrize("changes", WAYS)
def test_rounds_are_traced_once_and_leave_no_state(changes):
    trainer = build_trainer(settings_with(**changes), 0)
    shared = rng.start_values(trainer.layout, 42)
    untouched = shared.copy()
    first = trainer.local_update(shared, 1)
    other = trainer.local_update(shared, 2)
    again = trainer.local_update(shared, 1)
    assert np.array_equal(first.update, again.update) and first.loss == again.loss
    assert not np.array_equal(first.update, other.update)
    assert not np.shares_memory(first.update, again.update)
    assert np.array_equal(shared, untouched)
    assert first.update.dtype == np.float32 and np.isfinite(first.update).all()
    assert n_traces(trainer) == 1


def test_workers_in_one_process_give_the_bits_of_a_worker_in_its_own():
    all_settings, lines = [settings_with(**changes) for changes in WAYS], [[], []]
    for settings in all_settings:
        trainers = [build_trainer(settings, worker_id) for worker_id in (0, 1)]
        models = [rng.start_values(trainer.layout, 42) for trainer in trainers]
        for round_index in (1, 2):
            for worker_id, trainer in enumerate(trainers):
                outcome = trainer.local_update(models[worker_id], round_index)
                models[worker_id] = models[worker_id] - outcome.update
                lines[worker_id].append("%d %s" % (zlib.crc32(outcome.update.tobytes()), outcome.loss.hex()))
    there = subprocess.check_output(
        [sys.executable, "-c", CHILD, json.dumps([to_json(settings) for settings in all_settings])],
        universal_newlines=True,
    )
    assert lines[1] == there.splitlines()
    assert len(set(lines[0] + lines[1])) == 4 * len(WAYS)


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_federated_averaging_learns_the_digits(name):
    settings = settings_with(name=name, lr=0.2)
    trainers, evaluator = [build_trainer(settings, worker_id) for worker_id in range(4)], make_task(settings)
    model, n_total = rng.start_values(evaluator.layout, 42), sum(trainer.n_samples for trainer in trainers)
    assert n_total == 1437
    assert evaluator.evaluate(model)["accuracy"] < 0.3
    for round_index in range(1, 11):
        model = model - sum(
            np.float32(trainer.n_samples / n_total) * trainer.local_update(model, round_index).update
            for trainer in trainers
        )
    assert evaluator.evaluate(model)["accuracy"] > 0.9


def test_evaluation_is_cross_entropy_and_accuracy_by_hand():
    settings = settings_with()
    evaluator, dataset = make_task(settings), load_dataset(settings)
    vector = rng.start_values(evaluator.layout, 3)
    pixels = dataset.x_test / WHITE
    loss, _ = dense_slope(vector, evaluator.layout, pixels, dataset.y_test)
    w1, b1, w2, b2 = unflatten(vector, evaluator.layout)
    logits = np.maximum(pixels.reshape(360, -1) @ w1 + b1, 0) @ w2 + b2
    evaluation = evaluator.evaluate(vector)
    assert evaluation["loss"] == pytest.approx(loss, rel=1e-5)
    assert evaluation["accuracy"] == pytest.approx((logits.argmax(axis=1) == dataset.y_test).mean(), abs=1e-12)
    assert evaluator.evaluate(vector) == evaluation


def test_evaluation_in_several_batches_is_the_same(monkeypatch):
    evaluator = make_task(settings_with())
    vector = rng.start_values(evaluator.layout, 3)
    whole = evaluator.evaluate(vector)
    monkeypatch.setattr("flq.training.keras_evaluation.BATCH", 100)
    parts = evaluator.evaluate(vector)
    assert parts["accuracy"] == whole["accuracy"]
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-6)


def test_another_number_of_threads_is_refused_once_tensorflow_runs(tensorflow):
    tensorflow.constant(1.0).numpy()
    set_up_tensorflow(settings_with())
    set_up_tensorflow(settings_with(deterministic=False, threads=2))
    with pytest.raises(DataError, match="already runs with 1 threads .* asks for 2"):
        set_up_tensorflow(settings_with(threads=2))


def test_layout_of_the_settings_is_the_trainers():
    for name in KERAS_NAMES:
        settings = settings_with(name=name)
        assert build_trainer(settings, 0).layout == make_task(settings).layout
