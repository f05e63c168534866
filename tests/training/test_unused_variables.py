"""Trained variables on which the loss does not depend: their gradient is zero, and a note names them."""

import importlib
import sys

import numpy as np
import pytest
from factory import settings_with

from flq.core.layout import unflatten
from flq.training import keras_task
from flq.training.frameworks import build_trainer, make_task
from flq.training.keras_setup import Device

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer:UserWarning")]

MODELS = """
import tensorflow as tf
from tensorflow import keras

layers = keras.layers


class Base(keras.Model):
    def __init__(self, n_classes):
        super().__init__()
        self.flatten, self.head = layers.Flatten(), layers.Dense(n_classes, name="head")


class Spare(Base):  # a layer that nothing uses
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.spare = layers.Dense(5, name="spare")
        self.spare.build((None, 3))

    def call(self, x):
        return self.head(self.flatten(x))


class Stopped(Base):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.eyes = layers.Dense(7, name="eyes")

    def call(self, x):
        return self.head(tf.stop_gradient(self.eyes(self.flatten(x))))


class InInference(Base):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.late = layers.Dense(n_classes, name="late")

    def call(self, x, training=False):
        x = self.head(self.flatten(x))
        return x if training else self.late(x)


class InTraining(Base):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.early = layers.Dense(n_classes, name="early")

    def call(self, x, training=False):
        x = self.flatten(x)
        return self.head(x) + self.early(x) if training else self.head(x)


class Words(Base):  # sparse gradients, and a table that nothing reads
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.table, self.other = layers.Embedding(17, 3, name="table"), layers.Embedding(17, 3, name="other")
        self.other.build((None, 4))

    def call(self, x):
        rows = self.table(tf.cast(self.flatten(x) * 16.0, tf.int32))
        return self.head(self.flatten(rows))


class Rounded(Base):  # an integer is no function of the variable that has a gradient
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.eyes = layers.Dense(7, name="eyes")

    def call(self, x):
        return self.head(tf.cast(tf.cast(self.eyes(self.flatten(x)), tf.int32), tf.float32))


def spare(shape, n): return Spare(n)
def stopped(shape, n): return Stopped(n)
def in_inference(shape, n): return InInference(n)
def in_training(shape, n): return InTraining(n)
def words(shape, n): return Words(n)
def rounded(shape, n): return Rounded(n)
"""

UNUSED = {
    "spare": {"spare/kernel", "spare/bias"},
    "stopped": {"eyes/kernel", "eyes/bias"},
    "in_inference": {"late/kernel", "late/bias"},
    "words": {"other/embeddings"},
    "rounded": {"eyes/kernel", "eyes/bias"},
}

WAYS = [
    dict(),
    dict(update="gradient"),
    dict(local_optimizer="momentum", mu=0.1),
    dict(local_optimizer="adam", lr=0.003),
]


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """The module unused_models, which can be imported."""
    pytest.importorskip("tensorflow")
    (tmp_path / "unused_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("unused_models", None)


def trained(name, **changes):
    """The trainer of a model, its start, and the outcomes of two rounds."""
    settings = settings_with(name="unused_models:" + name, local_steps=0 if changes else 3, **changes)
    trainer = build_trainer(settings, 1)
    shared = make_task(settings).start()
    first = trainer.local_update(shared, 1)
    return trainer, shared, first, trainer.local_update(shared - first.update, 2)


def named(trainer, vector):
    return dict(zip([tensor.name for tensor in trainer.layout.tensors], unflatten(vector, trainer.layout)))


@pytest.mark.parametrize("changes", WAYS)
@pytest.mark.parametrize("name", sorted(UNUSED))
def test_an_unused_variable_has_gradient_zero_and_everything_else_moves(name, changes):
    trainer, _, first, second = trained(name, **changes)
    moved = named(trainer, first.update)
    assert {tensor for tensor, values in moved.items() if not values.any()} == UNUSED[name]
    assert np.isfinite(first.update).all() and np.isfinite(second.loss)


def test_the_rest_of_the_model_learns():
    _, _, first, second = trained("spare", local_epochs=3)
    assert second.loss < 0.8 * first.loss


@pytest.mark.parametrize("name", sorted(UNUSED))
def test_a_note_names_it_once(name):
    trainer, shared, _, _ = trained(name)
    notes = [note for note in trainer.notes if "depend" in note]
    assert len(notes) == 1
    assert notes[0].startswith("the loss does not depend on ") and notes[0].endswith(": it does not change")
    assert set(notes[0][28:].rsplit(":", 1)[0].split(", ")) == UNUSED[name]
    del trainer.notes[:]
    trainer.local_update(shared, 3)
    assert not trainer.notes


def test_a_model_without_them_has_no_such_note():
    for settings in (settings_with(), settings_with(name="unused_models:in_training")):
        trainer = build_trainer(settings, 0)
        trainer.local_update(make_task(settings).start(), 1)
        assert not [note for note in trainer.notes if "depend" in note]


def test_weight_decay_shrinks_it_and_is_named():
    trainer, shared, first, _ = trained("spare", l2=0.5, lr=0.1, batch_size=0)
    before, moved = named(trainer, shared)["spare/kernel"], named(trainer, first.update)["spare/kernel"]
    np.testing.assert_allclose(moved, 0.05 * before, rtol=1e-4)
    assert [note for note in trainer.notes if note.endswith("only weight decay (model.l2) changes its values")]


def test_a_layer_that_is_used_in_training_only_is_part_of_the_model():
    trainer, _, first, second = trained("in_training")
    assert {tensor.name for tensor in trainer.layout.tensors} == {
        "head/kernel",
        "head/bias",
        "early/kernel",
        "early/bias",
    }
    assert all(values.any() for values in named(trainer, first.update).values()) and second.loss < first.loss


def test_trying_out_a_model_leaves_its_values():
    settings = settings_with(name="unused_models:in_training")
    assert np.array_equal(make_task(settings).start(), make_task(settings).start())


def test_mixed_precision_has_zeros_too(monkeypatch):
    monkeypatch.setattr(keras_task, "set_up_tensorflow", lambda settings: Device(0, True, []))
    trainer, _, first, second = trained("stopped")
    assert not named(trainer, first.update)["eyes/kernel"].any() and second.loss < first.loss
