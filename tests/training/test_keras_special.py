"""The Keras trainer: moving statistics, mixed precision, held-out samples, users' models."""

import numpy as np
import pytest
from factory import settings_with

from flq.core import rng
from flq.core.held_back import HeldBack
from flq.core.layout import unflatten
from flq.errors import DataError
from flq.training import keras_task
from flq.training.datasets import load_dataset
from flq.training.frameworks import build_trainer, make_task
from flq.training.keras_setup import Device, set_up_tensorflow
from flq.training.partition import partition

pytestmark = pytest.mark.tf

NORMED = """
import tensorflow as tf

def build(input_shape, n_classes):
    return tf.keras.Sequential([
        tf.keras.Input(input_shape), tf.keras.layers.Flatten(),
        tf.keras.layers.BatchNormalization(momentum=0.75, name="norm"),
        tf.keras.layers.Dense(n_classes, name="logits")])

def build_regularized(input_shape, n_classes):
    return tf.keras.Sequential([
        tf.keras.Input(input_shape), tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(n_classes, name="logits", kernel_regularizer=tf.keras.regularizers.L2(0.05))])
"""


@pytest.fixture(autouse=True)
def tensorflow():
    """TensorFlow, set up before any test uses it."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    return module


@pytest.fixture
def own_models(tmp_path, monkeypatch):
    """The module own_normed_models on the path."""
    (tmp_path / "own_normed_models.py").write_text(NORMED)
    monkeypatch.syspath_prepend(str(tmp_path))


def first_batch(settings, worker_id, round_index):
    dataset = load_dataset(settings)
    shard = partition(dataset.y_train, settings)[worker_id]
    order = rng.permutation(len(shard), rng.stream(42, rng.BATCHES, round_index, worker_id))
    return dataset.x_train[shard[order[: settings.dataset.batch_size]]] / dataset.scale


def start_of(trainer):
    """Return a vector whose statistics differ from start values."""
    return rng.uniform(trainer.layout.n_params, rng.stream(7, rng.START)) + np.float32(1.5)


# -- moving statistics -------------------------------------------------------------------


@pytest.mark.parametrize("update", ["delta", "gradient"])
def test_the_update_of_moving_statistics_is_shared_minus_the_values_after_the_forward_pass(own_models, update):
    settings = settings_with(name="own_normed_models:build", update=update, local_steps=1)
    trainer = build_trainer(settings, 1)
    assert [tensor.name for tensor in trainer.layout.tensors][-2:] == ["norm/moving_mean", "norm/moving_variance"]
    assert trainer.layout.n_statistics == 2
    shared = start_of(trainer)
    outcome = trainer.local_update(shared, 3)

    pixels = first_batch(settings, 1, 3).reshape(32, -1).astype(np.float64)
    mean, variance = unflatten(shared, trainer.layout)[-2:]
    of_mean, of_variance = unflatten(outcome.update, trainer.layout)[-2:]
    np.testing.assert_allclose(of_mean, 0.25 * (mean - pixels.mean(axis=0)), atol=1e-6)
    np.testing.assert_allclose(of_variance, 0.25 * (variance - pixels.var(axis=0)), atol=1e-6)


def test_a_step_moves_trained_parameters_by_lr_times_the_gradient_and_no_statistics(own_models):
    changes = dict(name="own_normed_models:build", l2=0.5)
    stepping = build_trainer(settings_with(local_steps=1, lr=0.25, **changes), 1)
    gradient = build_trainer(settings_with(update="gradient", **changes), 1)
    shared, n_trained = start_of(stepping), stepping.layout.n_trained
    moved, slope = stepping.local_update(shared, 3), gradient.local_update(shared, 3)
    np.testing.assert_allclose(moved.update[:n_trained], 0.25 * slope.update[:n_trained], atol=1e-6)
    assert np.array_equal(moved.update[n_trained:], slope.update[n_trained:])  # no l2, no lr
    assert moved.loss == slope.loss
    trained = shared[:n_trained].astype(np.float64)
    without_l2 = build_trainer(settings_with(update="gradient", name="own_normed_models:build"), 1)
    assert slope.loss - without_l2.local_update(shared, 3).loss == pytest.approx(0.25 * np.sum(trained**2), rel=1e-3)


def test_statistics_move_along_over_several_steps(own_models):
    trainer = build_trainer(settings_with(name="own_normed_models:build", local_steps=5), 1)
    shared = start_of(trainer)
    outcome = trainer.local_update(shared, 1)
    mean = unflatten(shared, trainer.layout)[-2]
    # Far from the pixels in [0, 1], each step brings it nearer by a quarter of the way.
    moved = mean - unflatten(outcome.update, trainer.layout)[-2]
    assert np.abs(moved).max() < np.abs(mean).max() * 0.75**5 + 1.0


def test_the_losses_of_a_models_own_layers_count(own_models):
    settings = settings_with(name="own_normed_models:build_regularized", update="gradient")
    trainer = build_trainer(settings, 1)
    shared = start_of(trainer)
    own = trainer.local_update(shared, 1)
    plain = build_trainer(settings_with(name="logreg", update="gradient"), 1).local_update(shared, 1)
    kernel = unflatten(shared, trainer.layout)[0].astype(np.float64)
    assert own.loss - plain.loss == pytest.approx(0.05 * np.sum(kernel**2), rel=1e-4)
    difference, of_bias = unflatten(own.update - plain.update, trainer.layout)
    np.testing.assert_allclose(difference, 0.1 * kernel, atol=1e-6)
    assert not of_bias.any()


# -- mixed precision: the CPU can do it, slowly -------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn_small"])
def test_mixed_precision_gives_nearly_the_same_gradient_in_float32(monkeypatch, tensorflow, name):
    settings = settings_with(name=name, update="gradient", l2=0.01)
    exact = build_trainer(settings, 1)
    monkeypatch.setattr(keras_task, "set_up_tensorflow", lambda settings: Device(0, True, ["float16"]))
    mixed = build_trainer(settings, 1)
    assert mixed.notes[0] == "float16"
    assert tensorflow.keras.mixed_precision.global_policy().name == "float32"
    shared = rng.start_values(exact.layout, 1)
    expected, rounded = exact.local_update(shared, 2), mixed.local_update(shared, 2)
    assert rounded.update.dtype == np.float32 and mixed.layout == exact.layout
    off = np.linalg.norm(rounded.update - expected.update) / np.linalg.norm(expected.update)
    assert 0 < off < 0.05  # the convolutions of TensorFlow 2.6 also add up in float16 on the CPU
    assert rounded.loss == pytest.approx(expected.loss, rel=1e-2)


def test_gradients_below_the_range_of_float16_survive_mixed_precision(monkeypatch):
    # 512 samples: the gradient for one of them is a 512th, times small activations; unscaled they
    # would fall below 6e-8 and become zero.
    monkeypatch.setattr(keras_task, "set_up_tensorflow", lambda settings: Device(0, True, []))
    settings = settings_with(name="mlp", update="gradient", total_workers=1, batch_size=512)
    trainer = build_trainer(settings, 0)
    shared = rng.start_values(trainer.layout, 1) * np.float32(1e-2)
    scaled = trainer.local_update(shared, 1).update
    monkeypatch.setattr("flq.training.keras_steps.LOSS_SCALE", 1.0)
    unscaled = build_trainer(settings, 0).local_update(shared, 1).update
    assert np.count_nonzero(scaled) > np.count_nonzero(unscaled)


def test_training_in_mixed_precision_learns(monkeypatch):
    monkeypatch.setattr(keras_task, "set_up_tensorflow", lambda settings: Device(0, True, []))
    trainer = build_trainer(settings_with(local_epochs=5), 1)
    shared = rng.start_values(trainer.layout, 1)
    first = trainer.local_update(shared, 1)
    assert trainer.local_update(shared - first.update, 2).loss < 0.6 * first.loss


# -- held-out samples -------------------------------------------------------------------


def test_held_back_samples_are_evaluated_with_the_shared_copy(monkeypatch):
    settings = settings_with(local_epochs=3)
    evaluator = make_task(settings)
    dataset = load_dataset(settings)
    whole_share = keras_task.worker_share

    def share_of_local_data(*args):
        return whole_share(*args)._replace(held_x=dataset.x_test[:50], held_y=dataset.y_test[:50])

    monkeypatch.setattr(keras_task, "worker_share", share_of_local_data)
    trainer = build_trainer(settings, 1)
    shared = rng.start_values(trainer.layout, 1)
    trained = shared - trainer.local_update(shared, 1).update
    held_back = trainer.local_update(trained, 2).held_back

    monkeypatch.setattr(
        "flq.training.keras_task.load_dataset",
        lambda settings: dataset._replace(x_test=dataset.x_test[:50], y_test=dataset.y_test[:50]),
    )
    expected = make_task(settings).evaluate(trained)
    assert held_back == HeldBack(expected["loss"], expected["accuracy"], 50)
    assert held_back.accuracy > evaluator.evaluate(shared)["accuracy"]


def test_evaluating_held_back_samples_changes_no_update(monkeypatch, own_models):
    settings = settings_with(name="own_normed_models:build", local_steps=2)
    trainer = build_trainer(settings, 1)
    shared = start_of(trainer)
    dataset, whole_share = load_dataset(settings), keras_task.worker_share
    monkeypatch.setattr(
        keras_task,
        "worker_share",
        lambda *args: whole_share(*args)._replace(held_x=dataset.x_test[:7], held_y=dataset.y_test[:7]),
    )
    holding = build_trainer(settings, 1)
    assert np.array_equal(trainer.local_update(shared, 1).update, holding.local_update(shared, 1).update)


def test_with_partition_local_a_worker_trains_on_its_own_file_and_holds_a_part_back(tmp_path):
    dataset = load_dataset(settings_with())
    np.savez(
        str(tmp_path / "mine.npz"),
        x_train=dataset.x_train[:100],
        y_train=dataset.y_train[:100],
        x_test=dataset.x_test[:40],
        y_test=dataset.y_test[:40],
    )
    settings = settings_with(
        partition="local", data_dir=str(tmp_path), input_shape=[8, 8, 1], n_classes=10, local_steps=2
    )
    settings = settings_with(settings, dataset="npz:mine.npz")
    trainer = build_trainer(settings, 3)
    outcome = trainer.local_update(rng.start_values(trainer.layout, 1), 1)
    assert trainer.n_samples == 100 and outcome.n_steps == 2
    assert outcome.held_back.n_samples == 40
    assert outcome.held_back.loss == pytest.approx(np.log(10), rel=0.3) and 0 <= outcome.held_back.accuracy < 0.5

    settings = settings_with(settings, data_dir=str(tmp_path / "elsewhere"))
    with pytest.raises(DataError) as caught:
        build_trainer(settings, 3)
    assert "mine.npz" in str(caught.value) and "\n" not in str(caught.value)
