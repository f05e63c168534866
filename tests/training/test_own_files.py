"""Data of any kind in a worker's own folder, and their description without training."""

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training.datasets import describe_files, load_dataset, resolve_dataset
from flq.training.frameworks import make_task

Image = pytest.importorskip("PIL.Image")


def plant_npz(folder, name="faces.npz"):
    np.savez(
        str(folder / name),
        x_train=np.zeros((6, 4, 5), np.uint8),
        y_train=np.array([0, 0, 2, 2, 2, 1]),
        x_test=np.zeros((2, 4, 5), np.uint8),
        y_test=np.array([2, 2]),
    )


def plant_csv(folder):
    (folder / "table.CSV").write_text("a,b,class\n1,2,0\n3,4,2\n5,6,2\n")


def plant_images(folder, sizes=((5, 4), (5, 4))):
    for label, size in zip(("0", "2"), sizes):
        (folder / label).mkdir()
        for i in range(2):
            Image.new("L", size).save(str(folder / label / ("%d.png" % i)))


def section(folder, **changes):
    return settings_with(dataset="own", data_dir=str(folder), partition="local").dataset._replace(**changes)


@pytest.mark.parametrize(
    "plant, counts, shape",
    [(plant_npz, [2, 1, 5], (4, 5, 1)), (plant_csv, [1, 0, 2], (2, 1, 1)), (plant_images, [2, 0, 2], (4, 5, 3))],
)
def test_any_kind_of_data_in_the_folder_is_described(tmp_path, plant, counts, shape):
    plant(tmp_path)
    found, found_shape = describe_files(section(tmp_path))
    assert found.tolist() == counts and found_shape == shape


def test_images_of_different_sizes_are_counted_and_have_no_shape(tmp_path):
    plant_images(tmp_path, ((5, 4), (9, 9)))
    found, shape = describe_files(section(tmp_path))
    assert found.tolist() == [2, 0, 2] and shape is None


@pytest.mark.parametrize("plant, shape", [(plant_npz, [4, 5, 1]), (plant_csv, [2, 1, 1]), (plant_images, [6, 6, 1])])
def test_one_setting_loads_each_workers_own_data(tmp_path, plant, shape):
    plant(tmp_path)
    settings = settings_with(partition="local", data_dir=str(tmp_path), input_shape=shape, n_classes=3, dataset="own")
    assert resolve_dataset(settings) == settings
    make_task(settings).check()
    dataset = load_dataset(settings)
    assert list(dataset.input_shape) == shape and dataset.n_classes == 3


def test_the_column_of_the_class_is_set_at_the_master(tmp_path):
    (tmp_path / "table.csv").write_text("label,a,b\n0,0.5,1\n1,1.5,2\n")
    known = {"input_shape": [2, 1, 1], "n_classes": 2, "data_dir": str(tmp_path), "partition": "local"}
    at_master = "set dataset.label_column=label, or -1 for the last column; dataset.label_column is set at the master"
    for name, hint in ("own", at_master), ("csv:table.csv", at_master.partition(";")[0]):
        with pytest.raises(DataError) as caught:
            load_dataset(settings_with(dataset=name, **known))
        assert caught.value.hint == hint


def test_a_file_may_be_named_in_place_of_its_folder(tmp_path):
    plant_npz(tmp_path)
    plant_npz(tmp_path, "other.npz")
    with pytest.raises(DataError, match=r"holds more than one data set: faces.npz, other.npz"):
        describe_files(section(tmp_path))
    assert describe_files(section(tmp_path / "faces.npz"))[1] == (4, 5, 1)


def test_a_file_beside_folders_of_classes_is_not_chosen_for_them(tmp_path):
    plant_csv(tmp_path)
    plant_images(tmp_path)
    with pytest.raises(DataError, match="holds more than one data set: table.CSV, images in folders"):
        describe_files(section(tmp_path))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"input_shape": [9, 9, 1]}, r"samples of shape \[4, 5, 1\], but dataset.input_shape is \[9, 9, 1\]"),
        ({"n_classes": 2}, "has a label 2, but dataset.n_classes is 2"),
    ],
)
def test_data_that_differ_from_the_masters_are_rejected_naming_both(tmp_path, changes, words):
    plant_npz(tmp_path)
    settings = settings_with(
        partition="local", data_dir=str(tmp_path), **dict(dict(input_shape=[4, 5, 1], n_classes=3), **changes)
    )
    settings = settings_with(settings, dataset="own")
    with pytest.raises(DataError, match=words):
        load_dataset(settings)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"partition": "iid", "input_shape": [4, 5, 1], "n_classes": 3}, "needs dataset.partition local, got iid"),
        ({"partition": "local", "n_classes": 3}, "needs dataset.input_shape and n_classes"),
        ({"partition": "local", "input_shape": [4, 5, 1]}, "needs dataset.input_shape and n_classes"),
    ],
)
def test_the_master_rejects_settings_under_which_boards_differ(changes, words):
    settings = settings_with(**changes, dataset="own")
    with pytest.raises(DataError, match=words):
        resolve_dataset(settings)


@pytest.mark.parametrize(
    "name, words", [("nothing", "holds no data set"), ("missing", "cannot be read"), ("notes.txt", "is not a data set")]
)
def test_a_place_without_data_is_one_sentence(tmp_path, name, words):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=words):
        describe_files(section(tmp_path / name))


def test_data_that_are_dealt_out_have_another_command():
    with pytest.raises(DataError, match="digits is partitioned among the workers") as caught:
        describe_files(section(".", name="digits"))
    assert "flq.training.distribution" in caught.value.hint
