"""One task per process: one model and one trace serve all workers, with the same bits as for each alone."""

import numpy as np
import pytest
from factory import settings_with
from inside import n_traces

from flq.core import rng
from flq.training import keras_network, keras_task
from flq.training.frameworks import build_trainer, make_task
from flq.training.keras_setup import import_tensorflow, set_up_tensorflow
from flq.training.task import Trainer

OWN = """
import tensorflow as tf

class Count(tf.keras.layers.Layer):
    def build(self, shape):
        self.count = self.add_weight(name="count", shape=(), dtype="int32", initializer="zeros", trainable=False)

    def call(self, x, training=None):
        if training:
            self.count.assign(self.count + 1)
        return x * (1.0 + 0.01 * tf.cast(self.count, tf.float32))

def counting(input_shape, n_classes):
    layers = tf.keras.layers
    return tf.keras.Sequential([tf.keras.Input(input_shape), layers.Flatten(), Count(), layers.Dense(n_classes)])

def normed(input_shape, n_classes):
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [tf.keras.Input(input_shape), layers.Flatten(), layers.BatchNormalization(), layers.Dense(n_classes)])
"""


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    (tmp_path / "one_task_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def tensorflow():
    """TensorFlow, set up before any test uses it."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    return module


@pytest.mark.tf
@pytest.mark.parametrize(
    "changes, traces",
    [
        (dict(name="mlp"), 1),
        (dict(name="mlp", update="gradient"), 1),
        (dict(name="logreg", batch_size=0), 2),  # 20 workers have 71 or 72 samples each
        (dict(name="logreg", partition="non_iid", logit_adjustment=1.0, total_workers=4), 4),  # a prior of each worker
        (dict(name="one_task_models:normed", local_steps=2, total_workers=4), 1),
        (dict(name="one_task_models:counting", local_steps=2, total_workers=4), 1),
    ],
)
def test_many_workers_share_a_model_and_each_gets_the_bits_that_it_gets_alone(tensorflow, monkeypatch, changes, traces):
    built = []

    def build(*arguments):
        built.append(keras_network_build(*arguments))
        return built[-1]

    keras_network_build = keras_network.build_keras_model
    settings = settings_with(**dict(dict(total_workers=20), **changes))
    n_workers, few = settings.system.total_workers, (0, settings.system.total_workers - 1)
    alone = {worker_id: build_trainer(settings, worker_id) for worker_id in few}
    monkeypatch.setattr(keras_network, "build_keras_model", build)
    task = make_task(settings)
    trainers = [Trainer(task, worker_id) for worker_id in range(n_workers)]
    shared = rng.start_values(task.layout, 42)
    for round_index in (1, 2):
        updates = [trainer.local_update(shared, round_index) for trainer in trainers]
        for worker_id in few:
            expected = alone[worker_id].local_update(shared, round_index)
            assert np.array_equal(updates[worker_id].update, expected.update)
            assert updates[worker_id][1:] == expected[1:]
    assert len(built) == 1 and n_traces(trainers[0]) == traces


@pytest.mark.tf
def test_the_data_are_read_once_for_all_workers_and_let_go_in_training(tensorflow, monkeypatch):
    n_read, load = [], keras_task.load_dataset
    monkeypatch.setattr(keras_task, "load_dataset", lambda settings: n_read.append(1) or load(settings))
    task = make_task(settings_with(name="logreg"))
    trainers = [Trainer(task, worker_id) for worker_id in range(4)]
    assert len(n_read) == 1
    trainers[0].local_update(rng.start_values(task.layout, 42), 1)
    assert task._dealt is None


@pytest.mark.tf
def test_workers_whose_batch_was_halved_leave_the_others_theirs(tensorflow, monkeypatch):
    task = make_task(settings_with())
    first, second = Trainer(task, 0), Trainer(task, 1)
    shared = rng.start_values(task.layout, 1)
    expected = second.local_update(shared, 1)
    original, fails = task._train, [True]

    def train(share, *others):
        if fails and share is first.share:
            fails.pop()
            raise import_tensorflow().errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return original(share, *others)

    monkeypatch.setattr(task, "_train", train)
    assert first.local_update(shared, 1).n_steps == 2 * expected.n_steps
    assert np.array_equal(second.local_update(shared, 1).update, expected.update)


@pytest.mark.tf
def test_evaluation_between_two_rounds_changes_no_bit(tensorflow):
    task = make_task(settings_with(name="one_task_models:normed", local_steps=2))
    assert np.array_equal(task.start(), make_task(task.settings).start())
    trainer = Trainer(task, 1)
    first = trainer.local_update(task.start(), 1)
    assert sorted(task.evaluate(first.update)) == ["accuracy", "loss"]
    assert task.main_metric == ("accuracy", True)
    assert np.array_equal(trainer.local_update(task.start(), 1).update, first.update)


def test_a_worker_of_a_numpy_task_gets_the_bits_that_it_gets_alone():
    settings = settings_with(name="quadratic", local_steps=3)
    task = make_task(settings)
    shared = np.ones(1000, np.float32)
    for worker_id in range(4):
        expected = build_trainer(settings, worker_id).local_update(shared, 1)
        got = Trainer(task, worker_id).local_update(shared, 1)
        assert np.array_equal(got.update, expected.update) and got[1:] == expected[1:]
