"""Models that end in a softmax or a sigmoid train as those that give the logits before it."""

import importlib
import re
import sys

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training import keras_task
from flq.training.custom_model import build_custom_model
from flq.training.datasets import load_dataset
from flq.training.frameworks import build_trainer, make_task
from flq.training.keras_setup import Device, set_up_tensorflow

pytestmark = pytest.mark.tf

MODELS = """
import tensorflow as tf
from tensorflow import keras

layers = keras.layers


def stack(shape, *parts):
    return keras.Sequential([keras.Input(shape), layers.Flatten()] + list(parts))


class Ends(keras.Model):
    def __init__(self, n, end):
        super().__init__()
        self.flatten, self.dense, self.end = layers.Flatten(), layers.Dense(n), end

    def call(self, x, training=False):
        return self.end(self.dense(self.flatten(x)), training)


def logits(shape, n): return stack(shape, layers.Dense(n))
def softmax(shape, n): return stack(shape, layers.Dense(n, activation="softmax"))
def softmax_layer(shape, n): return stack(shape, layers.Dense(n), layers.Softmax())
def softmax_activation(shape, n): return stack(shape, layers.Dense(n), layers.Activation("softmax"))
def softmax_lambda(shape, n): return stack(shape, layers.Dense(n), layers.Lambda(tf.nn.softmax))
def softmax_call(shape, n): return Ends(n, lambda x, training: tf.nn.softmax(x))
def softmax_in_inference(shape, n): return Ends(n, lambda x, training: x if training else tf.nn.softmax(x))
def log_softmax(shape, n): return stack(shape, layers.Dense(n), layers.Lambda(tf.nn.log_softmax))
def sigmoid(shape, n): return stack(shape, layers.Dense(n, activation="sigmoid"))
def sigmoid_call(shape, n): return Ends(n, lambda x, training: tf.sigmoid(x))
def one_sigmoid(shape, n): return stack(shape, layers.Dense(1, activation="sigmoid"))
def one_sigmoid_call(shape, n): return Ends(1, lambda x, training: tf.sigmoid(x))
def one_logit(shape, n): return stack(shape, layers.Dense(1))


def functional(shape, n):
    inputs = keras.Input(shape)
    inner = stack(shape, layers.Dense(n, activation="softmax"))
    return keras.Model(inputs, inner(inputs))


def no_dense(shape, n):
    parts = [layers.Conv2D(n, 3), layers.GlobalAveragePooling2D(), layers.Softmax()]
    return keras.Sequential([keras.Input(shape)] + parts)


def conv_and_flatten(shape, n, **more):
    return keras.Sequential([keras.Input(shape), layers.Conv2D(n, shape[:2], **more), layers.Flatten()])


def clip(x): return tf.clip_by_value(x, 1e-7, 1.0 - 1e-7)
def softmax_reshape(shape, n): return stack(shape, layers.Dense(n), layers.Softmax(), layers.Reshape((n,)))
def softmax_flatten(shape, n): return conv_and_flatten(shape, n, activation="softmax")
def sigmoid_flatten(shape, n): return conv_and_flatten(shape, n, activation="sigmoid")
def softmax_dropout(shape, n): return stack(shape, layers.Dense(n, activation="softmax"), layers.Dropout(0.1))
def sigmoid_dropout(shape, n): return stack(shape, layers.Dense(n, activation="sigmoid"), layers.Dropout(0.1))
def sigmoid_clip(shape, n): return Ends(n, lambda x, training: clip(tf.sigmoid(x)))
def softmax_clip(shape, n): return Ends(n, lambda x, training: clip(tf.nn.softmax(x)))
def one_sigmoid_dropout(shape, n): return stack(shape, layers.Dense(1, activation="sigmoid"), layers.Dropout(0.1))
def half_a_softmax(shape, n):
    parts = layers.Dense(n), layers.Reshape((n // 2, 2)), layers.Softmax(), layers.Flatten()
    return stack(shape, *parts)


def scores(shape, n): return Ends(n, lambda x, training: 10.0 * tf.sigmoid(x))
def gated(shape, n): return Ends(n, lambda x, training: x * tf.sigmoid(x))
def logits_dropout(shape, n): return stack(shape, layers.Dense(n), layers.Dropout(0.1))
def hard_sigmoid(shape, n): return stack(shape, layers.Dense(n, activation="hard_sigmoid"))
def inner_function(shape, n): return Ends(n, lambda x, training: tf.function(tf.sigmoid)(x))
def zeros(shape, n): return stack(shape, layers.Dense(n, kernel_initializer="zeros"))
def rectified(shape, n): return stack(shape, layers.Dense(n, activation="relu"))
def fixed_size(shape, n): return Ends(n, lambda x, training: tf.reshape(x, (x.shape[0], n)))


class OwnSteps(keras.Model):
    def train_step(self, data):
        return {}


def own_steps(shape, n):
    inputs = keras.Input(shape)
    return OwnSteps(inputs, stack(shape, layers.Dense(n))(inputs))


def compiled(shape, n):
    model = logits(shape, n)
    model.compile("adam", "mse")
    return model


def compiled_with_an_object(shape, n):
    model = logits(shape, n)
    model.compile("adam", keras.losses.Huber())
    return model
"""

SOFTMAX = ["softmax", "softmax_layer", "softmax_activation", "softmax_lambda", "softmax_call", "functional"]
SAME = SOFTMAX + ["softmax_in_inference", "log_softmax", "sigmoid", "sigmoid_call"]


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """The module ends, which can be imported."""
    pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    (tmp_path / "ends.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("ends", None)


def outcome(name, start=None, **changes):
    """Start, update, loss, evaluation and notes."""
    settings = settings_with(name="ends:" + name, **changes)
    task, trainer = make_task(settings), build_trainer(settings, 0)
    shared = task.start() if start is None else start
    local = trainer.local_update(shared, 1)
    return shared, local.update, local.loss, task.evaluate(shared - local.update), trainer.notes


@pytest.mark.parametrize("changes", [dict(local_steps=4, lr=0.5), dict(update="gradient", logit_adjustment=1.0)])
def test_each_trains_as_the_model_that_gives_the_logits(changes):
    shared, update, loss, metrics, _ = outcome("logits", **changes)
    for name in SAME:
        _, other_update, other_loss, other_metrics, notes = outcome(name, start=shared, **changes)
        np.testing.assert_allclose(other_update, update, atol=1e-6, err_msg=name)
        assert other_loss == pytest.approx(loss, rel=1e-5)
        assert other_metrics == pytest.approx(metrics, rel=1e-5)
        if name in SOFTMAX:
            assert "the model ends in a softmax: the loss is the cross-entropy of the logits before it" in notes


def test_it_is_said_once_and_not_of_logits():
    settings = settings_with(name="ends:sigmoid")
    trainer, shared = build_trainer(settings, 1), make_task(settings).start()
    trainer.local_update(shared, 1)
    trainer.local_update(shared, 2)
    assert len([note for note in trainer.notes if "ends in a sigmoid" in note]) == 1
    assert not [note for note in outcome("logits")[-1] if "ends in" in note]


def test_a_saturated_softmax_still_has_a_gradient():
    shared, update, _, _, _ = outcome("softmax", update="gradient")
    far = shared * np.float32(1e4)
    assert np.abs(outcome("softmax", start=far, update="gradient")[1]).max() > 0.1 * np.abs(update).max()


@pytest.fixture
def two_classes(monkeypatch):
    """The digits as even and odd."""
    dataset = load_dataset(settings_with())
    halves = dataset._replace(y_train=dataset.y_train % 2, y_test=dataset.y_test % 2)
    source = keras_task.dataset_source(settings_with())._replace(n_classes=2)
    monkeypatch.setattr(keras_task, "load_dataset", lambda settings: halves)
    monkeypatch.setattr(keras_task, "dataset_source", lambda settings: source)


@pytest.mark.parametrize("name", ["one_sigmoid", "one_sigmoid_call"])
def test_one_sigmoid_output_for_two_classes_is_binary_cross_entropy(two_classes, name):
    shared, update, loss, metrics, notes = outcome(name, update="gradient", batch_size=0, total_workers=1, l2=0.0)
    x = (load_dataset(settings_with()).x_train / 16.0).reshape(1437, 64)
    y = load_dataset(settings_with()).y_train % 2
    p = 1 / (1 + np.exp(-(x @ shared[:64] + shared[64])))
    assert loss == pytest.approx(-np.mean(np.log(np.where(y == 1, p, 1 - p))), rel=1e-4)
    np.testing.assert_allclose(update[:64], (p - y) @ x / len(y), atol=1e-5)
    assert metrics["accuracy"] > 0.4 and any("ends in a sigmoid" in note for note in notes)


def test_one_sigmoid_output_learns_two_classes(two_classes):
    _, _, _, metrics, _ = outcome("one_sigmoid", local_epochs=20, lr=0.5, total_workers=2)
    assert metrics["accuracy"] > 0.8


def test_one_output_without_a_sigmoid_is_refused_with_the_cure():
    with pytest.raises(DataError, match=r"shape \(batch, 2\), got \(2, 1\) .*one output behind a sigmoid"):
        build_custom_model(settings_with(name="ends:one_logit"), (8, 8, 1), 2)
    with pytest.raises(DataError, match=r"shape \(batch, 10\), got \(2, 1\) for a batch of 2$"):
        build_custom_model(settings_with(name="ends:one_sigmoid"), (8, 8, 1), 10)


@pytest.mark.parametrize("ending", ["softmax_reshape", "softmax_flatten", "sigmoid_flatten"])
def test_a_reshape_may_follow(ending):
    plain = {"softmax_reshape": "logits"}.get(ending, "conv_and_flatten")
    shared, update, loss, metrics, _ = outcome(plain, update="gradient")
    _, other_update, other_loss, other_metrics, notes = outcome(ending, start=shared, update="gradient")
    np.testing.assert_allclose(other_update, update, atol=1e-6)
    assert other_loss == pytest.approx(loss, rel=1e-5) and other_metrics == pytest.approx(metrics, rel=1e-5)
    assert any("the model ends in a s" in note for note in notes)


@pytest.mark.parametrize(
    "name, n_classes, words",
    [
        ("softmax_dropout", 10, "changes its probabilities in training: no operation, such as .* follow its softmax"),
        ("sigmoid_dropout", 10, "changes its probabilities in training: no operation, such as .* follow its sigmoid"),
        ("one_sigmoid_dropout", 2, "changes its probabilities in training: .* follow its sigmoid"),
        ("softmax_clip", 10, "ends:softmax_clip changes its probabilities: no operation, .* follow its softmax"),
        ("sigmoid_clip", 10, "ends:sigmoid_clip changes its probabilities: no operation, .* follow its sigmoid"),
        ("half_a_softmax", 10, "ends:half_a_softmax changes its probabilities"),
        ("fixed_size", 10, r"ends:fixed_size: the model does not run on batches of any size: .*tf.shape\(x\)\[0\]"),
    ],
)
def test_probabilities_that_are_changed_are_refused(name, n_classes, words):
    with pytest.raises(DataError, match=words) as caught:
        build_custom_model(settings_with(name="ends:" + name), (8, 8, 1), n_classes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, words",
    [
        ("logits", ""),
        ("zeros", ""),
        ("rectified", ""),
        ("softmax", ""),
        ("scores", ""),
        ("gated", ""),
        ("logits_dropout", ""),
        ("hard_sigmoid", "all outputs of the model lie in 0..1, and no softmax or sigmoid was found at its end"),
        ("inner_function", "all outputs of the model lie in 0..1, and no softmax or sigmoid was found at its end"),
        ("own_steps", "the model's own train_step is not used: FLQ minimizes the cross-entropy"),
        ("compiled", r"compile\(\) of the model \(loss mse\) is not used: FLQ minimizes the cross-entropy"),
        ("compiled_with_an_object", r"compile\(\) of the model \(loss [Hh]uber\w*\) is not used"),
    ],
)
def test_what_is_not_used_of_a_model_is_noted(name, words):
    task = make_task(settings_with(name="ends:" + name))
    start = task.start()
    notes = [note for note in task.notes if "the model" in note]
    assert len(notes) == bool(words) and all(re.search(words, note) for note in notes)
    assert np.array_equal(start, make_task(settings_with(name="ends:" + name)).start())  # looking changed no value


@pytest.mark.parametrize("name", ["softmax", "no_dense"])
def test_mixed_precision_takes_the_logits_too(monkeypatch, name):
    monkeypatch.setattr(keras_task, "set_up_tensorflow", lambda settings: Device(0, True, []))
    _, update, loss, _, notes = outcome(name, update="gradient")
    assert np.isfinite(update).all() and np.isfinite(loss)
    assert any("ends in a softmax" in note for note in notes)
