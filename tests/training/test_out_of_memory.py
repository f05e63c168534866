"""A device with too little memory halves the batch once, and then skips."""

import numpy as np
import pytest
from factory import settings_with

from flq.core import rng
from flq.errors import OutOfMemory
from flq.training import keras_network
from flq.training.frameworks import build_trainer
from flq.training.keras_setup import import_tensorflow

pytestmark = pytest.mark.tf
pytest.importorskip("tensorflow")


@pytest.fixture
def small_device(monkeypatch):
    """Return a function that makes training fail like TensorFlow, beyond a batch size."""
    original = keras_network.round_function

    def hold(largest):
        def round_function(gradient, images, batch_size, *others):
            if batch_size <= largest:
                return original(gradient, images, batch_size, *others)

            def train(images, labels, scale, batches, lr):
                raise import_tensorflow().errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

            return train

        monkeypatch.setattr(keras_network, "round_function", round_function)

    return hold


def test_the_batch_is_halved_once_and_the_round_is_that_of_the_smaller_batch(small_device):
    small_device(16)
    trainer = build_trainer(settings_with(), 1)
    del trainer.notes[:]
    shared = rng.start_values(trainer.layout, 1)
    outcome = trainer.local_update(shared, 3)
    assert trainer.notes == [
        "the device has too little memory for a batch of 32: from round 3 on this worker trains with batches of 16"
    ]
    expected = build_trainer(settings_with(batch_size=16), 1).local_update(shared, 3)
    assert np.array_equal(outcome.update, expected.update) and outcome[1:] == expected[1:]
    trainer.local_update(shared, 4)
    assert len(trainer.notes) == 1


def test_the_second_time_it_is_unable_and_the_next_round_is_tried_again(small_device, monkeypatch):
    small_device(8)
    trainer = build_trainer(settings_with(), 1)
    shared = rng.start_values(trainer.layout, 1)
    for round_index in 1, 2:
        with pytest.raises(OutOfMemory, match="too little memory for a batch of 16") as caught:
            trainer.local_update(shared, round_index)
        assert "dataset.batch_size" in caught.value.hint
    assert sum("batches of 16" in note for note in trainer.notes) == 1


def test_a_batch_of_one_cannot_be_halved(small_device):
    small_device(0)
    with pytest.raises(OutOfMemory, match="a batch of 1"):
        trainer = build_trainer(settings_with(batch_size=1, local_steps=2), 1)
        trainer.local_update(rng.start_values(trainer.layout, 1), 1)


def test_other_failures_are_not_taken_for_it(monkeypatch):
    def broken(images, labels, scale, batches, lr):
        raise import_tensorflow().errors.InternalError(None, None, "Blas GEMM launch failed")

    trainer = build_trainer(settings_with(), 1)
    monkeypatch.setattr(keras_network, "round_function", lambda *arguments: broken)
    with pytest.raises(import_tensorflow().errors.InternalError):
        trainer.local_update(rng.start_values(trainer.layout, 1), 1)


def test_samples_are_counted_as_often_as_they_are_used():
    trainer = build_trainer(settings_with(local_epochs=2), 1)
    assert trainer.local_update(rng.start_values(trainer.layout, 1), 1).n_trained == 2 * 11 * 32
