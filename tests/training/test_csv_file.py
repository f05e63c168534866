"""csv:FILE: headings, classes as numbers and as texts, and rejected lines by number."""

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training.datasets import dataset_source, load_dataset, resolve_dataset


@pytest.fixture
def settings_for(tmp_path):
    """Return a function that writes a text to a file and returns settings that name it."""

    def settings(text, **changes):
        content = text if isinstance(text, bytes) else text.encode("utf-8")
        (tmp_path / "own.csv").write_bytes(content)
        return settings_with(
            settings_with(**dict({"data_dir": str(tmp_path), "test_fraction": 0.3}, **changes)), dataset="csv:own.csv"
        )

    return settings


def everything(dataset):
    """Return (features, class) of all samples, in the order of the first feature."""
    x = np.concatenate([dataset.x_train, dataset.x_test])[:, :, 0, 0]
    y = np.concatenate([dataset.y_train, dataset.y_test])
    return [(x[i].tolist(), int(y[i])) for i in np.argsort(x[:, 0])]


ROWS = "1,0.5,0\n2,-1e3,2\n3,4,1\n4,0,1\n"
EXPECTED = [([1.0, 0.5], 0), ([2.0, -1000.0], 2), ([3.0, 4.0], 1), ([4.0, 0.0], 1)]


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        "width,height,kind\n" + ROWS,
        "\ufeffwidth,height,kind\n" + ROWS,
        ROWS.replace("\n", "\r\n"),
        "\n" + ROWS.replace("\n", "\n\n"),
        ROWS.rstrip("\n"),
        ROWS.replace(",", " , "),
        '"1","0.5","0"\n' + ROWS[8:],
        ROWS.replace(",1\n", ",1.0\n"),
    ],
)
def test_rows_are_features_and_a_class(settings_for, text):
    dataset = load_dataset(settings_for(text))
    assert everything(dataset) == EXPECTED
    assert dataset.x_train.dtype == np.float32 and dataset.y_train.dtype == np.int64 and dataset.scale == 1.0
    assert (dataset.input_shape, dataset.n_classes, dataset.name) == ((2, 1, 1), 3, "csv:own.csv")
    assert (len(dataset.x_train), len(dataset.x_test)) == (3, 1)


def test_texts_are_classes_in_sorted_order(settings_for):
    text = "1,0.5,pear\n2,-1e3,zucchini\n3,4,plum\n4,0, plum \n"
    assert everything(load_dataset(settings_for(text))) == EXPECTED


def test_numbers_among_texts_are_refused(settings_for):
    with pytest.raises(
        DataError, match="has numbers and texts as classes: line 1, column 2 is 10, line 3, column 2 is 'other'"
    ):
        load_dataset(settings_for("1,10\n2,9\n3,other\n"))


def test_looking_and_loading_find_the_same(settings_for):
    for settings in (settings_for(ROWS), settings_for("a,b,c\n1,0.5,p\n2,-1e3,r\n3,4,q\n4,0,q\n")):
        resolved = resolve_dataset(settings)
        dataset = load_dataset(resolved)
        assert (dataset.input_shape, dataset.n_classes) == dataset_source(settings)[:2] == ((2, 1, 1), 3)
        assert resolved.dataset.input_shape == (2, 1, 1)


def test_features_become_images_where_the_shape_has_as_many_values(settings_for):
    settings = settings_for("1,2,3,4,0\n5,6,7,8,1\n", input_shape=[2, 2, 1])
    dataset = load_dataset(settings)
    both = np.concatenate([dataset.x_train, dataset.x_test])
    assert dataset_source(settings).input_shape == dataset.input_shape == (2, 2, 1)
    assert sorted(both[:, 1, 0, 0].tolist()) == [3.0, 7.0]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "has no rows"),
        ("a,b\n", "has no rows"),
        ("1\n2\n", "must have columns separated by commas, a class in one of them, got '1'"),
        ("1;2;0\n", "own.csv is separated by semicolons, expected commas .for instance: sed "),
        ("1,2,0\n1,x,1\n", "own.csv, line 2, column 2 must be a number, got 'x'"),
        ("a,b,c\n1,2,0\n1,,1\n", "own.csv, line 3, column 2 .b. must be a number, got ''"),
        ("1,2,0\n1,1\n", "own.csv, line 2 has 2 columns, the first line has 3"),
        ("a,b,c\n1,2,3,4\n", "own.csv, line 2 has 4 columns"),
        ("1,2,0\n1,nan,1\n", "own.csv, line 2, column 2 must be a finite number within float32, got nan"),
        ("1,2,0\n1,-inf,1\n", "line 2, column 2 must be a finite number within float32, got -inf"),
        ("1,2,0\n1,1e300,1\n", "line 2, column 2 must be a finite number within float32, got inf"),
        ("1,2,0\n1,2,\n", "has a row without a class"),
        ("1,2,0\n1,2,1.5\n", "classes must be whole numbers in 0..999999 or texts, got 1.5 in line 2, column 3"),
        ("1,2,0\n1,2,-1\n", "classes must be .* got -1 in line 2, column 3"),
        (
            "1,2,0\n1,2,nan\n",
            "own.csv, line 2, column 3: 'nan' is not a class; the other classes are numbers, such as 0",
        ),
        ("1,2,0\n1,2,1000000\n", "classes must be .* got 1000000 in line 2, column 3"),
        ("1,2,0\n1,3,0\n", "has one class only"),
        ("1,2,a\n1,3,a\n", "has one class only"),
        ("1,2,1\n", "has one class only"),
        (b"\xff\xfe1,2", "is not a CSV file"),
        (b"1,2,0\n1,\x00,1\n", "line 2, column 2 must be a number|is not a CSV file"),
    ],
)
def test_invalid_tables_are_rejected(settings_for, text, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        load_dataset(settings_for(text))
    assert "own.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    settings = settings_with(data_dir=str(tmp_path.parent), dataset="csv:" + tmp_path.name)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        load_dataset(settings)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"n_classes": 2}, "has a label 2, but dataset.n_classes is 2"),
        ({"input_shape": [3, 1, 1]}, r"samples of shape \[2, 1, 1\], but dataset.input_shape is \[3, 1, 1\]"),
    ],
)
def test_a_file_that_does_not_agree_with_the_keys(settings_for, changes, sentence):
    with pytest.raises(DataError, match=sentence):
        load_dataset(settings_for(ROWS, **changes))


def test_a_worker_with_numbered_classes_need_not_have_all(settings_for):
    settings = settings_for("1,2,4\n3,4,4\n", n_classes=5, partition="local")
    assert load_dataset(settings).y_train.tolist() == [4] and dataset_source(settings).n_classes == 5


@pytest.mark.parametrize("n_classes", [None, 2, 3])
def test_a_worker_with_texts_is_refused(settings_for, n_classes):
    settings = settings_for("1,2,bird\n3,4,cat\n", n_classes=n_classes, input_shape=None, partition="local")
    for use in (load_dataset, resolve_dataset):
        with pytest.raises(
            DataError,
            match="has texts as classes, such as 'bird': with dataset.partition local .*"
            "use whole numbers as classes, the same at every worker",
        ):
            use(settings)


def test_the_number_of_texts_must_equal_the_key(settings_for):
    with pytest.raises(DataError, match="has 2 different texts as classes, but dataset.n_classes is 3 .number the"):
        load_dataset(settings_for("1,2,a\n3,4,c\n", n_classes=3))
