"""The published data sets: their formats, and the order of the places for their files."""

import gzip
import os
import re
import struct

import numpy as np
import pytest
from factory import settings_with
from published_files import (
    CIFAR_NAMES,
    IDX_NAMES,
    cifar_archive,
    cifar_contents,
    idx_bytes,
    mnist_arrays,
    write_cifar,
    write_mnist,
)

from flq.errors import DataError
from flq.training.datasets import load_dataset
from flq.training.sources import cifar_files, idx_files, published
from flq.training.sources.published import PUBLISHED


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path, monkeypatch):
    """Point every other place to empty folders, and the mirrors to an unused port."""
    monkeypatch.delenv("FLQ_DATA_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    for name, line in PUBLISHED.items():
        monkeypatch.setitem(PUBLISHED, name, line._replace(mirrors=("http://127.0.0.1:1/",)))


def load(name, data_dir=None, **changes):
    settings = settings_with(data_dir=None if data_dir is None else str(data_dir), **changes, dataset=name)
    return load_dataset(settings)


def first_pixel(dataset):
    return int(dataset.x_train[0, 0, 0, 0])


@pytest.mark.parametrize("gzipped", [True, False])
def test_idx_files_are_read_as_they_are(tmp_path, gzipped):
    dataset = load("mnist", write_mnist(tmp_path / "x", gzipped))
    x_train, y_train, x_test, y_test = mnist_arrays()
    assert dataset.x_train.dtype == np.uint8 and dataset.y_train.dtype == np.int64
    assert np.array_equal(dataset.x_train, x_train[..., np.newaxis]) and np.array_equal(dataset.y_train, y_train)
    assert np.array_equal(dataset.x_test, x_test[..., np.newaxis]) and np.array_equal(dataset.y_test, y_test)
    assert (dataset.scale, dataset.n_classes, dataset.name, dataset.input_shape) == (255.0, 10, "mnist", (28, 28, 1))


@pytest.mark.parametrize(
    "name, folder",
    [
        ("mnist", "mnist"),
        ("fashion_mnist", "fashion-mnist"),
        ("fashion_mnist", "fashion_mnist"),
        ("fmnist", "fashion-mnist"),
    ],
)
def test_a_folder_of_that_name_comes_before_the_folder_itself(tmp_path, name, folder):
    write_mnist(tmp_path / "data", first=100)
    assert first_pixel(load(name, tmp_path / "data")) == 100
    write_mnist(tmp_path / "data" / folder, first=50)
    dataset = load(name, tmp_path / "data")
    assert first_pixel(dataset) == 50
    assert dataset.name == ("fashion_mnist" if name == "fmnist" else name)


def test_a_folder_named_like_another_data_set_is_not_taken_for_this_one(tmp_path):
    write_mnist(tmp_path / "mnist")
    with pytest.raises(DataError, match="fashion_mnist is not on this machine"):
        load("fashion_mnist", tmp_path / "mnist")


def test_places_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("FLQ_DATA_DIR", str(tmp_path / "env"))
    write_mnist(tmp_path / "caches" / "flq" / "mnist", first=10)
    assert first_pixel(load("mnist")) == 10
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(str(tmp_path / "keras" / "datasets" / "mnist.npz"), **dict(zip(names, mnist_arrays(first=20))))
    assert first_pixel(load("mnist")) == 20
    write_mnist(tmp_path / "env" / "mnist", first=30)
    assert first_pixel(load("mnist")) == 30
    write_mnist(tmp_path / "own", first=40)
    assert first_pixel(load("mnist", tmp_path / "own")) == 40
    (tmp_path / "empty").mkdir()
    assert first_pixel(load("mnist", tmp_path / "empty")) == 20  # FLQ_DATA_DIR only without data_dir


def test_fashion_mnist_in_keras_cache(tmp_path):
    write_mnist(tmp_path / "keras" / "datasets" / "fashion-mnist", first=60)
    assert first_pixel(load("fashion_mnist")) == 60


def test_idx_files_in_the_keras_cache_may_be_invalid(tmp_path):
    write_mnist(tmp_path / "keras" / "datasets")
    with pytest.raises(DataError, match="mnist is not on this machine"):
        load("mnist")


def test_keras_pickles_are_not_read(tmp_path):
    folder = tmp_path / "keras" / "datasets" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in CIFAR_NAMES:
        (folder / name[: -len(".bin")]).write_bytes(b"\x80\x04.")
    with pytest.raises(DataError, match="cifar10 is not on this machine"):
        load("cifar10")


@pytest.mark.parametrize("folder", [".", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_binary_cifar_files(tmp_path, folder):
    write_cifar(tmp_path / "data" / folder)
    check_cifar(load("cifar10", tmp_path / "data"))


@pytest.mark.parametrize("folder", [".", "cifar10"])
def test_cifar_archive_is_read_where_it_lies(tmp_path, folder):
    place = tmp_path / "data" / folder
    place.mkdir(parents=True)
    (place / "cifar-10-binary.tar.gz").write_bytes(cifar_archive())
    check_cifar(load("cifar10", tmp_path / "data"))
    assert os.listdir(str(place)) == ["cifar-10-binary.tar.gz"]


def check_cifar(dataset):
    assert dataset.x_train.shape == (10, 32, 32, 3) and dataset.x_test.shape == (2, 32, 32, 3)
    assert dataset.x_train.dtype == np.uint8 and dataset.scale == 255.0
    assert dataset.y_train.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5] and dataset.y_test.tolist() == [5, 6]
    assert dataset.x_train[:, 5, 7, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]  # red: the file
    assert dataset.x_train[:, 5, 7, 1].tolist() == [0, 1] * 5  # green: the place in it
    assert dataset.x_train[3, 1, 0].tolist() == [200, 1, 9] and dataset.x_train[3, 0, 1].tolist() == [1, 1, 9]


def test_missing_files_are_reported_with_the_places_for_them(tmp_path):
    with pytest.raises(DataError) as caught:
        load("mnist")
    sentence = str(caught.value)
    assert "mnist is not on this machine and cannot be downloaded" in sentence
    assert "Connection refused" in sentence and "\n" not in sentence
    assert all(name + ".gz" in sentence for name in IDX_NAMES)
    assert str(tmp_path / "caches" / "flq" / "mnist") in sentence and "dataset.data_dir" in sentence


def test_with_partition_local_only_own_files_count(tmp_path, monkeypatch):
    write_mnist(tmp_path / "caches" / "flq" / "mnist", first=10)
    with pytest.raises(DataError, match="partition local a worker needs its own files of mnist.*neither"):
        load("mnist", partition="local")
    with pytest.raises(DataError, match="there are none in %s" % re.escape(str(tmp_path / "typo"))):
        load("mnist", tmp_path / "typo", partition="local")
    monkeypatch.setenv("FLQ_DATA_DIR", str(write_mnist(tmp_path / "own", first=70)))
    assert first_pixel(load("mnist", partition="local")) == 70


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (lambda path: path.unlink(), "lacks train-images-idx3-ubyte, plain or with .gz"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "cannot be read"),
        (lambda path: path.write_bytes(b"not gzip"), "cannot be read"),
        (lambda path: path.write_bytes(gzip.compress(b"")), "is not an IDX file of unsigned bytes with 3 axes"),
        (
            lambda path: path.write_bytes(gzip.compress(idx_bytes(mnist_arrays()[1]) + b"12345678")),
            "is not an IDX file",
        ),
        (
            lambda path: path.write_bytes(gzip.compress(idx_bytes(mnist_arrays()[0])[:-1])),
            "should hold 15680 values, it holds 15679",
        ),
        (lambda path: path.write_bytes(gzip.compress(idx_bytes(mnist_arrays()[0]) + b"x")), "it holds more"),
        (lambda path: path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, 2**31, 2**31, 9))), "at most"),
        (lambda path: path.write_bytes(gzip.compress(idx_bytes(mnist_arrays()[0][:, :, :27]))), r"shape \[28, 27, 1\]"),
        (lambda path: path.write_bytes(gzip.compress(idx_bytes(mnist_arrays()[0][:19]))), "19 samples, but 20 labels"),
        (lambda path: path.write_bytes(gzip.compress(idx_bytes(mnist_arrays()[0][:0]))), "has no values"),
    ],
)
def test_damaged_idx_files_are_refused_by_name(tmp_path, damage, sentence):
    damage(write_mnist(tmp_path / "data") / "train-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match=sentence) as caught:
        load("mnist", tmp_path / "data")
    assert str(tmp_path / "data") in str(caught.value)


def test_labels_beyond_ten_classes_are_refused(tmp_path):
    folder = write_mnist(tmp_path / "data")
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.full(10, 10, np.uint8))))
    with pytest.raises(DataError, match="label 10, but dataset.n_classes is 10"):
        load("mnist", folder)


def test_a_damaged_npz_in_keras_cache_is_named(tmp_path):
    path = tmp_path / "keras" / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match="mnist.npz cannot be read as an .npz file"):
        load("mnist")


@pytest.mark.parametrize("content", [b"", b"\x01" * 3072, b"\x01" * 3074])
def test_cifar_files_must_be_whole_records(tmp_path, content):
    (write_cifar(tmp_path) / "data_batch_2.bin").write_bytes(content)
    with pytest.raises(
        DataError, match="data_batch_2.bin in .* should hold records of 3073 bytes, it has %d bytes" % len(content)
    ):
        load("cifar10", tmp_path)


def test_a_cifar_file_that_is_missing_is_named(tmp_path):
    (write_cifar(tmp_path) / "test_batch.bin").unlink()
    with pytest.raises(DataError, match="lacks test_batch.bin"):
        load("cifar10", tmp_path)


def test_damaged_cifar_archives_are_refused_by_name(tmp_path):
    path, whole = tmp_path / "cifar-10-binary.tar.gz", cifar_archive()
    contents = cifar_contents()
    del contents["data_batch_4.bin"]
    for content in (b"", b"not an archive", whole[: len(whole) // 2], cifar_archive(contents)):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cifar-10-binary.tar.gz (cannot be read|lacks data_batch_)"):
            load("cifar10", tmp_path)


def test_a_cifar_file_beyond_all_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar_files, "MAX_FILE_BYTES", 3073)
    with pytest.raises(DataError, match="is larger than the limit of 3073 bytes"):
        load("cifar10", write_cifar(tmp_path))


def test_the_table_is_whole():
    assert idx_files.FILES == tuple(zip(IDX_NAMES, (3, 1, 3, 1)))
    for line in PUBLISHED.values():
        assert all(re.match("[0-9a-f]{64}$", file.sha256) and file.n_bytes > 0 for file in line.files)
        assert all(mirror.startswith("http://127.0.0.1") for mirror in line.mirrors)  # the tests stay at home
    assert [file.name for file in PUBLISHED["mnist"].files] == [name + ".gz" for name in IDX_NAMES]


def test_mirrors_are_asked_over_tls():
    with open(published.__file__, encoding="utf-8") as file:
        addresses = re.findall(r'"(https?://[^"]+/)"', file.read())
    assert len(addresses) == 5 and all(address.startswith("https://") for address in addresses)
