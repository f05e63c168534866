"""The table of data sets: digits, resolved names, and rejected names."""

import os
import zlib

import numpy as np
import pytest
from factory import settings_with

import flq.training
from flq.errors import DataError
from flq.training.datasets import DATASETS, FILES, dataset_names, dataset_source, load_dataset, resolve_dataset
from flq.training.sources.published import PUBLISHED

without_files = pytest.mark.parametrize("name", sorted(set(DATASETS) - set(PUBLISHED)))


def named(name, **changes):
    settings = settings_with(**changes, dataset=name)
    return settings


# -- every data set that needs no files --------------------------------------------------------


@without_files
def test_a_data_set_matches_its_row(name):
    dataset = load_dataset(named(name))
    assert dataset.name == name
    assert (dataset.input_shape, dataset.n_classes) == DATASETS[name][:2]
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert x.dtype in (np.uint8, np.float32) and y.dtype == np.int64
        assert x.shape == (len(y), *dataset.input_shape)
        assert set(y) == set(range(dataset.n_classes))
        seen = x.astype(np.float32) / np.float32(dataset.scale)
        assert np.isfinite(seen).all() and np.abs(seen).max() < 10  # what a model sees is about 1


@without_files
def test_a_data_set_has_the_same_bits_whenever_it_is_loaded(name):
    first = load_dataset(named(name))
    np.random.random_sample()  # moves the global generator
    for before, after in zip(first[:4], load_dataset(named(name))[:4]):
        assert before.tobytes() == after.tobytes()


@without_files
def test_a_shared_data_set_is_not_local(name):
    with pytest.raises(DataError, match="needs its own files, but %s is the same at every worker .name files" % name):
        load_dataset(named(name, partition="local"))


# -- the digits --------------------------------------------------------------------------------


def test_digits_match_their_row():
    dataset = load_dataset(settings_with())
    assert dataset.name == "digits"
    assert dataset.input_shape == DATASETS["digits"].input_shape == dataset.x_test.shape[1:] == (8, 8, 1)
    assert dataset.n_classes == DATASETS["digits"].n_classes
    for images, labels in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert images.dtype == np.uint8 and labels.dtype == np.int64
        assert (images.min(), images.max()) == (0, dataset.scale) == (0, 16)
        assert len(images) == len(labels)
        assert set(labels) == set(range(dataset.n_classes))


def test_digits_are_1437_and_360_in_equal_proportions():
    dataset = load_dataset(settings_with())
    assert (len(dataset.x_train), len(dataset.x_test)) == (1437, 360)
    assert np.bincount(dataset.y_train).tolist() == [142, 146, 142, 146, 145, 145, 145, 143, 139, 144]
    assert np.bincount(dataset.y_test).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


def test_the_digits_as_model_input_are_the_same_under_every_numpy():
    dataset = load_dataset(settings_with())
    seen = dataset.x_train.astype(np.float32) / np.float32(dataset.scale)
    assert zlib.crc32(seen.tobytes()) == 3118117051
    assert zlib.crc32(dataset.y_train.tobytes()) == 4166936904


def test_no_test_image_is_a_training_image():
    dataset = load_dataset(settings_with())
    train = {image.tobytes() for image in dataset.x_train}
    assert not [image for image in dataset.x_test if image.tobytes() in train]


def test_digits_are_not_local():
    with pytest.raises(
        DataError,
        match="partition local each worker needs its own files, but digits is the same at every worker .name files",
    ):
        load_dataset(settings_with(partition="local"))


def test_digits_come_with_their_licence():
    folder = os.path.join(os.path.dirname(flq.training.__file__), "data")
    with open(os.path.join(folder, "LICENSE-digits.md"), encoding="utf-8") as file:
        text = file.read()
    assert "CC BY 4.0" in text and "10.24432/C50P49" in text and "Alpaydin" in text


@pytest.mark.parametrize("name", ["digit", "npz", "npz:", "zip:a.zip", ":", "C:images", ""])
@pytest.mark.parametrize("use", [load_dataset, dataset_source, resolve_dataset])
def test_unknown_data_set_is_refused_by_name(name, use):
    names = dataset_names()
    assert {"digits", "mnist", "fashion_mnist", "fmnist", "cifar10", "npz:FILE", "images:FOLDER", "csv:FILE"} <= set(
        names
    )
    with pytest.raises(DataError, match="^dataset.name must be one of %s, own, got '%s'" % (", ".join(names), name)):
        use(named(name))


@pytest.mark.parametrize(
    "name, full_name, shape, n_classes",
    [
        ("digits", "digits", [8, 8, 1], 10),
        ("mnist", "mnist", [28, 28, 1], 10),
        ("fmnist", "fashion_mnist", [28, 28, 1], 10),
        ("fashion_mnist", "fashion_mnist", [28, 28, 1], 10),
        ("cifar10", "cifar10", [32, 32, 3], 10),
    ],
)
def test_named_data_sets_are_resolved_without_their_files(tmp_path, name, full_name, shape, n_classes):
    settings = named(name, data_dir=str(tmp_path))
    resolved = resolve_dataset(settings)
    assert resolved == settings_with(settings, dataset=full_name, input_shape=shape, n_classes=n_classes)
    assert resolve_dataset(resolved) == resolved
    assert dataset_source(settings)[:2] == dataset_source(resolved)[:2] == (tuple(shape), n_classes)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"input_shape": [8, 8, 3]}, r"dataset.input_shape is \[8, 8, 3\], but digits has \[8, 8, 1\]"),
        ({"n_classes": 12}, "dataset.n_classes is 12, but digits has 10"),
    ],
)
def test_keys_that_contradict_a_named_data_set_are_refused(changes, sentence):
    with pytest.raises(DataError, match=sentence):
        resolve_dataset(settings_with(**changes))


def test_keys_that_agree_are_no_contradiction():
    settings = settings_with(input_shape=[8, 8, 1], n_classes=10)
    assert resolve_dataset(settings) == settings


@pytest.mark.parametrize("kind", sorted(FILES))
def test_resolved_settings_of_a_file_are_used_without_it(kind):
    settings = named(kind + ":nowhere", input_shape=[5, 4, 3], n_classes=7)
    assert resolve_dataset(settings) == settings
    assert dataset_source(settings)[:2] == ((5, 4, 3), 7)


@pytest.mark.parametrize("kind", sorted(FILES))
@pytest.mark.parametrize("use", [load_dataset, dataset_source, resolve_dataset])
def test_a_file_that_is_not_there_is_named_in_full(tmp_path, kind, use):
    settings = named(kind + ":sub/nothing", data_dir=str(tmp_path))
    with pytest.raises(
        DataError,
        match="there is no %s .a relative path is relative to dataset.data_dir"
        % os.path.join(str(tmp_path), "sub", "nothing"),
    ):
        use(settings)


@pytest.mark.parametrize("kind", sorted(FILES))
def test_with_partition_local_a_master_without_the_files_needs_the_keys(kind):
    settings = named(kind + ":nothing", partition="local", n_classes=3)
    with pytest.raises(
        DataError,
        match="partition local, dataset.input_shape and n_classes must be given if the master has no such file: ",
    ):
        resolve_dataset(settings)
    settings = settings_with(settings, input_shape=[4, 1, 1])
    assert resolve_dataset(settings) == settings


@pytest.mark.parametrize("kind, content", [("csv", b"a"), ("npz", b"b")])
def test_with_partition_local_an_invalid_file_is_rejected_for_its_content(tmp_path, kind, content):
    (tmp_path / "bad").write_bytes(content)
    settings = named(kind + ":" + str(tmp_path / "bad"), partition="local")
    with pytest.raises(DataError) as caught:
        resolve_dataset(settings)
    assert "bad" in str(caught.value) and "the master has no such file" not in str(caught.value)


def test_files_do_not_count_from_the_environments_folder(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("1,0\n2,1\n")
    monkeypatch.setenv("FLQ_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match="there is no "):
        load_dataset(named("csv:a.csv"))


def test_relative_files_count_from_the_data_folder_or_the_current_one(tmp_path, monkeypatch):
    for folder, n_features in (("own", 2), ("here", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("".join("%s%d\n" % ("1," * n_features, i % 2) for i in range(4)))
    monkeypatch.chdir(str(tmp_path / "here"))
    assert dataset_source(named("csv:a.csv")).input_shape == (3, 1, 1)
    assert dataset_source(named("csv:a.csv", data_dir=str(tmp_path / "own"))).input_shape == (2, 1, 1)
    absolute = "csv:" + str(tmp_path / "here" / "a.csv")
    assert dataset_source(named(absolute, data_dir=str(tmp_path / "own"))).input_shape == (3, 1, 1)
