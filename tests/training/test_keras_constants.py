"""Variables that training does not assign are constants of the layout; these need TensorFlow."""

import importlib
import sys

import numpy as np
import pytest
from factory import settings_with

from flq.core.codecs import QUANTIZERS
from flq.training import keras_task
from flq.training.frameworks import build_trainer, make_task
from flq.training.keras_setup import Device, set_up_tensorflow

pytestmark = pytest.mark.tf

MODELS = """
import tensorflow as tf
from tensorflow import keras

layers = keras.layers


class Lora(layers.Layer):
    def build(self, shape):
        n = int(shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=(n, 400), initializer="glorot_uniform", trainable=False)
        self.down = self.add_weight(name="down", shape=(n, 2), initializer="glorot_uniform")
        self.up = self.add_weight(name="up", shape=(2, 400), initializer="zeros")
        super().build(shape)

    def call(self, x):
        return tf.matmul(x, self.kernel) + tf.matmul(tf.matmul(x, self.down), self.up)


class Holder(layers.Layer):
    def build(self, shape):
        self.held = self.add_weight(name="held", shape=(17,), initializer="ones", trainable=False)
        super().build(shape)


class Table(Holder):
    def call(self, x):
        return tf.gather(self.held, tf.cast(x * 16.0, tf.int32))


class Unread(Holder):
    def call(self, x):
        return x


class Moves(Holder):
    def call(self, x, training=False):
        if training:
            self.held.assign(0.5 * self.held + tf.reduce_mean(x))
        return x


class Sometimes(Holder):
    def call(self, x, training=False):
        if training:
            more, same = lambda: self.held.assign_add(tf.ones(17)), lambda: self.held.assign(self.held)
            tf.cond(tf.reduce_mean(x) > 1e6, more, same)
        return x


class Within(Holder):
    @tf.function
    def move(self, x):
        self.held.assign_add(tf.ones(17) * tf.reduce_mean(x))
        return x

    def call(self, x, training=False):
        return self.move(x) if training else x


def stack(shape, n, *parts):
    return keras.Sequential([keras.Input(shape), layers.Flatten()] + list(parts) + [layers.Dense(n)])


def lora(shape, n): return stack(shape, n, Lora(), layers.BatchNormalization())
def table(shape, n): return stack(shape, n, Table())
def unread(shape, n): return stack(shape, n, Unread())
def moves(shape, n): return stack(shape, n, Moves())
def moves_sometimes(shape, n): return stack(shape, n, Sometimes())
def moves_within(shape, n): return stack(shape, n, Within())


def normalization(shape, n):
    layer = layers.Normalization()
    layer.adapt(tf.random.uniform((20,) + tuple(shape)))
    return keras.Sequential([keras.Input(shape), layer, layers.Flatten(), layers.Dense(n)])


def frozen(shape, n):
    layer = Lora()
    layer.trainable = False
    return stack(shape, n, layer)


def lora_of_keras(shape, n):
    model = stack(shape, n, layers.Dense(30, name="wide"))
    model.get_layer("wide").enable_lora(2)
    return model
"""


@pytest.fixture(autouse=True)
def tensorflow(tmp_path, monkeypatch):
    """TensorFlow, set up; the module with_constants can be imported."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    (tmp_path / "with_constants.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield module
    sys.modules.pop("with_constants", None)


def kinds(layout):
    """The names of constants and of statistics."""
    rows = layout.to_json()
    return tuple([row[0] for row in rows if row[2:] == [kind]] for kind in ("constant", "statistic"))


@pytest.mark.parametrize(
    "name, constants, statistics",
    [
        ("lora", ["lora_1/kernel"], ["batch_normalization_1/moving_mean", "batch_normalization_1/moving_variance"]),
        ("table", ["table_1/held"], []),
        ("unread", ["unread_1/held"], []),
        ("moves", [], ["moves_1/held"]),
        ("moves_sometimes", [], ["sometimes_1/held"]),
        ("moves_within", [], ["within_1/held"]),
        ("frozen", [], []),
    ],
)
def test_a_variable_is_a_constant_unless_training_may_assign_it(name, constants, statistics):
    layout = make_task(settings_with(name="with_constants:" + name)).layout
    assert kinds(layout) == (constants, statistics)


def test_the_numbers_of_a_normalization_layer_are_constants(tensorflow):
    if not hasattr(tensorflow.keras.layers, "Normalization"):
        pytest.skip("TensorFlow %s has no Normalization" % tensorflow.__version__)
    constants, statistics = kinds(make_task(settings_with(name="with_constants:normalization")).layout)
    assert not statistics and {tensor.split("/")[-1] for tensor in constants} <= {"mean", "variance"}


def test_the_kernel_under_keras_own_lora_is_a_constant(tensorflow):
    if not hasattr(tensorflow.keras.layers.Dense, "enable_lora"):
        pytest.skip("Keras %s has no LoRA" % tensorflow.keras.__version__)
    layout = make_task(settings_with(name="with_constants:lora_of_keras")).layout
    assert kinds(layout) == (["wide/kernel"], [])
    assert layout.n_trained == 64 * 2 + 2 * 30 + 30 + 30 * 10 + 10


@pytest.mark.parametrize("update", ["delta", "gradient"])
def test_training_leaves_constants_and_takes_the_masters(update):
    settings = settings_with(name="with_constants:lora", update=update)
    trainer, shared = build_trainer(settings, 1), make_task(settings).start()
    layout = trainer.layout
    first = trainer.local_update(shared, 1)
    assert not first.update[layout.constants].any()
    assert first.update[: layout.n_trained].any() and first.update[layout.statistics].all()
    other = shared.copy()
    other[layout.constants] *= np.float32(-1.0)
    assert trainer.local_update(other, 1).loss != first.loss
    again = trainer.local_update(shared, 1)
    assert again.loss == first.loss and np.array_equal(again.update, first.update)


def test_an_upload_has_no_bytes_for_constants():
    layout = make_task(settings_with(name="with_constants:lora")).layout
    assert layout.n_params - layout.n_trained == 64 * 400 + 2 * 400
    assert QUANTIZERS[4].payload_size(layout) < layout.n_trained // 2 + 4 * 800 + 50


def test_mixed_precision_has_the_same_layout(monkeypatch):
    layout = make_task(settings_with(name="with_constants:lora")).layout
    monkeypatch.setattr(keras_task, "set_up_tensorflow", lambda settings: Device(0, True, []))
    trainer = build_trainer(settings_with(name="with_constants:lora"), 1)
    assert trainer.layout == layout


def test_finding_constants_changes_no_value():
    settings = settings_with(name="with_constants:lora")
    statistics = make_task(settings).start()[make_task(settings).layout.statistics]
    assert statistics.tolist() == [0.0] * 400 + [1.0] * 400
