"""The class distribution: counts add up, the table is aligned, the figure is a picture."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from factory import settings_with

from flq.drawing import style
from flq.drawing.classes import class_figure
from flq.errors import DataError
from flq.training.datasets import load_dataset
from flq.training.distribution import class_counts, draw, main, table
from flq.training.partition import PARTITIONS, partition


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_counts_are_those_of_the_partition(name):
    settings = settings_with(partition=name, total_workers=5)
    counts = class_counts(settings)
    labels = load_dataset(settings).y_train
    assert counts.shape == (5, 10) and counts.dtype == np.int64
    assert counts.sum(axis=0).tolist() == np.bincount(labels).tolist()
    for row, shard in zip(counts, partition(labels, settings)):
        assert row.tolist() == [int((labels[shard] == label).sum()) for label in range(10)]


def test_partition_local_has_nothing_to_count(tmp_path):
    np.savez(str(tmp_path / "own.npz"), x_train=np.ones((9, 4)), y_train=np.arange(9) % 3)
    settings = settings_with(partition="local", dataset="npz:" + str(tmp_path / "own.npz"))
    with pytest.raises(DataError, match="each worker has its own files"):
        class_counts(settings)


def test_the_table_is_aligned():
    assert table(np.array([[1, 200], [30, 4]])).splitlines() == [
        "worker  samples  class 0  class 1",
        "     0      201        1      200",
        "     1       34       30        4",
        "   all      235       31      204",
    ]


def test_the_command_prints_the_table(capsys):
    assert main(["--partition", "shards", "--workers", "3", "--batch", "8", "--seed", "7"]) == 0
    counts = class_counts(settings_with(partition="shards", total_workers=3, batch_size=8, seed=7))
    assert capsys.readouterr().out == table(counts) + "\n"


def test_flags_reach_the_settings(capsys):
    outputs = set()
    for flags in (
        [],
        ["--partition", "non_iid"],
        ["--partition", "non_iid", "--dir_alpha", "9"],
        ["--partition", "shards"],
        ["--partition", "shards", "--shards_per_worker", "5"],
        ["--seed", "1"],
    ):
        assert main(flags) == 0
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 6


def test_the_legend_has_the_names_of_the_classes():
    pytest.importorskip("matplotlib")
    figure = class_figure(np.ones((2, 3), int), "spread", ["fig", "$x_{$", "a" * 50])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["0 fig", r"1 \$x_{\$", "2 " + "a" * 15 + "..."]


def test_names_without_glyphs_are_numbers_with_one_note(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(style, "FALLBACKS", ())
    style.families.cache_clear()
    style._glyphs.cache_clear()
    names = ["\u732b", "dog", "\u9ce5\u732b"]
    np.savez(str(tmp_path / "a.npz"), x_train=np.ones((60, 4, 4)), y_train=np.array(names)[np.arange(60) % 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = [text.get_text() for text in class_figure(np.ones((2, 3), int), "", names).legends[0].get_texts()]
        path = str(tmp_path / "\u732b.png")
        assert main(["--dataset", "npz:a.npz", "--data_dir", str(tmp_path), "--batch", "4", "--out", path]) == 0
    assert texts == ["0", "1 dog", "2"]
    notes = [line for line in capsys.readouterr().err.splitlines() if "font" in line]
    assert len(notes) == 1 and notes[0].startswith("note: no font here has \u732b\u9ce5: the figure shows numbers")
    style.families.cache_clear()
    style._glyphs.cache_clear()


def test_letters_that_a_font_has_are_drawn():
    pytest.importorskip("matplotlib")
    assert style.lacking("fig \u00e9 \u03b1 $") == ""


def test_the_columns_have_the_names_of_the_classes_and_settings_may_be_given(tmp_path, capsys):
    lines = ["%s,0.%d,0.5\n" % (["pear", "fig"][i % 2], i % 7) for i in range(40)]
    (tmp_path / "fruit.csv").write_text("kind,a,b\n" + "".join(lines))
    flags = ["--dataset", "csv:fruit.csv", "--data_dir", str(tmp_path), "--workers", "1", "--batch", "4"]
    assert main(flags + ["--set", "dataset.label_column=kind"]) == 0
    assert capsys.readouterr().out.split()[:4] == ["worker", "samples", "fig", "pear"]
    assert main(flags) == 2 and "must be a number, got 'pear'" in capsys.readouterr().err


@pytest.mark.parametrize("n_workers, n_classes", [(4, 10), (64, 10), (4096, 2), (6, 150)])
def test_the_picture_is_a_picture(tmp_path, n_workers, n_classes):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    path = str(tmp_path / "spread.png")
    draw(np.arange(n_workers * n_classes).reshape(n_workers, n_classes) % 7, "spread", path)
    with image.open(path) as picture:
        assert picture.format == "PNG" and picture.size[0] == 670 and 250 < picture.size[1] < 9000
        colours = picture.convert("RGB").getcolors(2**24)
    assert len(colours) > min(n_classes, 10)


@pytest.mark.parametrize("title", ["a$^^$.npz", "$x_{$", "price$ and \\alpha$", "one $ only"])
def test_a_title_is_no_mathematics(title):
    pytest.importorskip("matplotlib")
    text = class_figure(np.ones((2, 2), int), title).axes[0].title
    assert text._preprocess_math(text.get_text()) == (title, False)


def test_the_command_writes_the_figure_and_prints_its_path(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path = str(tmp_path / "spread.png")
    assert main(["--partition", "non_iid", "--out", path]) == 0
    assert capsys.readouterr().out.endswith("\nwritten: %s\n" % path)
    with open(path, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--dataset", "digit"], "dataset.name must be one of"),
        (["--dataset", "npz:no.npz"], "there is no"),
        (["--workers", "100"], "1437 training samples are fewer than"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(capsys, flags, sentence):
    assert main(flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m flq.training.distribution: error: ") and sentence in error
    assert error.count("\n") == 1


def test_a_picture_that_cannot_be_written_is_named(capsys):
    pytest.importorskip("matplotlib")
    assert main(["--out", "no/such/folder/a.png"]) == 2
    assert "no/such/folder/a.png cannot be written: No such file or directory" in capsys.readouterr().err


def test_without_matplotlib_there_is_still_a_table(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["--out", "a.png"]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("worker") and "--out needs the package matplotlib" in captured.err


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--partition", "local"], "invalid choice: 'local'"),
        (["--workers", "0"], "argument --workers: must be in 1..4096, got 0"),
        (["--dir_alpha", "nan"], "argument --dir_alpha: must be in"),
        (["--test_fraction", "0"], "argument --test_fraction: must be > 0"),
        (["--test_fraction", "1"], "argument --test_fraction: must be"),
        (["--out", "spread.gif"], "argument --out: must end in .png, got spread.gif"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_wrong_flags_are_one_sentence_and_exit_code_2(capsys, flags, sentence):
    with pytest.raises(SystemExit) as caught:
        main(flags)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "flq.training.distribution", "--workers", "2"], stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.decode().split()[:3] == ["worker", "samples", "class"]
