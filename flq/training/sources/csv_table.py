"""Reads a file of comma-separated numbers with a class; ``csv_heading`` decides what its first line is.

Example
-------
>>> with open("toy.csv", "w") as stream:
...     _ = stream.write("width,kind\\n0.5,fig\\n0.25,pear\\n")
>>> table = read_table("toy.csv", None)
>>> table.features.tolist(), table.labels, table.label_name
([[0.5], [0.25]], ['fig', 'pear'], "column 'kind' (the last)")
"""

import csv
from array import array
from typing import Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from ...errors import DataError
from .csv_heading import (
    column_name,
    column_ordinal,
    heading_remarks,
    is_heading,
    is_heading_by_classes,
    label_position,
    no_columns,
    refuse_other_separators,
    used_width,
)
from .labels import is_missing, number_of
from .seen import one_line

Line = Tuple[int, List[str]]  # number in the file, and cells

ROW_HEADINGS = ("", "unnamed: 0", "index", "id", "row", "no", "nr")
DROPPED = ("", "unnamed: 0")  # headings of the row numbers that pandas writes
LEAST_COUNTED = 3  # rows from which a column 0, 1, 2, ... is taken for row numbers
TRUTHS = ("true", "false", "yes", "no")


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
    lines = _lines(path)
    first, second = next(lines, None), next(lines, None)
    if first is None:
        raise DataError("%s has no rows" % path)
    cells = [one_line(cell).strip() for cell in first[1]]
    if cells[0].startswith("#"):  # as numpy.savetxt writes a heading
        cells[0] = cells[0][1:].strip()
    below = [] if second is None else [one_line(cell).strip() for cell in second[1]]
    if len(cells) < 2:
        raise no_columns(path, first[0], first[1][0], below)
    width = used_width(cells, below)
    label, is_named = label_position(path, cells[:width], label_column)
    refuse_other_separators(path, [row[:label] + row[label + 1 :] for row in (cells, below) if row])
    reader = _Reader(path, len(cells), width, label)
    heading: Optional[List[str]] = cells[:width]
    undecided = not (is_named or is_heading(heading, below, label))
    if not undecided:
        reader.names = heading
    for row in [second] if second is not None else []:
        reader.add(row)
    for row in lines:
        reader.add(row)
    if undecided and not is_heading_by_classes(heading, below, label, reader.labels):
        above = _Reader(path, len(cells), width, label)
        above.add(first)
        reader.values, reader.labels = above.values + reader.values, above.labels + reader.labels
        reader.lines, heading = above.lines + reader.lines, None
    return _table(path, reader, cells[:width], heading, first[0])


class _Reader:
    """Collects rows.

    Parameters
    ----------
    n_columns : int
        Of each line.
    width : int
        The columns after these are empty in every line.
    label : int
        Position of the class.
    """

    def __init__(self, path: str, n_columns: int, width: int, label: int) -> None:
        self.values, self.labels, self.lines = array("f"), [], array("q")  # type: ignore[var-annotated]
        self.names: Optional[List[str]] = None
        self.n_blank = 0
        self.width, self.label, self._path, self._n_columns = width, label, path, n_columns

    def add(self, line: Line) -> None:
        """Add a line; raise DataError if it is not numbers and a class."""
        number, row = line
        if len(row) != self._n_columns:
            raise DataError(
                "%s, line %d has %d columns, the first line has %d" % (self._path, number, len(row), self._n_columns)
            )
        text = "".join(row)
        if not text or text.isspace():
            self.n_blank += 1
            return
        if self.width < self._n_columns:
            self._check_end(number, row)
        cells = row[: self.width]
        self.labels.append(cells.pop(self.label).strip())
        self.lines.append(number)
        try:
            if "_" in text and "_" in "".join(cells):  # Python reads 1_0 as 10
                raise ValueError
            self.values.extend(map(float, cells))
        except ValueError:
            raise self._no_number(number, row) from None

    def _check_end(self, line: int, row: List[str]) -> None:
        """Reject a line with a value where the first lines end with a comma."""
        for column in range(self.width, self._n_columns):
            if row[column].strip():
                raise DataError(
                    "%s, line %d, column %d has a value, but the first lines end with a comma there"
                    % (self._path, line, column + 1)
                )

    def _no_number(self, line: int, row: List[str]) -> DataError:
        column = next(i for i, cell in enumerate(row[: self.width]) if i != self.label and number_of(cell) is None)
        cell = row[column].strip()
        hint = "give each text a number, or remove the column; dataset.label_column names the column of the class"
        if is_missing(cell):
            hint = "fill in the missing value, or remove the row"
        elif number_of(cell.replace(",", ".")) is not None:
            hint = "write decimals with a point"
        elif cell.lower() in TRUTHS:
            hint = "write 1 and 0"
        named = "" if self.names is None or not self.names[column] else " (%s)" % self.names[column][:40]
        return DataError(
            "%s, line %d, column %d%s must be a number, got %r" % (self._path, line, column + 1, named, cell[:40]),
            hint=hint,
        )


def _table(path: str, reader: _Reader, cells: List[str], heading: Optional[List[str]], first_line: int) -> Table:
    """Return the table of what was read; leave out row numbers."""
    if not reader.labels:
        raise DataError("%s has no rows" % path)
    width, label = reader.width, reader.label
    features = np.frombuffer(reader.values, np.float32).reshape(len(reader.labels), width - 1)
    positions = [i for i in range(width) if i != label]
    names = [column_name(heading, i) for i in positions]
    _require_finite(path, features, reader.lines, positions, names)
    notes, warnings = heading_remarks(path, cells, heading, positions, label, first_line)
    if reader.n_blank:
        notes.append("%d lines of %s have only commas and are not used" % (reader.n_blank, path))
    counted = [] if len(features) < LEAST_COUNTED else [i for i in range(width - 1) if _counts(features[:, i])]
    if counted and heading is not None and heading[positions[counted[0]]].lower() in DROPPED and width > 2:
        kept = [i for i in range(width - 1) if i != counted[0]]
        notes.append("%s of %s counts the rows and is not used" % (names[counted[0]], path))
        features, names, counted = np.ascontiguousarray(features[:, kept]), [names[i] for i in kept], counted[1:]
    elif heading is not None and heading[positions[0]].lower() in ROW_HEADINGS and not counted:
        counted = [0] if _all_different_whole(features[:, 0]) else []
    for i in counted[:1]:
        warnings.append(
            "%s of %s looks like row numbers, and a model would learn from them; remove it if it is not a feature"
            % (names[i], path)
        )
    n_classes = len(set(reader.labels))
    if n_classes > len(reader.labels) // 2 and len(reader.labels) >= 10:
        warnings.append(
            "%d rows of %s have %d classes; dataset.label_column names the column of the class"
            % (len(reader.labels), path, n_classes)
        )
    label_name = "%s (%s)" % (column_name(heading, label), column_ordinal(label, width))
    return Table(features, reader.labels, reader.lines, names, label, label_name, notes, warnings)


def _lines(path: str) -> Iterator[Line]:
    """Yield the lines that are not empty."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            for row in reader:
                if len(row) > 1 or row and row[0].strip():
                    yield reader.line_num, row
    except OSError as error:
        raise DataError("%s cannot be read: %s" % (path, error.strerror or error)) from None
    except UnicodeDecodeError as error:
        raise DataError("%s is not a CSV file: %s" % (path, error), hint="save it as UTF-8") from None
    except csv.Error as error:
        raise DataError("%s is not a CSV file: %s" % (path, error)) from None


def _counts(column: np.ndarray) -> bool:
    """Return whether a column is 0, 1, 2, ... or 1, 2, 3, ..."""
    if column[0] not in (0.0, 1.0) or column[1] != column[0] + 1.0:
        return False
    return bool((column == np.arange(len(column), dtype=np.float32) + column[0]).all())


def _all_different_whole(column: np.ndarray) -> bool:
    return len(column) >= LEAST_COUNTED and bool(
        (column == np.floor(column)).all() and len(np.unique(column)) == len(column)
    )


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
