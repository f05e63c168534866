"""images:FOLDER: classes, sizes and colours, and rejected files by name."""

import os

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training.datasets import dataset_source, load_dataset, resolve_dataset

Image = pytest.importorskip("PIL.Image")

COLOURS = {"apple": (255, 0, 0), "leaf": (0, 255, 0), "sky": (0, 0, 255)}


@pytest.fixture
def folder(tmp_path):
    """Create a folder with 3 classes of 4 images of 6 x 5 pixels in their colours, and files to ignore."""
    for name, colour in COLOURS.items():
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("RGB", (5, 6), colour).save(str(tmp_path / name / ("%d.png" % i)))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "README.txt").write_text("not a class")
    (tmp_path / "apple" / "notes.txt").write_text("not an image")
    (tmp_path / "apple" / ".0.png").write_text("not an image either")
    (tmp_path / "apple" / "deeper").mkdir()
    return tmp_path


@pytest.fixture
def settings_for(folder):
    """Return a function that returns settings that name the folder."""

    def settings(**changes):
        return settings_with(settings_with(**dict({"test_fraction": 0.25}, **changes)), dataset="images:" + str(folder))

    return settings


def test_a_folder_is_a_class_and_pixels_stay_uint8(settings_for):
    dataset = load_dataset(settings_for())
    assert dataset.x_train.shape == (9, 6, 5, 3) and dataset.x_test.shape == (3, 6, 5, 3)
    assert dataset.x_train.dtype == np.uint8 and dataset.scale == 255.0 and dataset.n_classes == 3
    expected = np.array([COLOURS[name] for name in sorted(COLOURS)], np.uint8)
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert np.array_equal(x, np.broadcast_to(expected[y][:, None, None], x.shape))
    assert np.bincount(np.concatenate([dataset.y_train, dataset.y_test])).tolist() == [4, 4, 4]


def test_looking_and_loading_find_the_same(settings_for):
    resolved = resolve_dataset(settings_for())
    assert resolved.dataset.input_shape == (6, 5, 3) and resolved.dataset.n_classes == 3
    dataset = load_dataset(resolved)
    assert (dataset.input_shape, dataset.n_classes) == dataset_source(settings_for())[:2] == ((6, 5, 3), 3)


def test_images_are_resized_to_the_shape_that_is_given(settings_for, folder):
    half = np.zeros((40, 20, 3), np.uint8)
    half[20:] = 200
    Image.fromarray(half).save(str(folder / "leaf" / "0.png"))
    settings = settings_for(input_shape=[4, 8, 3])
    assert dataset_source(settings)[:2] == ((4, 8, 3), 3)
    dataset = load_dataset(settings)
    x = np.concatenate([dataset.x_train, dataset.x_test])
    assert x.shape == (12, 4, 8, 3)
    resized = [image for image in x if image[3, 0, 0] == image[3, 0, 2] == 200]
    assert len(resized) == 1 and (resized[0][0] == 0).all() and (resized[0][3] == 200).all()


def test_one_channel_is_grey(settings_for):
    dataset = load_dataset(settings_for(input_shape=[6, 5, 1]))
    assert dataset.input_shape == (6, 5, 1)
    grey = {0: 76, 1: 150, 2: 29}  # ITU-R 601: 0.299, 0.587, 0.114
    assert all((image == grey[int(label)]).all() for image, label in zip(dataset.x_train, dataset.y_train))


@pytest.mark.parametrize(
    "mode, ending",
    [
        ("L", "png"),
        ("1", "png"),
        ("P", "gif"),
        ("RGBA", "png"),
        ("LA", "png"),
        ("RGB", "JPG"),
        ("CMYK", "jpeg"),
        ("RGB", "bmp"),
        ("RGB", "ppm"),
    ],
)
def test_white_is_white_in_every_kind_of_file(settings_for, folder, mode, ending):
    for name in os.listdir(str(folder / "sky")):
        os.remove(str(folder / "sky" / name))
    Image.new("RGB", (5, 6), (255, 255, 255)).convert(mode).save(str(folder / "sky" / ("a." + ending)))
    for channels in (1, 3):
        dataset = load_dataset(settings_for(input_shape=[6, 5, channels]))
        x, y = (
            np.concatenate(parts) for parts in ((dataset.x_train, dataset.x_test), (dataset.y_train, dataset.y_test))
        )
        assert (y == 2).sum() == 1 and (x[y == 2] == 255).all()


def test_a_palette_with_transparency_is_read_without_a_warning(settings_for, folder):
    image = Image.new("P", (5, 6), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(str(folder / "sky" / "0.png"), transparency=b"\x00\x80")
    dataset = load_dataset(settings_for())
    x = np.concatenate([dataset.x_train, dataset.x_test])
    assert (x == [10, 20, 30]).all(axis=(1, 2, 3)).sum() == 1


def test_different_sizes_need_a_shape(settings_for, folder):
    Image.new("RGB", (7, 9)).save(str(folder / "sky" / "2.png"))
    for use in (resolve_dataset, load_dataset):
        with pytest.raises(
            DataError,
            match="sky/2.png has 9 x 7 pixels, .*apple/0.png has 6 x 5 .to resize them, give "
            "height, width and channels: --set .dataset.input_shape=.64,64,3.'",
        ):
            use(settings_for())
    assert load_dataset(settings_for(input_shape=[6, 5, 3])).n_classes == 3


@pytest.mark.parametrize(
    "spoil",
    [lambda content: b"", lambda content: b"no image", lambda content: content[:30], lambda content: content[:-30]],
)
def test_bad_files_are_left_out_and_named(settings_for, folder, spoil):
    path = folder / "leaf" / "3.png"
    path.write_bytes(spoil(path.read_bytes()))
    dataset = load_dataset(settings_for())
    assert dataset.seen.class_counts == (4, 3, 4)
    assert dataset.seen.warnings == (
        "1 image of 12 in %s cannot be read and is not used: %s" % (folder, os.path.join("leaf", "3.png")),
    )
    for name in "012":
        (folder / "leaf" / ("%s.png" % name)).unlink()
    with pytest.raises(
        DataError, match="no image of the folder .*leaf can be read: .*leaf/3.png cannot be read"
    ) as caught:
        load_dataset(settings_for())
    assert "\n" not in str(caught.value)


def test_more_than_8_bits_are_refused(settings_for, folder):
    Image.fromarray(np.full((6, 5), 40000, np.uint16)).save(str(folder / "sky" / "1.png"))
    with pytest.raises(DataError, match="sky/1.png has more than 8 bits per channel .*convert it to 8 bits"):
        load_dataset(settings_for())


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"n_classes": 4},
            "has 3 folders of classes, but dataset.n_classes is 4 .a class without images needs an empty",
        ),
        ({"n_classes": 2}, "has 3 folders of classes, but dataset.n_classes is 2"),
        ({"input_shape": [6, 5, 2]}, "must end in 1 or 3 channels, got 2"),
    ],
)
def test_a_folder_that_does_not_agree_with_the_keys(settings_for, changes, sentence):
    with pytest.raises(DataError, match=sentence):
        load_dataset(settings_for(**changes))


@pytest.mark.parametrize("n_classes", [None, 3])
def test_with_partition_local_folders_with_other_names_than_numbers_are_refused(settings_for, n_classes):
    for use in (resolve_dataset, load_dataset):
        with pytest.raises(
            DataError,
            match="has a folder 'apple': with dataset.partition local a class's folder must "
            "be named by its number, 0..%s .use the same number" % ("n_classes-1" if n_classes is None else 2),
        ):
            use(settings_for(partition="local", n_classes=n_classes))


@pytest.fixture
def numbered(settings_for, folder):
    """Return settings with partition local and a folder whose classes are 1, 2 and 10."""
    for name, number in (("apple", "10"), ("leaf", "2"), ("sky", "01")):
        (folder / name).rename(folder / number)
    return settings_for(partition="local", n_classes=11)


def test_with_partition_local_a_folders_name_is_its_class(numbered):
    dataset = load_dataset(numbered)
    labels = np.concatenate([dataset.y_train, dataset.y_test])
    assert np.bincount(labels).tolist() == [0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 4] and dataset.n_classes == 11
    colours = {1: COLOURS["sky"], 2: COLOURS["leaf"], 10: COLOURS["apple"]}
    assert all((image == colours[int(label)]).all() for image, label in zip(dataset.x_train, dataset.y_train))
    numbered = settings_with(numbered, n_classes=None)
    assert resolve_dataset(numbered).dataset.n_classes == 11


def test_with_partition_local_a_number_beyond_the_classes_is_refused(numbered):
    numbered = settings_with(numbered, n_classes=10)
    with pytest.raises(DataError, match="has a label 10, but dataset.n_classes is 10"):
        load_dataset(numbered)


@pytest.mark.parametrize("name", ["1000000", "-1", "1.0", "\u00b2"])
def test_with_partition_local_an_unknown_class_is_rejected(numbered, folder, name):
    (folder / name).mkdir()
    with pytest.raises(DataError, match="has a folder '%s': with dataset.partition local" % name):
        load_dataset(numbered)


def test_with_partition_local_an_empty_folder_is_refused(tmp_path):
    settings = settings_with(partition="local", n_classes=3, dataset="images:" + str(tmp_path))
    with pytest.raises(DataError, match="must have a folder for each of its classes, got none"):
        load_dataset(settings)


def test_images_are_turned_upright(settings_for, folder):
    stored = np.zeros((5, 6, 3), np.uint8)  # lies on its side: 5 high, 6 wide
    stored[:, :3] = 200  # its left half, which orientation 6 (a quarter turn clockwise) puts on top
    exif = Image.Exif()
    exif[0x0112] = 6
    for i, ending in enumerate(("png", "tiff")):
        (folder / "sky" / ("%d.png" % i)).unlink()
        Image.fromarray(stored).save(str(folder / "sky" / ("%d.%s" % (i, ending))), exif=exif)
    settings = settings_for()
    assert dataset_source(settings).input_shape == (6, 5, 3)
    dataset = load_dataset(settings)
    x = np.concatenate([dataset.x_train, dataset.x_test])
    assert (x == stored.transpose(1, 0, 2)).all(axis=(1, 2, 3)).sum() == 2


@pytest.mark.parametrize("shape", [[100000, 100000, 1], [20000, 20000, 1], [2**40, 2**40, 3]])
def test_images_that_no_memory_holds_are_refused(settings_for, shape):
    with pytest.raises(
        DataError,
        match=r"the 12 images of .* need %d bytes .*give a smaller dataset.input_shape"
        % (12 * shape[0] * shape[1] * shape[2]),
    ):
        load_dataset(settings_for(input_shape=shape))


def test_images_for_which_there_is_no_memory_are_refused(settings_for, monkeypatch):
    def no_memory(*args):
        raise MemoryError

    settings = settings_for(input_shape=[6, 5, 3])
    monkeypatch.setattr(np, "empty", no_memory)
    with pytest.raises(DataError, match="or the free memory .give a smaller dataset.input_shape"):
        load_dataset(settings)


def test_a_class_may_be_empty(settings_for, folder):
    (folder / "bread").mkdir()
    dataset = load_dataset(settings_for(n_classes=4))
    assert np.bincount(np.concatenate([dataset.y_train, dataset.y_test])).tolist() == [4, 0, 4, 4]


@pytest.mark.parametrize(
    "names, sentence",
    [
        ([], "must have a folder for each of 2 or more classes, got 0"),
        (["one"], "must have a folder for each of 2 or more classes, got 1"),
        (["one", "two"], "the folder .*one has no images .remove it; or, if it is a class"),
    ],
)
def test_folders_without_classes_or_images(tmp_path, names, sentence):
    for name in names:
        (tmp_path / name).mkdir()
    settings = settings_with(dataset="images:" + str(tmp_path))
    for use in (resolve_dataset, load_dataset):
        with pytest.raises(DataError, match=sentence):
            use(settings)


def test_a_file_is_no_folder(folder):
    settings = settings_with(data_dir=str(folder), dataset="images:README.txt")
    with pytest.raises(DataError, match="README.txt cannot be read: Not a directory"):
        resolve_dataset(settings)
