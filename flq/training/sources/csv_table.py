"""Reads a file of comma-separated numbers with a class.

``csv_rows`` reads the rows, ``csv_heading`` decides what the first line is, ``csv_columns`` finds the class and row
numbers, ``csv_format`` says what else a file may be.

Example
-------
>>> with open("toy.csv", "w") as stream:
...     _ = stream.write("width,kind\\n0.5,fig\\n0.25,pear\\n")
>>> table = read_table("toy.csv", None)
>>> table.features.tolist(), table.labels, table.label_name
([[0.5], [0.25]], ['fig', 'pear'], "column 'kind' (the last)")
"""

from array import array
from itertools import chain
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from ...errors import DataError
from .csv_columns import class_columns, column_name, column_ordinal, counting_columns, label_position, row_numbers
from .csv_format import no_columns, other_width, quote_hint, refuse_other_separators, used_width
from .csv_heading import Decision, FirstLine, decide
from .csv_rows import Rows, is_blank, lines_of
from .labels import number_of
from .seen import counted, listed, one_line


class Table(NamedTuple):
    """The content of a file.

    Attributes
    ----------
    features : ndarray of shape (n, n_features), float32
    labels : list of str
        Without blanks around them.
    lines : array of int
        The line of each row in the file.
    columns : list of str
        How to name each feature: "column 'height'", or "column 2".
    label_column : int
        From 0.
    label_name : str
        How to name the column of the class, such as "column 'kind' (the last)".
    notes, warnings : list of str
    """

    features: np.ndarray
    labels: List[str]
    lines: array
    columns: List[str]
    label_column: int
    label_name: str
    notes: List[str]
    warnings: List[str]


def read_table(path: str, label_column: Optional[str]) -> Table:
    """Read a file.

    Parameters
    ----------
    label_column : str or None
        ``dataset.label_column``: a heading, or a number from 0, negative from the end.

    Raises
    ------
    DataError
        If it cannot be read as a table, or what it means is ambiguous.
    """
    lines = lines_of(path)
    n_blank, first = 0, next(lines, None)
    while first is not None and is_blank(first[1]):
        n_blank, first = n_blank + 1, next(lines, None)
    if first is None:
        raise DataError("%s has no rows" % path)
    second = next(lines, None)
    cells = [one_line(cell).strip() for cell in first[1]]
    if cells[0].startswith("#"):  # as numpy.savetxt writes a heading
        cells[0] = cells[0][1:].strip()
    below = [] if second is None else [cell.strip() for cell in second[1]]
    if len(cells) < 2:
        raise no_columns(path, first[0], first[1][0], below)
    if second is not None and len(below) != len(cells):
        hint = "name every column in the first line; remove the line if it is not part of the table"
        raise other_width(path, second[0], second[1], len(cells), hint)
    if second is None and quote_hint(first[1]):
        raise DataError("%s has no rows after line %d" % (path, first[0]), hint=quote_hint(first[1]))
    width = used_width(cells, below)
    label, is_named = label_position(path, cells[:width], label_column)
    refuse_other_separators(path, [row[:label] + row[label + 1 :] for row in (first[1], below) if row])
    has_names = all(number_of(cell) is None for i, cell in enumerate(cells[:width]) if i != label)
    rows = Rows(path, len(cells), width, label, cells if has_names else None)
    for line in chain([second] if second is not None else [], lines):
        rows.add(line)
    is_indexed = not cells[0] and label > 0 and bool(counting_columns(rows.features()[:, :1]))
    decision = decide(path, FirstLine(first[0], cells[:width], label, is_named, is_indexed), rows.labels)
    if not decision.is_heading:
        above = Rows(path, len(cells), width, label, None)
        above.add(first)
        rows.values, rows.labels = above.values + rows.values, above.labels + rows.labels
        rows.lines = above.lines + rows.lines
    rows.n_blank += n_blank
    return _table(path, rows, cells[:width] if decision.is_heading else None, decision)


def _table(path: str, rows: Rows, heading: Optional[List[str]], decision: Decision) -> Table:
    """Return the table of what was read; leave out row numbers."""
    if not rows.labels:
        raise DataError("%s has no rows" % path)
    width, label, features = rows.width, rows.label, rows.features()
    positions = [i for i in range(width) if i != label]
    names = [column_name(heading, i) for i in positions]
    _require_finite(path, features, rows.lines, positions, names)
    notes, warnings = list(decision.notes), list(decision.warnings)
    if rows.n_blank:
        verbs = "has only commas and is" if rows.n_blank == 1 else "have only commas and are"
        notes.append("%s of %s %s not used" % (counted(rows.n_blank, "line"), path, verbs))
    found = row_numbers(features, None if heading is None else [heading[i] for i in positions])
    if found.likely:
        words = "looks like row numbers, and a model would learn from them; remove it if it is not a feature"
        if len(found.likely) > 1:
            words = "look like row numbers, and a model would learn from them; remove those that are not features"
        warnings.append("%s of %s %s" % (listed([names[i] for i in found.likely]), path, words))
    if heading is not None:
        warnings += [
            "%s of %s is a feature, though its heading calls it a class: remove it if a model must not learn from it"
            % (column_name(heading, i), path)
            for i in class_columns(heading)
            if i != label
        ]
    if found.written:
        notes += ["%s of %s counts the rows and is not used" % (names[i], path) for i in found.written]
        kept = [i for i in range(width - 1) if i not in found.written]
        features, names = np.ascontiguousarray(features[:, kept]), [names[i] for i in kept]
        if not kept:
            raise DataError("%s has no features: %s" % (path, "; ".join(notes)))
    n_classes = len(set(rows.labels))
    if n_classes > len(rows.labels) // 2 and len(rows.labels) >= 10:
        warnings.append(
            "%d rows of %s have %d classes; dataset.label_column names the column of the class"
            % (len(rows.labels), path, n_classes)
        )
    label_name = "%s (%s)" % (column_name(heading, label), column_ordinal(label, width))
    return Table(features, rows.labels, rows.lines, names, label, label_name, notes, warnings)


def _require_finite(path: str, features: np.ndarray, lines: array, positions: List[int], names: List[str]) -> None:
    row, column = _first_bad(features)
    if row >= 0:
        heading = names[column] if "'" in names[column] else "column %d" % (positions[column] + 1)
        raise DataError(
            "%s, line %d, %s must be a finite number within float32, got %s"
            % (path, lines[row], heading, features[row, column]),
            hint="fill in the missing value, or remove the row",
        )


def _first_bad(features: np.ndarray) -> Tuple[int, int]:
    """Return row and column of the first value that is not finite, or -1, -1."""
    for start in range(0, len(features), 4096):
        bad = np.argwhere(~np.isfinite(features[start : start + 4096]))
        if len(bad):
            return start + int(bad[0][0]), int(bad[0][1])
    return -1, -1
