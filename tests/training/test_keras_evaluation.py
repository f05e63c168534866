"""The evaluator with Keras: pixels, files, and runs whose data are on the workers."""

import os

import numpy as np
import pytest
from factory import settings_with

from flq.core import rng
from flq.core.layout import unflatten
from flq.errors import DataError
from flq.training import keras_task
from flq.training.datasets import load_dataset
from flq.training.frameworks import make_task
from flq.training.keras_export import save_model
from flq.training.keras_setup import set_up_tensorflow
from flq.training.keras_task import KerasTask
from flq.training.keras_weights import vector_of

# What Keras warns of when it saves a model of its own layers.
IGNORE_NUMPY_2 = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
IGNORE_RELU_MASK = pytest.mark.filterwarnings("ignore:Custom mask layers require")  # Keras 2.6


@pytest.fixture
def tensorflow():
    """TensorFlow, set up before any test uses it."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    return module


@pytest.fixture
def digits(monkeypatch):
    """Return a function that gives the evaluator the digits in another storage."""

    def put(x_test, scale):
        dataset = load_dataset(settings_with())._replace(x_test=x_test, scale=scale)
        monkeypatch.setattr(keras_task, "load_dataset", lambda settings: dataset)

    return put


class Model:
    """Replaces a Keras model, so that files can be tested without TensorFlow."""

    def save(self, path):
        with open(path, "wb") as stream:
            stream.write(b"model")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_saved_keras_file_is_on_the_disk_before_it_gets_its_name(monkeypatch, tmp_path, name):
    steps = []
    real_replace, path = os.replace, str(tmp_path / name)
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append(("fsync", os.fstat(descriptor).st_size)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append(("replace", paths[1])), real_replace(*paths)))
    save_model(Model(), path)
    assert steps == [("fsync", 5), ("replace", path)]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["model", "model.npz", "model.h5.zip", "keras"])
def test_other_endings_than_keras_files_have_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="must end in .keras or .h5, got '%s'" % name):
        save_model(Model(), str(tmp_path / name))
    assert not list(tmp_path.iterdir())


@pytest.mark.tf
@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("name", ["mlp", "resnet20"])
@IGNORE_NUMPY_2
@IGNORE_RELU_MASK
def test_a_saved_file_loads_without_flq_and_has_the_vectors_weights(tensorflow, tmp_path, name, ending):
    evaluator = KerasTask(settings_with(name=name))
    vector = rng.start_values(evaluator.layout, 3)
    path = str(tmp_path / ("model" + ending))
    evaluator.export(vector, path)
    loaded = tensorflow.keras.models.load_model(path, compile=False)
    assert np.array_equal(vector_of(loaded, evaluator.layout), vector)
    images = rng.uniform(64, rng.stream(1, rng.START)).reshape(1, 8, 8, 1)
    assert np.array_equal(loaded(images, training=False), evaluator._network(False).model(images, training=False))


@pytest.mark.tf
def test_stored_bytes_are_divided_by_white(tensorflow, digits):
    settings = settings_with()
    dataset = load_dataset(settings)
    pixels = dataset.x_test.astype(np.float32) / np.float32(dataset.scale)
    vector = rng.start_values(make_task(settings).layout, 3)
    results = []
    for x_test, scale in ((np.round(pixels * 16).astype(np.uint8), 16.0), (pixels, 1.0), (pixels * 4, 4.0)):
        digits(x_test, scale)
        results.append(KerasTask(settings).evaluate(vector))
    assert results[0] == results[1] == results[2]

    w1, b1, w2, b2 = [array.astype(np.float64) for array in unflatten(vector, make_task(settings).layout)]
    logits = np.maximum(pixels.reshape(len(pixels), -1) @ w1 + b1, 0) @ w2 + b2
    logits -= logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), dataset.y_test]
    assert results[0]["loss"] == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.tf
def test_images_stay_as_they_are_stored(tensorflow):
    evaluator = KerasTask(settings_with())
    assert evaluator.open(None).held_x.dtype == np.uint8


@pytest.mark.tf
@IGNORE_NUMPY_2
def test_without_a_test_set_results_are_empty_and_the_model_can_be_saved(tensorflow, tmp_path, monkeypatch):
    def no_data(settings):
        raise AssertionError("the data are on the workers")

    monkeypatch.setattr(keras_task, "load_dataset", no_data)
    settings = settings_with(partition="local", input_shape=[8, 8, 1], n_classes=10)
    evaluator = KerasTask(settings)
    assert evaluator.layout == make_task(settings).layout
    vector = rng.start_values(evaluator.layout, 3)
    assert evaluator.evaluate(vector) == {}
    evaluator.export(vector, str(tmp_path / "model.h5"))
    assert (tmp_path / "model.h5").stat().st_size > 4 * evaluator.layout.n_params
