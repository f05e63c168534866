"""Keras models, trainer and evaluator; these need TensorFlow."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pytest

from flq.core import draws
from flq.core.params import flatten, unflatten
from flq.errors import DataError
from flq.training.datasets import load_dataset
from flq.training.keras_models import KERAS_MODELS, build_keras_model
from flq.training.keras_setup import set_up_tensorflow
from flq.training.models import MODELS, model_layout
from flq.training.partition import partition
from flq.training.trainer import build_evaluator, build_trainer

pytestmark = pytest.mark.tf

KERAS_NAMES = ["cnn_small", "mlp"]

CHILD = """
import json, sys, zlib
from flq.core import draws
from flq.training.trainer import build_trainer
settings, worker_id = json.loads(sys.argv[1]), int(sys.argv[2])
trainer = build_trainer(settings, worker_id)
shared = draws.start_values(trainer.layout, 42)
for round_index in (1, 2):
    outcome = trainer.local_update(shared, round_index)
    shared = shared - outcome.update
    print(zlib.crc32(outcome.update.tobytes()), outcome.loss.hex())
"""


@pytest.fixture(autouse=True)
def tensorflow(make_settings):
    """TensorFlow, set up before any test uses it."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(make_settings())
    return module


def test_every_model_but_the_quadratic_has_a_keras_builder():
    assert sorted(KERAS_MODELS) == KERAS_NAMES == sorted(set(MODELS) - {"quadratic"})


@pytest.mark.parametrize("input_shape", [(8, 8, 1), (15, 20, 3), (16, 16, 1), (28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("name", KERAS_NAMES)
def test_layout_is_the_shapes_of_the_keras_weights(make_settings, name, input_shape):
    settings = make_settings(name=name)
    model = build_keras_model(settings, input_shape, 7)
    layout = MODELS[name](settings, input_shape, 7)
    assert [tensor.shape for tensor in layout.tensors] == [weight.shape for weight in model.get_weights()]
    layer_names = [layer.name for layer in model.layers for _ in layer.get_weights()]
    assert [tensor.name.split("/")[0] for tensor in layout.tensors] == layer_names
    assert model.count_params() == layout.n_params
    assert model.trainable_weights and len(model.trainable_weights) == len(model.weights)


def test_a_model_without_keras_is_refused(make_settings):
    with pytest.raises(DataError, match="model.name must be one of cnn_small, mlp"):
        build_keras_model(make_settings(name="quadratic"), (8, 8, 1), 10)


def mlp_gradient(vector, layout, x, y):
    """Loss and gradient of the mlp's mean cross-entropy, in float64 by the chain rule."""
    w1, b1, w2, b2 = [array.astype(np.float64) for array in unflatten(vector, layout)]
    x = x.reshape(len(x), -1).astype(np.float64)
    hidden = np.maximum(x @ w1 + b1, 0)
    logits = hidden @ w2 + b2
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean()
    d_logits = (p - np.eye(10)[y]) / len(y)
    d_hidden = (d_logits @ w2.T) * (hidden > 0)
    return loss, flatten([x.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_logits, d_logits.sum(axis=0)], layout)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_one_step_is_lr_times_the_gradient_by_hand(make_settings, l2):
    settings = make_settings(local_steps=1, l2=l2)
    trainer = build_trainer(settings, 2)
    shared = draws.start_values(trainer.layout, 1)
    dataset = load_dataset(settings)
    shard = partition(dataset.y_train, settings)[2]
    batch = shard[draws.permutation(len(shard), draws.stream(42, draws.BATCHES, 5, 2))[:32]]
    loss, gradient = mlp_gradient(shared, trainer.layout, dataset.x_train[batch], dataset.y_train[batch])

    outcome = trainer.local_update(shared, 5)
    np.testing.assert_allclose(outcome.update, 0.1 * (gradient + l2 * shared), atol=2e-7)
    assert outcome.loss == pytest.approx(loss + 0.5 * l2 * np.sum(shared.astype(np.float64) ** 2), rel=1e-5)
    assert outcome.n_steps == 1


@pytest.mark.parametrize("changes, n_steps", [
    ({}, 11),                       # a shard of 359 has 11 full batches of 32
    ({"local_epochs": 2}, 22),
    ({"local_steps": 15}, 15),      # more than one pass
    ({"batch_size": 359}, 1),
])
def test_number_of_steps(make_settings, changes, n_steps):
    trainer = build_trainer(make_settings(**changes), 1)
    assert trainer.local_update(draws.start_values(trainer.layout, 1), 1).n_steps == n_steps


def test_local_steps_go_on_into_a_second_reshuffled_pass(make_settings):
    trainer = build_trainer(make_settings(local_steps=13), 1)
    batches = trainer._batches(1)
    assert batches.shape == (13, 32)
    first, second = batches[:11].ravel(), batches[11:].ravel()
    assert len(set(first)) == 11 * 32 and len(set(second)) == 2 * 32
    assert not np.array_equal(first[:64], second)
    assert not np.array_equal(batches, trainer._batches(2))


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_rounds_are_traced_once_and_leave_no_state(make_settings, name):
    trainer = build_trainer(make_settings(name=name), 0)
    shared = draws.start_values(trainer.layout, 42)
    untouched = shared.copy()
    first = trainer.local_update(shared, 1)
    other = trainer.local_update(shared, 2)
    again = trainer.local_update(shared, 1)
    assert np.array_equal(first.update, again.update) and first.loss == again.loss
    assert not np.array_equal(first.update, other.update)
    assert not np.shares_memory(first.update, again.update)
    assert np.array_equal(shared, untouched)
    assert first.update.dtype == np.float32
    assert trainer._train.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_workers_in_one_process_give_the_bits_of_workers_in_their_own(make_settings, name):
    settings = make_settings(name=name)
    trainers = [build_trainer(settings, worker_id) for worker_id in (0, 1)]
    models = [draws.start_values(trainer.layout, 42) for trainer in trainers]
    lines = [[], []]
    for round_index in (1, 2):
        for worker_id, trainer in enumerate(trainers):
            outcome = trainer.local_update(models[worker_id], round_index)
            models[worker_id] = models[worker_id] - outcome.update
            lines[worker_id].append("%d %s" % (zlib.crc32(outcome.update.tobytes()), outcome.loss.hex()))
    here = ["\n".join(worker_lines) for worker_lines in lines]
    there = [subprocess.check_output([sys.executable, "-c", CHILD, json.dumps(settings), str(worker_id)],
                                     universal_newlines=True).strip() for worker_id in (0, 1)]
    assert here == there
    assert here[0] != here[1]


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_federated_averaging_learns_the_digits(make_settings, name):
    settings = make_settings(name=name, lr=0.2)
    trainers, evaluator = [build_trainer(settings, worker_id) for worker_id in range(4)], build_evaluator(settings)
    model, n_total = draws.start_values(evaluator.layout, 42), sum(trainer.n_samples for trainer in trainers)
    assert n_total == 1437
    assert evaluator.evaluate(model).accuracy < 0.3
    for round_index in range(1, 11):
        model = model - sum(np.float32(trainer.n_samples / n_total) * trainer.local_update(model, round_index).update
                            for trainer in trainers)
    assert evaluator.evaluate(model).accuracy > 0.9


def test_evaluation_is_cross_entropy_and_accuracy_by_hand(make_settings):
    settings = make_settings()
    evaluator, dataset = build_evaluator(settings), load_dataset(settings)
    vector = draws.start_values(evaluator.layout, 3)
    loss, _ = mlp_gradient(vector, evaluator.layout, dataset.x_test, dataset.y_test)
    w1, b1, w2, b2 = unflatten(vector, evaluator.layout)
    logits = np.maximum(dataset.x_test.reshape(360, -1) @ w1 + b1, 0) @ w2 + b2
    evaluation = evaluator.evaluate(vector)
    assert evaluation.loss == pytest.approx(loss, rel=1e-5)
    assert evaluation.accuracy == pytest.approx((logits.argmax(axis=1) == dataset.y_test).mean(), abs=1e-12)
    assert evaluator.evaluate(vector) == evaluation


def test_evaluation_in_several_batches_is_the_same(make_settings, monkeypatch):
    evaluator = build_evaluator(make_settings())
    vector = draws.start_values(evaluator.layout, 3)
    whole = evaluator.evaluate(vector)
    monkeypatch.setattr("flq.training.keras_evaluator.BATCH", 100)
    parts = evaluator.evaluate(vector)
    assert parts.accuracy == whole.accuracy
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras under numpy 2
def test_saved_model_has_the_vectors_weights(make_settings, tmp_path, tensorflow):
    if sys.version_info < (3, 9):
        pytest.skip(".keras files are written on the master, which has Python 3.9 or newer")
    evaluator = build_evaluator(make_settings(name="cnn_small"))
    vector = draws.start_values(evaluator.layout, 3)
    path = str(tmp_path / "model.keras")
    evaluator.save_keras(vector, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.keras"]
    loaded = tensorflow.keras.models.load_model(path)
    assert np.array_equal(flatten(loaded.get_weights(), evaluator.layout), vector)


def test_another_number_of_threads_is_refused_once_tensorflow_runs(make_settings, tensorflow):
    tensorflow.constant(1.0).numpy()
    set_up_tensorflow(make_settings())
    set_up_tensorflow(make_settings(deterministic=False, threads=2))
    with pytest.raises(DataError, match="already runs with 1 threads .* asks for 2"):
        set_up_tensorflow(make_settings(threads=2))


def test_layout_of_the_settings_is_the_trainers(make_settings):
    for name in KERAS_NAMES:
        settings = make_settings(name=name)
        assert build_trainer(settings, 0).layout == model_layout(settings) == build_evaluator(settings).layout
