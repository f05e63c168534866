"""What FLQ sees in folders of images of many kinds, and what it says: one line of a table each."""

import os
import re

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training.datasets import describe_files, load_dataset, resolve_dataset
from flq.training.sources.class_folders import _kinds
from flq.training.sources.dataset import sentence

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that makes a folder of files, given as {path: number of images or bytes}, and reads it."""
    monkeypatch.chdir(tmp_path)

    def read(files, **changes):
        plant(tmp_path / "toy", files)
        settings = settings_with(settings_with(**changes), dataset="images:toy")
        resolved = resolve_dataset(settings)
        assert load_dataset(resolved).seen == load_dataset(settings).seen
        return load_dataset(settings)

    return read


def plant(folder, files):
    """Make files: a number means so many images in a folder, bytes a file's content, None an empty folder."""
    for name, content in files.items():
        if isinstance(content, int):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for i in range(content):
                Image.new("RGB", (5, 4), (i * 9 % 256, 7, 200)).save(str(folder / name / ("%03d.png" % i)))
        elif content is None:
            (folder / name).mkdir(parents=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def image_bytes(ending, mode="RGB"):
    """Return the content of an image of 5 x 4 pixels."""
    path = "image" + ending
    Image.new(mode, (5, 4)).save(path, {".jfif": "JPEG", ".jpe": "JPEG", ".dib": "BMP"}.get(ending))
    with open(path, "rb") as stream:
        return stream.read()


TWO = {"cat": 6, "dog": 6}
SEEN = "toy: 12 images of 4 x 5 x 3, 2 classes: cat, dog; uint8 values 0 to 200, divided by 255"


@pytest.mark.parametrize(
    "files, notes",
    [
        (TWO, []),
        (
            dict(TWO, **{".git": 2, "__MACOSX/cat": 2}),
            ["folders of toy are not classes and are not used: .git, __MACOSX"],
        ),
        (dict(TWO, **{"lost+found": None}), ["are not used: lost[+]found"]),
        (dict(TWO, **{"@eaDir": 2, "#recycle": 3}), ["are not used: #recycle, @eaDir"]),
        (dict(TWO, **{"$RECYCLE.BIN": 2, "System Volume Information": None}), ["System Volume Information"]),
        (dict(TWO, **{"__pycache__": None, ".ipynb_checkpoints": 1}), [".ipynb_checkpoints, __pycache__"]),
        (dict(TWO, **{"cache": 2, "Caches": 1}), ["are not used: Caches, cache"]),
        (dict(TWO, **{"cat/Thumbs.db": b"x", "dog/.DS_Store": b"x", "README.txt": b"x"}), []),
        (
            dict(TWO, **{"dog/a.heic": b"x", "dog/b.heic": b"x", "cat/c.txt": b"x"}),
            ["3 files of unknown kinds .[.]heic, [.]txt. .*not used"],
        ),
        (dict(TWO, **{"dog/2021": 4}), ["4 images in the deeper folder toy/dog/2021 are not used"]),
        (dict(TWO, **{"dog/empty": None}), []),
        (dict(TWO, **{"cover.png": b"x"}), ["1 image in toy itself, in no folder of a class, is not used"]),
    ],
)
def test_what_is_no_class_is_passed_over_and_said(load, files, notes):
    seen = load(files).seen
    assert sentence(seen) == SEEN and seen.warnings == ()
    assert len(seen.notes) == len(notes)
    assert all(re.search(part, words) for part, words in zip(notes, seen.notes)), seen.notes


@pytest.mark.parametrize(
    "files, words",
    [
        (
            dict(TWO, **{"bird/a.heic": b"x", "bird/b.heic": b"x"}),
            "the folder toy/bird has no images, but 2 files of unknown kinds .[.]heic. .convert them",
        ),
        (dict(TWO, bird=None), "the folder toy/bird has no images .remove it; or, .* give dataset.n_classes"),
        (dict(TWO, **{"bird/.hidden.png": b"x"}), "the folder toy/bird has no images"),
        (
            dict(TWO, **{"bird/2021": 2, "bird/2022": 1}),
            "the folder toy/bird has no images of its own; 2 lie deeper, in bird/2021 .move them up into toy/bird",
        ),
        (
            {"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1},
            "toy has no images in its folders; the folders of classes lie deeper, in toy/train .cat, dog. "
            ".set dataset.name=images:toy/train",
        ),
        ({"data/cat": 3, "data/dog": 3}, "lie deeper, in toy/data .cat, dog. .set dataset.name=images:toy/data"),
        ({"a/b/cat": 3, "a/b/dog": 3, "c": None}, "lie deeper, in toy/a/b .cat, dog."),
        ({"x.png": b"1", "y.png": b"2"}, "toy has 2 images and no folders, expected a folder for each"),
        ({"x.png": b"1", "cat": 2}, "toy has 1 image beside its folder, expected a folder for each"),
        ({"cat\n\x1b[31m": 2, "dog": None}, r"the folder toy/dog has no images"),
        ({"cat\n\x1b[31m": None, "dog": 2}, r"the folder toy/cat \?\[31m has no images"),
        ({"cat/a.png": b"", "dog/b\nc.png": b""}, r"no image of toy can be read: toy/cat/a.png"),
        (
            dict({"cat/a\n%02d.png" % i: b"" for i in range(11)}, **{"dog": 30}),
            r"11 images of 41 in toy cannot be read: cat/a 00.png, cat/a 01.png",
        ),
        ({"cat": 3}, "must have a folder for each of 2 or more classes, got 1"),
        ({"cat": 3, ".dog": 3, "__MACOSX": 3}, "must have a folder for each of 2 or more classes, got 1"),
        (dict(TWO, **{"bird/a.png": b"", "bird/b.png": b"no"}), "no image of the folder toy/bird can be read"),
        (
            dict({"cat/%d.png" % i: b"" for i in range(11)}, **{"dog": 30}),
            "11 images of 41 in toy cannot be read: cat/0.png, cat/1.png, cat/10.png, cat/2.png, cat/3.png and 6 more",
        ),
        (
            {"cat/a.png": b"x", "dog/a.png": b"x"},
            "no image of toy can be read: toy/cat/a.png cannot be read as an image",
        ),
    ],
)
def test_a_folder_that_is_no_class_is_refused_by_name(load, files, words):
    with pytest.raises(DataError, match=words) as caught:
        load(files)
    assert "\n" not in str(caught.value)


def cut_off():
    """Return an image that is cut off behind its header."""
    return image_bytes(".png")[:-30]


@pytest.mark.parametrize(
    "name, content",
    [
        ("empty.png", lambda: b""),
        ("text.png", lambda: b"this is a text\n"),
        ("page.jpg", lambda: b"<!DOCTYPE html><html><body>404</body></html>"),
        ("cut.png", cut_off),
        ("cut.jpg", lambda: image_bytes(".jpg")[:200]),
        ("movie.gif", lambda: b"GIF89a"),
    ],
)
def test_a_file_that_is_no_image_is_left_out_and_named(load, tmp_path, name, content):
    files = dict(TWO, **{"dog/" + name: content()})
    dataset = load(files)
    assert dataset.seen.class_counts == (6, 6) and dataset.x_train.shape[1:] == (4, 5, 3)
    assert dataset.seen.warnings == ("1 image of 13 in toy cannot be read and is not used: dog/%s" % name,)
    plain = load_dataset(settings_with(dataset="images:toy"))
    os.remove("toy/dog/" + name)
    without = load_dataset(settings_with(dataset="images:toy"))
    assert np.array_equal(plain.x_train, without.x_train) and np.array_equal(plain.y_test, without.y_test)


def test_up_to_a_hundredth_may_be_left_out(load):
    files = {"cat": 600, "dog": 500}
    files.update({"dog/bad%d.png" % i: b"" for i in range(11)})
    assert (
        "11 images of 1111 in toy cannot be read and are not used"
        in load(files, input_shape=[4, 4, 1]).seen.warnings[0]
    )
    plant_one_more = {"dog/worse.png": b""}
    with pytest.raises(DataError, match="12 images of 1112 in toy cannot be read"):
        load(plant_one_more, input_shape=[4, 4, 1])


def test_a_file_that_may_not_be_read_is_no_damaged_image(load, monkeypatch):
    opened = Image.open

    def forbidden(file, *args):
        if file.endswith("dog/003.png"):
            raise PermissionError(13, "Permission denied", file)
        return opened(file, *args)

    monkeypatch.setattr(Image, "open", forbidden)
    with pytest.raises(DataError, match="toy/dog/003.png cannot be read: Permission denied"):
        load(TWO)


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".dib", ".pbm", ".JPG", ".tif", ".webp"])
def test_endings_that_pillow_reads_are_pictures(load, tmp_path, monkeypatch, ending):
    if ending == ".webp" and ".webp" not in Image.registered_extensions():
        pytest.skip("this Pillow reads no webp")
    content = image_bytes(ending.lower(), "1" if ending == ".pbm" else "RGB")
    dataset = load(dict(TWO, **{"dog/a" + ending: content}))
    assert dataset.seen.class_counts == (6, 7)


@pytest.mark.parametrize("names", [("cat", "Cat"), ("cat", "cat "), ("hot dog", "hotdog")])
def test_names_that_differ_in_case_or_blanks_only_are_warned_of(load, names):
    (warning,) = load({name: 3 for name in names}).seen.warnings
    assert warning == "toy: the classes %r and %r differ only in case or blanks" % tuple(sorted(names))


@pytest.mark.parametrize(
    "names, words",
    [
        (
            ["0", "1", "10", "2"],
            "are named by numbers, but numbered in the order of their names: class 2 is 10, class 3 is 2",
        ),
        (["1", "2"], "numbered in the order of their names: class 0 is 1, class 1 is 2"),
        (["train", "test"], "the classes test, train look like parts of a data set, not like classes"),
        (["a", "b", "val"], "the class val looks like a part of a data set, not like a class"),
        (["train", "test", "a"], "the classes test, train look like parts of a data set, not like classes"),
        (["caf\u00e9", "cafe\u0301"], "look alike, but are encoded differently"),
    ],
)
def test_names_that_mislead_are_warned_of(load, names, words):
    (warning,) = load({name: 2 for name in names}).seen.warnings
    assert words in warning


@pytest.mark.parametrize("names", [["0", "1", "2"], ["00", "01"], ["train", "car"]])
def test_names_that_do_not_mislead_are_not_warned_of(load, names):
    assert load({name: 2 for name in names}).seen.warnings == ()


def test_a_class_without_pictures_that_the_settings_expect_is_said(load):
    dataset = load(dict(TWO, bird=None), n_classes=3)
    assert dataset.class_names == ("bird", "cat", "dog") and dataset.seen.class_counts == (0, 6, 6)
    assert dataset.seen.warnings == ("toy has no samples of the class bird (0)",)


@pytest.mark.parametrize("channels, shape", [(None, (4, 5, 3)), (1, (4, 5, 1)), (3, (4, 5, 3))])
def test_channels_are_those_of_the_setting(load, channels, shape):
    assert load(TWO, channels=channels).input_shape == shape
    if channels:
        with pytest.raises(
            DataError, match="dataset.channels is %d, but dataset.input_shape ends in %d" % (channels, 4 - channels)
        ):
            load({}, channels=channels, input_shape=[4, 5, 4 - channels])


def test_a_worker_counts_what_it_trains_on(tmp_path):
    plant(tmp_path / "own", {"0": 4, "2": 5, "lost+found": None, "2/bad.png": b"", "0/page.jpg": b"<html>"})
    section = settings_with(dataset="own", data_dir=str(tmp_path / "own"), partition="local").dataset
    counts, shape = describe_files(section)
    assert counts.tolist() == [4, 0, 5] and shape == (4, 5, 3)
    settings = settings_with(partition="local", data_dir=str(tmp_path / "own"), input_shape=[4, 5, 3], n_classes=3)
    assert load_dataset(settings_with(settings, dataset="own")).seen.class_counts == (4, 0, 5)


def test_folders_of_the_same_number_are_refused(load):
    with pytest.raises(DataError, match="toy has two folders of class 1, 01 and 1 .move the images of a class into"):
        load({"0": 2, "01": 2, "1": 2}, partition="local")


def test_a_pipe_is_no_image(load, tmp_path):
    plant(tmp_path / "toy", TWO)
    os.mkfifo(str(tmp_path / "toy" / "dog" / "pipe.png"))
    seen = load({}).seen
    assert seen.class_counts == (6, 6) and re.search("1 file of an unknown kind", seen.notes[0])


def test_many_files_of_other_kinds_are_counted_in_linear_time():
    assert _kinds(["frame.%05d" % i for i in range(30000)] + ["a.txt", "b.txt", "c"])[:2] == [".txt", ".00000"]


def test_names_of_files_stand_on_one_line(load):
    seen = load({"cat\n\x1b[31m": 6, "dog": 6, "dog/z\nx.png": b"x", "dog/y.\x1bq": b"x", "dog/a\nb": 1}).seen
    assert seen.class_names == ("cat ?[31m", "dog") and "dog/z x.png" in seen.warnings[0] and len(seen.notes) == 2
    assert all(words.isprintable() for words in seen.notes + seen.warnings + (seen.path, sentence(seen)))


def test_a_disk_with_leftovers_only_holds_no_data(tmp_path):
    plant(tmp_path, {"lost+found": None, "System Volume Information": None})
    with pytest.raises(DataError, match="holds no data set"):
        describe_files(settings_with(dataset="own", data_dir=str(tmp_path), partition="local").dataset)
