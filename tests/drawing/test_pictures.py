"""Figures as files: reproducible bytes, text as text, atomic writes, and unchanged settings."""

import os

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib import rcParams  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402

from flq.drawing import pictures  # noqa: E402
from flq.drawing.classes import class_colours, class_figure  # noqa: E402
from flq.drawing.pictures import picture, replace, write_pictures  # noqa: E402
from flq.drawing.style import COLUMN, DPI, FALLBACKS, families, legend_above, new_figure, plain, styled  # noqa: E402

COUNTS = np.arange(20).reshape(4, 5)


@styled
def a_figure(label="one"):
    figure, axes = new_figure()
    drawn = axes.plot([1, 2], [3, 4], label=plain(label))
    legend_above(figure, drawn)
    return figure


@pytest.mark.parametrize("form", pictures.FORMATS)
def test_the_same_figure_is_the_same_bytes(form):
    contents = {picture(a_figure(), form) for _ in range(2)}
    (content,) = contents
    assert b"date" not in content.lower() and b"tIME" not in content
    assert picture(a_figure("two"), form) != content


def test_a_png_is_as_wide_as_a_column_of_a_paper(tmp_path):
    image = pytest.importorskip("PIL.Image")
    path, _ = write_pictures(a_figure(), str(tmp_path), "one")
    with image.open(path) as opened:
        assert opened.format == "PNG" and opened.size[0] == int(COLUMN * DPI)


@pytest.mark.parametrize("label", ["a$^^$.npz", "$x_{$", "one $ only", "<script>alert(1)</script>"])
def test_an_untrusted_name_is_text_in_an_svg(label):
    content = picture(a_figure(label), "svg").decode()
    assert label.replace("<", "&lt;").replace(">", "&gt;") in content
    assert "<script" not in content


def test_control_characters_and_long_names_are_cut():
    assert plain("a\nb\x1b") == "a\ufffdb\ufffd"
    assert len(plain("x" * 500)) == 40 and plain("x" * 500).endswith("...")


def test_a_missing_glyph_raises_no_warning(monkeypatch):
    monkeypatch.setattr("flq.drawing.style.families", lambda: ("DejaVu Sans",))
    assert len(picture(a_figure("\u57fa\u7ebf"), "png")) > 1000


def test_chinese_letters_have_a_font_if_installed():
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    assert set(families()) <= installed
    assert (len(families()) == 2) == bool(installed & set(FALLBACKS))


def test_settings_of_others_are_neither_used_nor_changed(monkeypatch):
    before = picture(a_figure(), "svg")
    monkeypatch.setitem(rcParams, "font.size", 30)
    monkeypatch.setitem(rcParams, "svg.fonttype", "path")
    assert picture(a_figure(), "svg") == before
    assert rcParams["font.size"] == 30 and rcParams["svg.fonttype"] == "path"


@pytest.mark.parametrize(
    "labels, n_columns", [(["a", "b", "c"], 3), (["x" * 40, "y" * 9], 1), (["x" * 25, "y" * 12, "z" * 9], 2)]
)
def test_a_legend_has_as_many_columns_as_there_is_room_for(labels, n_columns):
    @styled
    def with_legend():
        figure, _ = new_figure(height=2.0)
        legend_above(figure, [Patch(label=label) for label in labels])
        return figure

    figure = with_legend()
    assert figure.legends[0]._ncols == n_columns
    assert (figure.get_figheight() > 2.0) == (n_columns < len(labels))


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = str(tmp_path / "a.png")
    replace(path, b"old")

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(pictures.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        replace(path, b"new")
    assert os.listdir(str(tmp_path)) == ["a.png"]
    with open(path, "rb") as stream:
        assert stream.read() == b"old"


def test_wide_pieces_show_the_number_of_their_class():
    axes = class_figure(np.array([[90, 10, 0], [0, 1, 99]])).axes[0]
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [
        ("0", (45.0, 0)),
        ("1", (95.0, 0)),
        ("2", (50.5, 1)),
    ]
    assert axes.get_xlabel() == "training samples" and axes.get_ylabel() == "worker"
    assert axes.yaxis_inverted() and axes.get_title() == ""


def test_bars_end_where_the_counts_do():
    axes = class_figure(COUNTS).axes[0]
    ends = np.array([[path.vertices[:, 0].max() for path in piece.get_paths()] for piece in axes.collections[1:]])
    assert ends.T.tolist() == np.cumsum(COUNTS, axis=1)[:, 1:].tolist()


@pytest.mark.parametrize("n_classes", [1, 2, 10, 11, 150])
def test_no_two_classes_are_alike(n_classes):
    assert len(set(map(tuple, class_colours(n_classes)))) == n_classes
