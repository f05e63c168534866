"""Finds the column of the class and those of row numbers, by headings and values.

Example
-------
>>> [name for name in ("Class Label", "targets", "class_size", "pixel0") if is_class_heading(name)]
['Class Label', 'targets']
"""

import re
import shlex
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from ...errors import DataError
from .labels import number_of
from .seen import listed, one_line

CLASS_WORDS = (
    ("label", "labels", "class", "classes", "target", "targets", "y", "species", "category", "categories")
    + ("outcome", "outcomes", "diagnosis", "digit", "digits")
)  # fmt: skip
NUMBER_WORDS = ("id", "index", "idx", "row", "no", "nr")
WORDS_BESIDE = NUMBER_WORDS + ("name", "code", "number")  # a class may be called "class name"
PANDAS_INDEX = re.compile(r"(unnamed: 0(\.\d+)*)?$", re.IGNORECASE)
LEAST_COUNTED = 3  # rows from which a column that counts is taken for row numbers


def is_class_heading(heading: str) -> bool:
    """Return whether a heading calls its column the class."""
    words = _words(heading)
    return any(word in CLASS_WORDS for word in words) and all(word in CLASS_WORDS + WORDS_BESIDE for word in words)


def class_columns(cells: List[str]) -> List[int]:
    """Return the positions of the columns that a heading calls the class; ``y`` beside ``x`` is a coordinate."""
    has_x = any(cell.lower() == "x" for cell in cells)
    return [i for i, cell in enumerate(cells) if is_class_heading(cell) and not (has_x and cell.lower() == "y")]


def label_position(path: str, cells: List[str], wanted: Optional[str]) -> Tuple[int, bool]:
    """Return the position of the class, and whether ``dataset.label_column`` is the text of that cell.

    Raises
    ------
    DataError
        If there is no such column, or if ``wanted`` is None and another column than the last is called the class.
    """
    if wanted is not None:
        return _wanted_position(path, cells, one_line(wanted).strip())
    named = class_columns(cells)
    if named in ([], [len(cells) - 1]):
        return len(cells) - 1, False
    if len(named) == 1:
        raise DataError(
            "%s: the heading calls column %d %r, but FLQ takes the class from the last column, %r"
            % (path, named[0] + 1, cells[named[0]], cells[-1][:40]),
            hint="set dataset.label_column=%s, or -1 for the last column" % setting_of(cells, named[0]),
        )
    raise DataError(
        "%s: the heading calls %d columns the class: %s"
        % (path, len(named), listed(["column %d %r" % (i + 1, cells[i][:40]) for i in named])),
        hint="set dataset.label_column=%s; remove the others if a model must not learn from them"
        % " or ".join(setting_of(cells, i) for i in named[:5]),
    )


def setting_of(cells: List[str], position: int) -> str:
    """Return the value of ``dataset.label_column`` for a column, as a shell takes it."""
    return shlex.quote(cells[position]) if cells.count(cells[position]) == 1 else str(position)


def _wanted_position(path: str, cells: List[str], wanted: str) -> Tuple[int, bool]:
    found = [i for i, cell in enumerate(cells) if cell == wanted] or [
        i for i, cell in enumerate(cells) if cell.lower() == wanted.lower()
    ]
    if len(found) > 1:
        raise DataError(
            "%s has %d columns %r, which dataset.label_column names" % (path, len(found), wanted),
            hint="give its number, from 0",
        )
    if found and number_of(wanted) is None:
        return found[0], True
    try:
        position = int(wanted)
    except ValueError:
        raise DataError(
            "%s has no column %r, which dataset.label_column names; its first line is %s"
            % (path, wanted, listed([cell[:40] for cell in cells], 12))
        ) from None
    if not -len(cells) <= position < len(cells):
        raise DataError(
            "dataset.label_column is %d, but %s has %d columns, 0 to %d" % (position, path, len(cells), len(cells) - 1)
        )
    return position % len(cells), False


class RowNumbers(NamedTuple):
    """The columns of features that number the rows.

    Attributes
    ----------
    written : list of int
        Those that pandas writes: the heading is empty or ``Unnamed: 0``.
    likely : list of int
        Others that count the rows, or are called a number or an id and differ in all rows.
    """

    written: List[int]
    likely: List[int]


def row_numbers(features: np.ndarray, headings: Optional[List[str]]) -> RowNumbers:
    """Return the columns that number the rows.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
    headings : list of n_features str, or None
    """
    counted = counting_columns(features)
    if headings is None:
        return RowNumbers([], counted)
    written = [i for i in counted if PANDAS_INDEX.match(headings[i])]
    different = [
        i
        for i, heading in enumerate(headings)
        if (PANDAS_INDEX.match(heading) or _words(heading)[-1] in NUMBER_WORDS) and _all_different_whole(features[:, i])
    ]
    return RowNumbers(written, sorted(set(counted + different) - set(written)))


def counting_columns(features: np.ndarray) -> List[int]:
    """Return the columns that count the rows, up or down, from any whole number."""
    if len(features) < LEAST_COUNTED:
        return []
    first, steps = features[0], features[1] - features[0]
    likely = np.flatnonzero((np.abs(steps) == 1.0) & (first == np.floor(first)))
    rows = np.arange(len(features), dtype=np.float64)
    return [int(i) for i in likely if bool((features[:, i] == rows * float(steps[i]) + float(first[i])).all())]


def _all_different_whole(column: np.ndarray) -> bool:
    return len(column) >= LEAST_COUNTED and bool(
        (column == np.floor(column)).all() and len(np.unique(column)) == len(column)
    )


def _words(heading: str) -> List[str]:
    """Return the words of a heading in lower case: "ClassLabel" and "class_label" have two."""
    return re.findall(r"[^\W_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", heading).lower()) or [""]


def column_name(heading: Optional[List[str]], position: int) -> str:
    """Return how to name a column, such as "column 'height'" or "column 2"."""
    if heading is None or not heading[position]:
        return "column %d" % (position + 1)
    return "column '%s'" % heading[position][:40]


def column_ordinal(position: int, width: int) -> str:
    """Return where a column is, such as "the last"."""
    if position == width - 1:
        return "the last"
    return "the first" if position == 0 else "number %d" % (position + 1)
