"""The data sets: shapes, ranges, and that the table tells the truth."""

import os
import zlib

import numpy as np
import pytest

import flq.training
from flq.errors import DataError
from flq.training.datasets import DATASETS, load_dataset


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_is_as_its_table_line_says(name):
    dataset = DATASETS[name].load(None)
    assert dataset.name == name
    assert dataset.input_shape == DATASETS[name].input_shape == dataset.x_test.shape[1:]
    assert dataset.n_classes == DATASETS[name].n_classes
    for images, labels in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert images.dtype == np.float32 and labels.dtype == np.int64
        assert (images.min(), images.max()) == (0.0, 1.0)
        assert len(images) == len(labels)
        assert set(labels) == set(range(dataset.n_classes))


def test_digits_are_1437_and_360_in_equal_proportions(make_settings):
    dataset = load_dataset(make_settings())
    assert (len(dataset.x_train), len(dataset.x_test)) == (1437, 360)
    assert np.bincount(dataset.y_train).tolist() == [142, 146, 142, 146, 145, 145, 145, 143, 139, 144]
    assert np.bincount(dataset.y_test).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


def test_digits_are_the_same_bytes_under_every_numpy(make_settings):
    dataset = load_dataset(make_settings())
    assert zlib.crc32(dataset.x_train.tobytes()) == 3118117051
    assert zlib.crc32(dataset.y_train.tobytes()) == 4166936904


def test_no_test_image_is_a_training_image(make_settings):
    dataset = load_dataset(make_settings())
    train = {image.tobytes() for image in dataset.x_train}
    assert not [image for image in dataset.x_test if image.tobytes() in train]


def test_digits_come_with_their_licence():
    folder = os.path.join(os.path.dirname(flq.training.__file__), "data")
    with open(os.path.join(folder, "LICENSE-digits.md"), encoding="utf-8") as file:
        text = file.read()
    assert "CC BY 4.0" in text and "10.24432/C50P49" in text and "Alpaydin" in text


def test_unknown_data_set_is_refused_by_name(make_settings):
    settings = make_settings()
    settings["dataset"]["name"] = "digit"
    with pytest.raises(DataError, match="dataset.name must be one of digits, got 'digit'"):
        load_dataset(settings)
