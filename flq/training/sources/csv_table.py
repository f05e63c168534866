"""Reads a file of comma-separated numbers with a class.

``csv_heading`` decides what the first line is, ``csv_columns`` finds the class and row numbers, ``csv_format``
says what else a file may be.

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
from .csv_columns import class_columns, column_name, column_ordinal, counting_columns, label_position, row_numbers
from .csv_format import cure_of, no_columns, no_text, other_width, quote_hint, refuse_other_separators, used_width
from .csv_heading import Decision, FirstLine, decide
from .labels import is_missing, number_of
from .seen import counted, listed, one_line

Line = Tuple[int, List[str]]  # number in the file, and cells


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
    n_blank, first = 0, next(lines, None)
    while first is not None and _is_blank(first[1]):
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
    reader = _Reader(path, len(cells), width, label, cells if has_names else None)
    for row in [second] if second is not None else []:
        reader.add(row)
    for row in lines:
        reader.add(row)
    is_indexed = not cells[0] and label > 0 and bool(counting_columns(reader.features()[:, :1]))
    decision = decide(path, FirstLine(first[0], cells[:width], label, is_named, is_indexed), reader.labels)
    if not decision.is_heading:
        above = _Reader(path, len(cells), width, label, None)
        above.add(first)
        reader.values, reader.labels = above.values + reader.values, above.labels + reader.labels
        reader.lines = above.lines + reader.lines
    reader.n_blank += n_blank
    return _table(path, reader, cells[:width] if decision.is_heading else None, decision)


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
    names : list of n_columns str, or None
        For errors.
    """

    def __init__(self, path: str, n_columns: int, width: int, label: int, names: Optional[List[str]]) -> None:
        self.values, self.labels, self.lines = array("f"), [], array("q")  # type: ignore[var-annotated]
        self.n_blank = 0
        self.width, self.label = width, label
        self._path, self._n_columns, self._names = path, n_columns, names

    def features(self) -> np.ndarray:
        """Return what was read, of shape (n, width - 1), float32."""
        return np.frombuffer(self.values, np.float32).reshape(len(self.labels), self.width - 1)

    def add(self, line: Line) -> None:
        """Add a line; raise DataError if it is not numbers and a class."""
        number, row = line
        if len(row) != self._n_columns:
            raise other_width(self._path, number, row, self._n_columns)
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
        features = [i for i in range(self.width) if i != self.label]
        column = next(i for i in features if number_of(row[i]) is None)
        cell = row[column].strip()
        if is_missing(cell):
            hint = "fill in the missing value, or remove the row"
        elif all(number_of(row[i]) is None for i in features) and len(features) > 1:
            hint = "remove the line if it is not a sample; otherwise give each text a number, or remove the columns"
        else:
            hint = cure_of(cell) or (
                "give each text a number, or remove the column; dataset.label_column names the column of the class"
            )
        named = " (%s)" % self._names[column][:40] if self._names and self._names[column] else ""
        return DataError(
            "%s, line %d, column %d%s must be a number, got %r" % (self._path, line, column + 1, named, cell[:40]),
            hint=hint,
        )


def _table(path: str, reader: _Reader, heading: Optional[List[str]], decision: Decision) -> Table:
    """Return the table of what was read; leave out row numbers."""
    if not reader.labels:
        raise DataError("%s has no rows" % path)
    width, label, features = reader.width, reader.label, reader.features()
    positions = [i for i in range(width) if i != label]
    names = [column_name(heading, i) for i in positions]
    _require_finite(path, features, reader.lines, positions, names)
    notes, warnings = list(decision.notes), list(decision.warnings)
    if reader.n_blank:
        verbs = "has only commas and is" if reader.n_blank == 1 else "have only commas and are"
        notes.append("%s of %s %s not used" % (counted(reader.n_blank, "line"), path, verbs))
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
    n_classes = len(set(reader.labels))
    if n_classes > len(reader.labels) // 2 and len(reader.labels) >= 10:
        warnings.append(
            "%d rows of %s have %d classes; dataset.label_column names the column of the class"
            % (len(reader.labels), path, n_classes)
        )
    label_name = "%s (%s)" % (column_name(heading, label), column_ordinal(label, width))
    return Table(features, reader.labels, reader.lines, names, label, label_name, notes, warnings)


def _is_blank(row: List[str]) -> bool:
    return len(row) > 1 and not any(cell.strip() for cell in row)


def _lines(path: str) -> Iterator[Line]:
    """Yield the lines that are not empty."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, skipinitialspace=True)
            for row in reader:
                if len(row) > 1 or row and row[0].strip():
                    yield reader.line_num, row
    except OSError as error:
        raise DataError("%s cannot be read: %s" % (path, error.strerror or error)) from None
    except UnicodeDecodeError as error:
        raise no_text(path, error) from None
    except csv.Error as error:
        raise DataError("%s is not a CSV file: %s" % (path, error), hint="a quote may not be closed") from None


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
