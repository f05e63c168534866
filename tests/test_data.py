"""python -m flq.data check: what it prints, and its exit code."""

import base64
import os
import subprocess
import sys

import numpy as np
import pytest

from flq.config_file import load_config
from flq.core.settings import DatasetSettings
from flq.data import _written, main, name_of
from flq.errors import ConfigError
from flq.training.dataset_flags import section_with

CSV = "a,b,kind\n" + "".join("0.%d,0.%d,%s\n" % (i * 7 % 11, i % 5, ["pear", "fig"][i % 2]) for i in range(20))


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)  # one black pixel


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command in a folder with data; it returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fruit.csv").write_text(CSV)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "array.npy").write_text("x")
    np.savez("toy.npz", x_train=np.arange(160).reshape(40, 2, 2), y_train=np.arange(40), x_val=np.zeros(3))
    for name in "train/cat", "train/dog", "empty", "two", "mixed/cat", "mixed/dog", "notes", "one/notes":
        (tmp_path / name).mkdir(parents=True)
    for name in "mixed/a.csv", "one/only.csv":
        (tmp_path / name).write_text(CSV)
    os.mkfifo(str(tmp_path / "pipe.csv"))
    for name in "mixed/cat/0.png", "mixed/dog/0.png", "pictures/cat/0.png", "pictures/dog/0.png":
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "two" / "a.csv").write_text(CSV)
    (tmp_path / "two" / "b.csv").write_text(CSV)

    def run(*arguments):
        try:
            code = main(["check", *arguments])
        except SystemExit as left:
            code = left.code
        return (code, *capsys.readouterr())

    return run


def test_a_table_is_described_to_the_command_to_give(check):
    code, said, errors = check("fruit.csv")
    assert (code, errors) == (0, "")
    assert said.splitlines() == [
        "data          fruit.csv (csv)",
        "samples       20 rows, 2 features",
        "values        0 to 0.9",
        "scale         1, the values stay as they are",
        "input shape   2 x 1 x 1 (height, width, channels)",
        "class column  column 'kind' (the last)",
        "classes       2 classes",
        "  0  fig   10",
        "  1  pear  10",
        "",
        "FLQ would train on 18 samples, with 2 of 20 samples held out for testing:",
        "  --set dataset.name=csv:fruit.csv",
    ]


def test_for_local_data_the_flags_of_the_master_and_those_of_the_worker_are_said(check, tmp_path):
    (tmp_path / "my site").mkdir()
    (tmp_path / "my site" / "log.csv").write_text("kind,a,b\n" + "0,1,2\n1,3,4\n" * 20)
    flags = ["--set", "dataset.partition=local", "--set", "label_column=kind", "--set", "data_dir=my site"]
    code, said, errors = check("log.csv", *flags)
    assert (code, errors) == (0, "")
    assert said.splitlines()[-2:] == [
        "  master: --set dataset.name=own --set dataset.partition=local --set dataset.input_shape='[2,1,1]'"
        " --set dataset.n_classes=2 --set dataset.label_column=kind",
        "  worker: --data_dir 'my site/log.csv'",
    ]
    _, said, _ = check("fruit.csv", "--set", "dataset.data_dir=.", "--set", "dataset.scale=2")
    assert (
        said.splitlines()[-1] == "  --set dataset.name=csv:fruit.csv --set dataset.data_dir=. --set dataset.scale=2.0"
    )


def test_many_classes_are_cut_and_notes_and_warnings_are_said(check):
    code, said, _ = check("toy.npz", "--set", "dataset.test_fraction=0.25", "--set", "scale=200")
    assert code == 0
    lines = said.splitlines()
    assert lines[2:4] == ["values        int64 0 to 159", "scale         200, values are divided by it"]
    assert lines[6:9] == ["   0  1", "   1  1", "   2  1"] and "  ... and 20 more" in lines
    assert "note: toy.npz also has x_val (3,) float64, which FLQ does not use" in lines
    assert lines[-2].startswith("FLQ would train on 30 samples")
    assert lines[-1] == "  --set dataset.name=npz:toy.npz --set dataset.test_fraction=0.25 --set dataset.scale=200.0"


@pytest.mark.parametrize(
    "arguments, kind",
    [
        (["csv:fruit.csv"], "(csv)"),
        (["fruit.csv", "--set", "dataset.label_column=-1"], "(csv)"),
        (["./fruit.csv", "--set", "label_column=2"], "(csv)"),
        (["digits"], "digits"),
        (["npz:toy.npz", "--set", "dataset.scale=auto", "--set", "dataset.channels=3"], "(npz)"),
        (["a.csv", "--set", "data_dir=two"], "two/a.csv (csv)"),
        (["../fruit.csv", "--set", "data_dir=two"], "two/../fruit.csv (csv)"),
        (["one"], "one/only.csv (csv)"),
        (["one/"], "one/only.csv (csv)"),
        ([".", "--set", "data_dir=one"], "only.csv (csv)"),
    ],
)
def test_a_path_or_a_name_may_be_given(check, arguments, kind):
    code, said, errors = check(*arguments)
    assert code == 0 and errors == "" and kind in said.splitlines()[0]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing.csv"], "there is no "),
        (
            ["array.npy"],
            "an .npz file, a .csv file, or folders of images, one per class (np.savez(FILE, x_train=..., y_train=",
        ),
        (["notes.txt"], "notes.txt is not a data set, expected an .npz file"),
        (["train"], "the folder train/cat has no images"),
        (["empty"], "empty must have a folder for each of 2 or more classes, got 0"),
        (["two"], "two holds more than one data set (name one: csv:two/a.csv, csv:two/b.csv)"),
        (["."], ". holds more than one data set (name one: csv:fruit.csv, npz:toy.npz)"),
        (["mixed"], "mixed holds more than one data set (name one: csv:mixed/a.csv, images:mixed)"),
        (["two", "--set", "data_dir=.."], "there is no "),
        (["a.csv"], "there is no "),
        (["pipe.csv"], "pipe.csv is neither a file nor a folder"),
        (["csv:pipe.csv"], "pipe.csv is no file"),
        (
            ["pictures", "--set", "label_column=0"],
            "dataset.label_column has no effect on images:pictures: it is for csv",
        ),
        (["pictures", "--set", "channels_first=true"], "dataset.channels_first has no effect on images:pictures"),
        (["fruit.csv", "--set", "channels_first=true"], "dataset.channels_first has no effect on csv:fruit.csv"),
        (
            ["digits", "--set", "channels_first=true"],
            "dataset.channels_first has no effect on digits: it is for images",
        ),
        (["digits", "--set", "label_column=1"], "dataset.label_column has no effect on digits"),
        (["toy.npz", "--set", "label_column=y"], "dataset.label_column has no effect on npz:toy.npz"),
        (
            ["fruit.csv", "--set", "dataset.scale=1e30"],
            "dataset.scale must be at least 1e-09 and at most 1000000000, got 1e+30",
        ),
        (["fruit.csv", "--set", "dataset.scale=NaN"], "dataset.scale must be "),
        (["fruit.csv", "--set", "partition=foo"], "dataset.partition must be iid, non_iid, shards or local, got 'foo'"),
        (
            ["fruit.csv", "--set", "dir_alpha=-1"],
            "dataset.dir_alpha must be at least 1e-06 and at most 1000000, got -1",
        ),
        (["fruit.csv", "--set", "shards_per_worker=0"], "dataset.shards_per_worker must be at least 1 and at most"),
        (["fruit.csv", "--set", "label_column=true"], "dataset.label_column must be a text or null, got True"),
        (["fruit.csv", "--set", "label_column="], "dataset.label_column must be a text that is not empty, got ''"),
        (
            ["fruit.csv", "--set", "input_shape=[1,2,100001]"],
            "dataset.input_shape must be a list [height, width, channels], such as [32,32,3] for a color "
            "picture, of whole numbers in 1..100000",
        ),
        (["fruit.csv", "--set", "dataset.label_column=colour"], "fruit.csv has no column 'colour'"),
        (["fruit.csv", "--set", "dataset.lable_column=0"], "--set must be dataset.KEY=VALUE, got"),
        (["fruit.csv", "--set", "model.lr=1"], "--set must be dataset.KEY=VALUE, got 'model.lr=1'"),
        (["fruit.csv", "--set", "dataset.scale=1e-320"], "dataset.scale must be at least 1e-09 and at most"),
        (
            ["fruit.csv", "--set", "dataset.scale=0"],
            "dataset.scale must be at least 1e-09 and at most 1000000000, got 0.0",
        ),
        (["fruit.csv", "--set", "dataset.scale=much"], "dataset.scale must be a number or null, got 'much'"),
        (["fruit.csv", "--set", "dataset.channels=2"], "dataset.channels must be 1 or 3, got 2"),
        (
            ["fruit.csv", "--set", "dataset.input_shape=[8,8]"],
            "such as [32,32,3] for a color picture, of whole numbers in 1..100000, got [8, 8]",
        ),
        (["fruit.csv", "--set", "dataset.test_fraction=1"], "dataset.test_fraction must be > 0 and < 1, got 1.0"),
        (["fruit.csv", "--set", "dataset.partition=local"], "fruit.csv has texts as classes"),
    ],
)
def test_what_can_not_be_used_is_one_sentence_and_exit_code_2(check, arguments, words):
    code, said, errors = check(*arguments)
    assert (code, said) == (2, "")
    assert errors.startswith("python -m flq.data: error: ") and errors.count("\n") == 1 and words in errors


VALUES = [
    "null",
    "auto",
    "true",
    "false",
    "0",
    "1",
    "3",
    "-1",
    "2.0",
    "0.5",
    "1e9",
    "1e30",
    "1e-9",
    "9e-10",
    "NaN",
    "1e400",
]
VALUES += ["", "x", "[1,2,3]", "[1,2]", "[1,2,0]", "[1,2,100001]", "{}", '"0"', "iid", "local", "2000000"]


@pytest.mark.parametrize("key", [key for key in DatasetSettings._fields if key != "name"])
@pytest.mark.parametrize("value", VALUES)
def test_set_takes_what_the_master_takes(key, value):
    found = []
    for read in (lambda word: section_with(DatasetSettings(), [word]), lambda word: load_config(None, [word]).dataset):
        try:
            found.append(getattr(read("dataset.%s=%s" % (key, value)), key))
        except ConfigError:
            found.append("refused")
    assert found[0] == found[1] and type(found[0]) is type(found[1])


@pytest.mark.parametrize("arguments", [[], ["look", "x"], ["check"], ["check", "a", "b"]])
def test_wrong_flags_are_one_sentence_and_exit_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    errors = capsys.readouterr().err
    assert caught.value.code == 2 and errors.count("\n") == 1 and "error: " in errors


@pytest.mark.parametrize("name", ["a\nb.csv", "c\x1b[31m d'e\\.csv", "caf\u00e9\t.csv"])
def test_the_command_of_a_path_with_control_characters_names_it(check, name):
    with open(name, "w") as table:
        table.write(CSV)
    code, said, _ = check(name)
    assert code == 0 and all(line.isprintable() for line in said.splitlines()[3:])
    command = "printf %%s %s" % said.splitlines()[-1].split("--set ")[1]
    shown = subprocess.run(["bash", "-c", os.fsencode(command)], stdout=subprocess.PIPE, check=True).stdout
    assert shown == b"dataset.name=csv:" + os.fsencode(name)


def test_bytes_of_a_path_that_are_no_text_are_written_in_hex():
    assert _written("csv:caf\udce9.csv") == "$'csv:caf\\xe9.csv'"


def test_a_test_fraction_without_effect_is_noted(check):
    note = "note: dataset.test_fraction has no effect: digits has a test set"
    assert note in check("digits", "--set", "test_fraction=0.2")[1].splitlines()
    assert "test_fraction has no effect" not in check("digits")[1] + check("fruit.csv", "--set", "test_fraction=0.2")[1]


def test_an_alias_is_a_name():
    assert name_of("fmnist") == "fmnist"


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "flq.data", "check", "digits"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, universal_newlines=True)
    assert done.stdout.startswith("data          digits\nsamples       1797 images of 8 x 8 x 1\n")
