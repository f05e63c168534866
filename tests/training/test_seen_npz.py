"""What FLQ sees in npz files of many kinds, and what it says: one line of a table each."""

import re

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training.datasets import load_dataset, resolve_dataset
from flq.training.sources.dataset import sentence
from flq.training.sources.seen import all_warnings


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that writes arrays to toy.npz, reads it, and checks that looking finds the same."""
    monkeypatch.chdir(tmp_path)

    def read(arrays, **changes):
        np.savez(str(tmp_path / "toy.npz"), **arrays)
        settings = settings_with(settings_with(**changes), dataset="npz:toy.npz")
        resolved = resolve_dataset(settings)
        dataset = load_dataset(settings)
        assert load_dataset(resolved).seen == dataset.seen and resolve_dataset(resolved) == resolved
        assert resolved.dataset.scale in (
            None if settings.dataset.partition == "local" else dataset.scale,
            dataset.scale,
        )
        assert (dataset.input_shape, dataset.n_classes) == (resolved.dataset.input_shape, resolved.dataset.n_classes)
        return dataset

    return read


def images(shape=(6, 5), dtype="uint8", highest=255, lowest=0, n=12):
    """Return n images with values from the lowest to the highest, both included."""
    values = np.linspace(lowest, highest, n * int(np.prod(shape))).reshape((n,) + shape)
    return (values.round() if np.dtype(dtype).kind in "iu" else values).astype(dtype)


Y = np.arange(12) % 3


def toy(x=None, y=Y, **others):
    return dict(others, x_train=images() if x is None else x, y_train=y)


@pytest.mark.parametrize(
    "arrays, scale, said",
    [
        (toy(), 255, "toy.npz: 12 images of 6 x 5, 3 classes; uint8 values 0 to 255, divided by 255"),
        (toy(images((6, 5, 3))), 255, "12 images of 6 x 5 x 3, 3 classes; uint8 values 0 to 255, divided by 255"),
        (toy(x_test=images(n=3), y_test=Y[:3]), 255, "15 images of 6 x 5, 3 classes"),
        (toy(images(highest=16)), 16, "uint8 values 0 to 16, divided by 16"),
        (toy(images(highest=1)), 1, "uint8 values 0 to 1"),
        (toy(images(highest=200)), 255, "uint8 values 0 to 200, divided by 255"),
        (toy(images(dtype="int64")), 255, "int64 values 0 to 255, divided by 255"),
        (toy(images(dtype="float32")), 255, "float32 values 0 to 255, divided by 255"),
        (toy(images(dtype="float64", highest=1)), 1, "float64 values 0 to 1"),
        (toy(images(dtype="float32", highest=1.25)), 1, "float32 values 0 to 1.25"),
        (toy(images(dtype="float32", highest=1, lowest=-1)), 1, "float32 values -1 to 1"),
        (toy(images(dtype="uint16", highest=1000)), 1023, "uint16 values 0 to 1000, divided by 1023"),
        (toy(images(dtype="uint16", highest=4095)), 4095, "uint16 values 0 to 4095, divided by 4095"),
        (toy(images(dtype="uint16", highest=65535)), 65535, "uint16 values 0 to 65535, divided by 65535"),
        (toy(images(dtype="int32", highest=10**6)), 10**6, "int32 values 0 to 1000000, divided by 1000000"),
        (toy(images(dtype="bool", highest=1)), 1, "bool values 0 to 1"),
        (toy(images((7,), "float32", 4.5)), 1, "12 rows, 7 features, 3 classes; float32 values 0 to 4.5"),
        (toy(images((7,), "float32", 900)), 1, "12 rows, 7 features, 3 classes; float32 values 0 to 900"),
        (toy(images((7,), "uint8")), 255, "12 rows, 7 features, 3 classes; uint8 values 0 to 255, divided by 255"),
        (toy(y=Y[:, None]), 255, "12 images of 6 x 5, 3 classes"),
        (toy(y=Y.astype(float)), 255, "12 images of 6 x 5, 3 classes"),
        (toy(y=Y == 1), 255, "12 images of 6 x 5, 2 classes"),
        (toy(y=np.array(["pear", "fig", "plum"])[Y]), 255, "3 classes: fig, pear, plum"),
        (toy(y=np.array([b"pear", b"fig", b"plum"])[Y]), 255, "3 classes: fig, pear, plum"),
        (toy(y=np.array(["0", "1", "2"])[Y]), 255, "12 images of 6 x 5, 3 classes;"),
        (toy(images((3, 5, 4))), 255, "12 images of 3 x 5 x 4, 3 classes"),  # may be either
        (toy(images((1, 64, 1))), 255, "12 images of 1 x 64 x 1, 3 classes"),
        (toy(images((8, 8, 13))), 255, "12 images of 8 x 8 x 13, 3 classes"),
        (toy(images((60, 80, 13))), 255, "12 images of 60 x 80 x 13, 3 classes"),
    ],
)
def test_arrays_are_seen_for_what_they_are(load, arrays, scale, said):
    dataset = load(arrays)
    assert said in sentence(dataset.seen) and dataset.scale == scale
    assert dataset.seen.n_samples == sum(len(arrays[name]) for name in arrays if name[0] == "y")


@pytest.mark.parametrize(
    "arrays, notes, warnings",
    [
        (toy(), [], []),
        (
            toy(x_val=images(n=2), names=np.arange(3)),
            [r"also has names \(3,\) int64, x_val \(2, 6, 5\) uint8, which"],
            [],
        ),
        (toy(images(highest=16)), [], ["uint8 values 0 to 16: they are divided by 16; dataset.scale sets another"]),
        (toy(images(highest=1)), [], ["uint8 values 0 to 1: they are not divided; dataset.scale sets another"]),
        (toy(images(dtype="int64")), [], ["int64 values 0 to 255: they are divided by 255; dataset.scale sets"]),
        (toy(images(dtype="float32")), [], ["float32 values 0 to 255: they are divided by 255; dataset.scale"]),
        (toy(images(dtype="float32", lowest=-300, highest=300)), [], ["values -300 to 300, .* set dataset.scale to"]),
        (toy(images(dtype="float32", lowest=-3, highest=3)), [], []),
        (toy(images() * 0 + 7), [], ["all values of toy.npz are 7"]),
        (toy(images((7,), "float32", 900)), [], ["column 7 goes from .* to 900; standardize .* or set dataset.scale"]),
        (toy(images((7,), "float32", 20)), [], []),
        (toy(images((2,), "float32", 1) * [1, 0]), ["1 column of toy.npz is constant: column 2"], []),
        (toy(y=Y + 1), [], ["the labels of toy.npz run from 1 to 3: the model has 4 outputs, and class 0"]),
        (toy(y=Y * 2), [], ["toy.npz has no samples of the classes 1, 3: the model has 5 outputs, of which 3 have"]),
        (
            toy(images(dtype="int64"), x_test=images(dtype="float64", highest=1), y_test=Y),
            [],
            ["training values go from 0 to 255, test values from 0 to 1: are both scaled alike", "divided by 255"],
        ),
        (
            toy(images(dtype="float32"), x_test=images(dtype="float32", highest=1), y_test=Y),
            [],
            ["training values go from 0 to 255, test values from 0 to 1: are both scaled alike", "divided by 255"],
        ),
        (
            toy(images(dtype="float32", highest=1), x_test=images(dtype="float32"), y_test=Y),
            [],
            ["training values go from 0 to 1, test values from 0 to 255: are both scaled alike", "divided by 255"],
        ),
        (
            toy(images(dtype="float32", lowest=-1, highest=1), x_test=images(dtype="float32", highest=1), y_test=Y),
            [],
            ["training values go from -1 to 1, test values from 0 to 1: are both scaled alike"],
        ),
        (toy(images(dtype="float32", highest=1), x_test=images(dtype="float64", highest=0.9), y_test=Y), [], []),
        (toy(images(), x_test=images(highest=40, n=2), y_test=Y[:2]), [], []),
        (
            toy(y=np.array(["a", "b", "c"])[Y], x_test=images(n=3), y_test=np.array(["a", "d", "d"])),
            [],
            [r"toy.npz has no training samples of the class d \(3\), only test samples"],
        ),
        (
            toy(x_test=images(n=3), y_test=np.array([3, 4, 0])),
            [],
            ["toy.npz has no training samples of the classes 3, 4, only test samples"],
        ),
        (toy(images(highest=17)), [], ["values 0 to 17, which dataset.scale 255 makes .* so close to 0"]),
        (toy(images((8, 8, 13))), ["the images of toy.npz have 8 x 8 pixels and 13 channels"], []),
        (
            toy(y=np.array(["caf\u00e9", "cafe\u0301", "tea"])[Y]),
            [],
            ["toy.npz: the classes .* and .* look alike, but are encoded differently"],
        ),
        (toy(**{"odd\x1b[31m\nname": np.zeros(2)}), [r"toy.npz also has odd\?\[31m name \(2,\) float64"], []),
    ],
)
def test_what_looks_wrong_is_said(load, arrays, notes, warnings):
    seen = load(arrays).seen
    for found, expected in ((seen.notes, notes), (all_warnings(seen, is_scale_given=False), warnings)):
        assert len(found) == len(expected), found
        for words, part in zip(found, expected):
            assert re.search(part, words) and "toy.npz" in words and words.isprintable()


X = images()
FIRST = np.zeros((12, 3, 8, 9), np.uint8)


@pytest.mark.parametrize(
    "arrays, words",
    [
        (
            {"images": X, "labels": Y},
            r"has no array x_train; it has images \(12, 6, 5\) uint8, labels \(12,\) int64 .save it under the name x_",
        ),
        ({"arr_0": X, "arr_1": Y}, r"it has arr_0 \(12, 6, 5\) uint8, arr_1 \(12,\) int64"),
        ({"X": X, "y": Y}, r"has no array x_train; it has X \(12, 6, 5\) uint8, y \(12,\) int64"),
        ({"x_train": X}, r"has no array y_train; it has x_train \(12, 6, 5\) uint8 .save it under the name y_train"),
        ({"x_train": X, "y_test": Y}, "has no array y_train"),
        ({}, "has no array x_train; it has none"),
        (
            toy(FIRST),
            r"shape \(12, 3, 8, 9\), whose second axis looks like the channels.* .set dataset.channels_first=true",
        ),
        (toy(FIRST[:, :1]), r"shape \(12, 1, 8, 9\), whose second axis .* dataset.input_shape=\[1,8,9\]"),
        (toy(np.zeros((12, 4, 8, 9))), r"shape \(12, 4, 8, 9\), whose second axis"),
        (toy(np.zeros((12, 2, 8, 9))), r"shape \(12, 2, 8, 9\), whose second axis"),
        (toy(np.zeros((12, 5, 8, 8))), r"shape \(12, 5, 8, 8\), whose second axis"),
        (toy(np.zeros((12, 3, 4, 4))), r"shape \(12, 3, 4, 4\), whose second axis .*input_shape=\[3,4,4\]"),
        (toy(np.zeros((12, 2, 3, 3))), r"shape \(12, 2, 3, 3\), whose second axis"),
        (toy(np.zeros((12, 1, 128, 9))), r"shape \(12, 1, 128, 9\), whose second axis"),
        (
            toy(x_test=X, y_test=np.array(["a", "b", "c"])[Y]),
            r"y_train in toy.npz must be texts of shape \(n,\) as the other labels are, got dtype int64",
        ),
        (toy(y=Y[None]), r"must be whole numbers of shape \(n,\), got .* \(1, 12\) .save them as y.ravel"),
        (
            toy(y=np.array([b"caf\xe9", b"caf\xea", b"tea"])[Y]),
            r"y_train\[0\] in toy.npz is no text in UTF-8: b'caf.xe9' .save texts: y = np.char.decode",
        ),
        ({"x\n\x1b[2J": X}, r"has no array x_train; it has x \?\[2J \(12, 6, 5\) uint8"),
        (toy(np.zeros((12, 2, 3, 4, 5))), r"must have shape .* got \(12, 2, 3, 4, 5\)"),
        (
            toy(y=np.eye(3)[Y]),
            "must be whole numbers .* got dtype float64 of shape .*save one-hot rows as numbers: y.argmax",
        ),
        (toy(y=Y + 0.5), "y_train in toy.npz must be whole numbers, got 0.5 in place 0"),
        (toy(y=Y - 1), "must be classes in 0..999999, got -1..1 .number the classes"),
        (toy(y=Y[:11]), "has 12 samples, but 11 labels for them"),
        (toy(y=np.array(["a", "7", "c"])[Y]), r"numbers and texts as classes: y_train\[1\] is 7, y_train\[0\] is 'a'"),
        (toy(y=np.array(["1", "NA", "2"])[Y]), r"toy.npz, y_train\[1\]: 'NA' is not a class"),
        (toy(y=np.array(["a", "", "c"])[Y]), r"has a row without a class: y_train\[1\] is empty"),
        (
            toy(y=np.array(["a", "b", "c"], object)[Y]),
            r"Object arrays are not read, and y_train is one .*astype\(str\)",
        ),
        (toy(X.astype(object)), r"Object arrays are not read, and x_train is one .*x_train.astype\('float32'\)"),
    ],
)
def test_what_is_no_data_set_is_refused_with_what_is_there(load, arrays, words):
    with pytest.raises(DataError, match=words) as caught:
        load(arrays)
    assert "toy.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_channels_may_be_first_if_the_setting_says_so(load):
    x = images((3, 8, 9))
    dataset = load(toy(x, x_test=x, y_test=Y), channels_first=True)
    assert np.array_equal(dataset.x_train, x.transpose(0, 2, 3, 1)) and dataset.input_shape == (8, 9, 3)
    assert "12 x" not in sentence(dataset.seen) and "24 images of 8 x 9 x 3" in sentence(dataset.seen)
    with pytest.raises(
        DataError, match="channels_first is true, but x_train in toy.npz has shape .* looks like the channels"
    ):
        load(toy(images((8, 9, 3))), channels_first=True)


@pytest.mark.parametrize("shape", [(6, 5), (7,)])
def test_channels_first_has_no_effect_without_channels(load, shape):
    with pytest.raises(
        DataError, match=r"channels_first is true, but x_train in toy.npz has no channels, its shape is"
    ):
        load(toy(images(shape)), channels_first=True)


def test_a_shape_that_is_given_settles_where_the_channels_are(load):
    assert load(toy(images((3, 8, 9))), input_shape=[3, 8, 9]).input_shape == (3, 8, 9)
    with pytest.raises(
        DataError, match=r"shape \[3, 8, 9\], but dataset.input_shape is \[8, 9, 3\] .*channels_first=true"
    ):
        load(toy(images((3, 8, 9))), input_shape=[8, 9, 3], n_classes=3, partition="local")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_gray_and_color_become_what_the_setting_says(load, dtype):
    x = images((6, 5, 3), dtype)
    gray = load(toy(x, x_test=x, y_test=Y), channels=1).x_train
    assert gray.shape == (12, 6, 5, 1)
    luma = x.astype(float) @ [0.299, 0.587, 0.114]
    assert np.allclose(gray[..., 0], luma, atol=0.51 if dtype != "float32" else 1e-2)
    assert np.array_equal(load(toy(gray, x_test=gray, y_test=Y), channels=3).x_train, np.repeat(gray, 3, axis=3))
    assert np.array_equal(load(toy(gray[..., 0], x_test=gray, y_test=Y), channels=1).x_train, gray)
    alpha = np.concatenate([x, x[..., :1]], axis=3)
    assert np.array_equal(load(toy(alpha, x_test=alpha, y_test=Y), channels=3).x_train, x)


def test_luma_is_that_of_pillow(load):
    image = pytest.importorskip("PIL.Image")
    x = np.random.RandomState(1).randint(0, 256, (12, 20, 20, 3)).astype(np.uint8)
    gray = load(toy(x, x_test=x, y_test=Y), channels=1).x_train[..., 0]
    assert all(np.array_equal(gray[i], np.asarray(image.fromarray(x[i]).convert("L"))) for i in range(12))


def test_what_can_not_be_converted_is_refused(load):
    with pytest.raises(DataError, match="images of 5 channels, which cannot be converted to dataset.channels 1"):
        load(toy(images((6, 5, 5))), channels=1)
    with pytest.raises(
        DataError, match="dataset.channels converts images, but x_train in toy.npz has rows of features"
    ):
        load(toy(images((7,))), channels=1)


def test_a_scale_that_is_given_counts(load):
    dataset = load(toy(images(dtype="int64")), scale=100.0)
    assert dataset.scale == 100.0 and all_warnings(dataset.seen, is_scale_given=True) == []
    assert dataset.seen.auto_scale == 255.0
    (warning,) = load(toy(images(dtype="int64")), scale=2.0).seen.warnings
    assert "values 0 to 255, which dataset.scale 2 makes 0 to 127.5" in warning


@pytest.mark.parametrize("highest", [1, 16, 200, 255])
def test_with_partition_local_bytes_are_pixels_whatever_their_range(load, highest):
    dataset = load(toy(images(highest=highest)), partition="local")
    assert dataset.scale == 255.0 and len(all_warnings(dataset.seen, is_scale_given=False)) == (highest <= 16)


def test_the_range_is_that_of_training_and_test(load):
    dataset = load(toy(images(dtype="int64", highest=1), x_test=images(dtype="int64"), y_test=Y))
    assert (dataset.seen.lowest, dataset.seen.highest, dataset.scale) == (0.0, 255.0, 255.0)


def test_samples_of_one_class_alone_are_said_to_teach_nothing(load):
    (warning,) = load(toy(y=Y * 0 + 1), n_classes=3).seen.warnings
    assert warning == "all samples of toy.npz are of one class: a model learns nothing from them"


@pytest.mark.parametrize("channels, given", [(3, [5, 5, 1]), (1, [5, 5, 3])])
def test_gray_and_color_images_are_mixed_by_the_setting_that_the_error_names(load, channels, given):
    arrays = toy(images((5, 5, channels)))
    with pytest.raises(
        DataError, match="samples of shape .* .to mix gray and color images, set dataset.channels=%d" % given[2]
    ):
        load(arrays, input_shape=given, partition="local", n_classes=3)
    assert load(arrays, input_shape=given, partition="local", n_classes=3, channels=given[2]).input_shape == tuple(
        given
    )
