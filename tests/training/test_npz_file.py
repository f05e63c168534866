"""npz:FILE: kinds of arrays, the held-out part, and rejections in one sentence."""

import io
import struct
import zipfile

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training.datasets import dataset_source, load_dataset, resolve_dataset
from flq.training.sources.dataset import held_back


@pytest.fixture
def settings_for(tmp_path):
    """Return a function that writes arrays to a file and returns settings that name it."""

    def settings(changes=(), **arrays):
        np.savez_compressed(str(tmp_path / "own.npz"), **arrays)
        return settings_with(settings_with(**dict(changes)), dataset="npz:" + str(tmp_path / "own.npz"))

    return settings


def images(n=10, shape=(6, 5), dtype=np.uint8):
    return np.arange(n * int(np.prod(shape))).reshape((n,) + shape).astype(dtype)


LABELS = np.arange(10) % 3


def test_uint8_images_stay_uint8(settings_for):
    settings = settings_for(x_train=images(), y_train=LABELS, x_test=images(4), y_test=LABELS[:4])
    dataset = load_dataset(settings)
    assert dataset.x_train.dtype == np.uint8 and dataset.scale == 255.0 and dataset.y_train.dtype == np.int64
    assert np.array_equal(dataset.x_train[..., 0], images()) and np.array_equal(dataset.x_test[..., 0], images(4))
    assert (dataset.input_shape, dataset.n_classes) == ((6, 5, 1), 3)
    assert dataset.name == settings.dataset.name


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.int64, np.bool_])
def test_other_numbers_become_float32_as_they_are(settings_for, dtype):
    x = images(shape=(3, 2, 4), dtype=dtype)
    dataset = load_dataset(settings_for(x_train=x, y_train=LABELS, x_test=x, y_test=LABELS))
    assert dataset.x_train.dtype == np.float32 and dataset.scale == (1.0 if dtype is np.bool_ else 255.0)
    assert np.array_equal(dataset.x_train, x.astype(np.float32)) and dataset.input_shape == (3, 2, 4)


@pytest.mark.parametrize(
    "shape, input_shape, expected",
    [((12,), None, (12, 1, 1)), ((12,), [2, 3, 2], (2, 3, 2)), ((6, 5), None, (6, 5, 1)), ((6, 5, 3), None, (6, 5, 3))],
)
def test_looking_and_loading_find_the_same(settings_for, shape, input_shape, expected):
    settings = settings_for({"input_shape": input_shape}, x_train=images(shape=shape), y_train=LABELS)
    resolved = resolve_dataset(settings)
    assert (resolved.dataset.input_shape, resolved.dataset.n_classes) == (expected, 3)
    for given in (settings, resolved):
        dataset = load_dataset(given)
        assert (dataset.input_shape, dataset.n_classes) == dataset_source(given)[:2] == (expected, 3)


def test_classes_are_counted_over_training_and_test(settings_for):
    settings = settings_for(x_train=images(), y_train=LABELS, x_test=images(1), y_test=np.array([[7]]))
    assert dataset_source(settings).n_classes == load_dataset(settings).n_classes == 8


@pytest.mark.parametrize("dtype, scale", [(np.float32, None), (np.uint8, 255.0)])
def test_looking_reads_no_samples_that_do_not_decide_the_scale(settings_for, monkeypatch, dtype, scale):
    settings = settings_for({"scale": scale}, x_train=images(shape=(30,), dtype=dtype), y_train=LABELS)
    wanted = []
    read = np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda self, key: (wanted.append(key), read(self, key))[1])
    resolve_dataset(settings)
    assert wanted == ["y_train"]


def test_without_a_test_set_a_part_is_held_back_by_the_seed(settings_for):
    dataset = load_dataset(settings_for({"test_fraction": 0.3}, x_train=np.arange(10.0)[:, None], y_train=LABELS))
    train, test = dataset.x_train.ravel(), dataset.x_test.ravel()
    assert (len(train), len(test)) == (7, 3)
    assert sorted(train.tolist() + test.tolist()) == list(range(10))
    assert np.array_equal(dataset.y_train, train % 3) and np.array_equal(dataset.y_test, test % 3)


def test_held_out_samples_depend_on_the_seed_only():
    parts = [held_back(100, 0.2, seed, "x")[1].tolist() for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2] and len(parts[0]) == 20


@pytest.mark.parametrize("n, fraction, n_test", [(2, 0.01, 1), (2, 0.999, 1), (10, 0.05, 1), (10, 0.99, 9)])
def test_both_parts_have_a_sample(n, fraction, n_test):
    train, test = held_back(n, fraction, 42, "x")
    assert (len(train), len(test)) == (n - n_test, n_test)


X, Y = images(), LABELS


@pytest.mark.parametrize(
    "arrays, sentence",
    [
        ({"x_train": X}, "has no array y_train; it has x_train"),
        (
            {"images": X, "labels": Y},
            r"has no array x_train and y_train; it has images \(10, 6, 5\) uint8, labels \(10,\) int64 .save them",
        ),
        ({"x_train": X, "y_train": Y, "x_test": X}, "has only one of x_test and y_test"),
        ({"x_train": X, "y_train": Y[:9]}, "has 10 samples, but 9 labels"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:9]}, "has 10 test samples, but 9 labels"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :5], "y_test": Y}, r"test samples are uint8 of shape \[5, 5, 1\]"),
        (
            {"x_train": X, "y_train": Y, "x_test": X / 255.0, "y_test": Y},
            "test samples are float32 .* training .* uint8",
        ),
        ({"x_train": X[0, 0], "y_train": Y}, "must have shape"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "x_train in .* has no values"),
        ({"x_train": X[:1], "y_train": Y[:1]}, "has one sample only"),
        ({"x_train": X.astype(complex), "y_train": Y}, "must be numbers, got dtype complex128"),
        ({"x_train": X.astype("U3"), "y_train": Y}, "must be numbers"),
        (
            {"x_train": np.where(X == 65, np.nan, X), "y_train": Y},
            "must be finite numbers within float32, sample 2 is not",
        ),
        ({"x_train": np.where(X == 65, 1e39, X), "y_train": Y}, "sample 2 is not"),
        ({"x_train": X, "y_train": Y / 2}, "y_train in .* must be whole numbers"),
        ({"x_train": X, "y_train": np.where(Y == 1, np.nan, Y)}, "must be whole numbers"),
        ({"x_train": X, "y_train": np.where(Y == 1, np.inf, Y)}, "must be classes in 0..999999, got 0.0..inf"),
        ({"x_train": X, "y_train": np.eye(3)[Y]}, r"must be whole numbers of shape \(n,\), got .* of shape \(10, 3\)"),
        ({"x_train": X, "y_train": Y - 1}, "must be classes in 0..999999, got -1..1"),
        ({"x_train": X, "y_train": Y + 10**6}, "must be classes in 0..999999"),
        ({"x_train": X, "y_train": Y * 0}, "has one class only"),
        ({"x_train": X, "y_train": Y * 0 + 3}, "has one class only"),
        ({"x_train": X, "y_train": np.array([{}] * 10)}, "cannot be read as an .npz file: Object arrays"),
    ],
)
def test_invalid_arrays_are_rejected(settings_for, arrays, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        load_dataset(settings_for(**arrays))
    assert "own.npz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"input_shape": [5, 6, 1]}, r"samples of shape \[6, 5, 1\], but dataset.input_shape is \[5, 6, 1\]"),
        ({"n_classes": 2}, "has a label 2, but dataset.n_classes is 2"),
    ],
)
@pytest.mark.parametrize("name", ["iid", "local"])
def test_a_file_that_does_not_agree_with_the_keys(settings_for, changes, sentence, name):
    with pytest.raises(DataError, match=sentence):
        load_dataset(settings_for(dict(changes, partition=name), x_train=X, y_train=Y))


def test_a_worker_need_not_have_all_classes(settings_for):
    settings = settings_for({"n_classes": 30, "input_shape": [6, 5, 1], "partition": "local"}, x_train=X, y_train=Y * 0)
    assert load_dataset(settings).n_classes == 30


@pytest.mark.parametrize("content", [b"", b"x_train", b"PK\x03\x04", b"\x93NUMPY"])
@pytest.mark.parametrize("use", [load_dataset, resolve_dataset])
def test_files_that_are_no_npz(tmp_path, content, use):
    (tmp_path / "bad.npz").write_bytes(content)
    settings = settings_with(data_dir=str(tmp_path), dataset="npz:bad.npz")
    with pytest.raises(DataError, match="bad.npz cannot be read as an .npz file: "):
        use(settings)


def npy_bytes(header=None):
    """Return the .npy form of LABELS, or one with another text as its header."""
    stream = io.BytesIO()
    np.save(stream, LABELS)
    if header is None:
        return stream.getvalue()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "is not an array|cannot be read as an .npz file"),
        (b"just text", "is not an array|cannot be read as an .npz file"),
        (npy_bytes()[:40], "cannot be read as an .npz file: "),
        (npy_bytes(b"{'descr': '<i8', "), "cannot be read as an .npz file: "),
        (npy_bytes(b"('''"), "cannot be read as an .npz file: "),
        (npy_bytes(b"  {\n 1"), "cannot be read as an .npz file: "),
        (npy_bytes(b"{[]: 1}"), "cannot be read as an .npz file: "),
        (npy_bytes(b"{'descr': '<i8', 'fortran_order': False, 'shape': (%d,)}" % 10**30), "cannot be read as an .npz"),
    ],
)
@pytest.mark.parametrize("name", ["x_train", "y_train"])
def test_parts_that_are_no_arrays_are_refused(tmp_path, content, sentence, name):
    with zipfile.ZipFile(str(tmp_path / "own.npz"), "w") as archive:
        for member in ("x_train", "y_train"):
            archive.writestr(member + ".npy", content if member == name else npy_bytes())
    settings = settings_with(data_dir=str(tmp_path), dataset="npz:own.npz")
    with pytest.raises(DataError, match=sentence) as caught:
        load_dataset(settings)
    assert "own.npz" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match="own.npz"):
        resolve_dataset(settings)


def test_a_file_that_is_cut_off_is_refused_wherever_that_is(settings_for, tmp_path):
    settings = settings_for(x_train=X, y_train=Y, x_test=X, y_test=Y)
    whole = (tmp_path / "own.npz").read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "own.npz").write_bytes(whole[:length])
        for use in (load_dataset, resolve_dataset):
            with pytest.raises(DataError, match="own.npz"):
                use(settings)


def test_a_file_with_flipped_bits_is_read_or_refused(settings_for, tmp_path):
    settings = settings_for(x_train=X, y_train=Y, x_test=X, y_test=Y)
    whole = (tmp_path / "own.npz").read_bytes()
    n_refused = 0
    for position in range(0, len(whole), 11):
        (tmp_path / "own.npz").write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
        for use in (load_dataset, resolve_dataset):
            try:
                use(settings)
            except DataError:
                n_refused += 1
    assert n_refused > 20
