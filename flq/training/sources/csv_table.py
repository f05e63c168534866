"""Reads a file of comma-separated numbers, and decides what its first line and its columns are.

The first line is a heading if

* one of its columns before the class is a text, or
* it is the column numbers that pandas writes (0,1,2,...), or
* its class is a text, while all other classes are whole numbers or other texts than a usual name of the class.

A hole or a mark of a missing value (``NA``, ``?``) is never a heading. ``Table`` says what was decided.
"""

import csv
from array import array
from typing import Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from ...errors import DataError
from .labels import is_missing, is_whole, number_of
from .seen import listed

Line = Tuple[int, List[str]]  # number in the file, and cells

CLASS_HEADINGS = ("label", "labels", "class", "classes", "target", "y", "species", "category")
ROW_HEADINGS = ("", "unnamed: 0", "index", "id", "row", "no", "nr")
DROPPED = ("", "unnamed: 0")  # headings of the row numbers that pandas writes
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
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
    cells = [cell.strip() for cell in first[1]]
    if cells[0].startswith("#"):  # as numpy.savetxt writes a heading
        cells[0] = cells[0][1:].strip()
    below = [] if second is None else [cell.strip() for cell in second[1]]
    if len(cells) < 2:
        raise _no_columns(path, first[1][0])
    width = _width(cells, below)
    label, is_named = _label_position(path, cells[:width], label_column)
    _refuse_other_separators(path, [row[:label] + row[label + 1 :] for row in (cells, below) if row])
    reader = _Reader(path, len(cells), width, label)
    heading: Optional[List[str]] = cells[:width]
    undecided = not (is_named or _is_heading(heading, below, label))
    if not undecided:
        reader.names = heading
    for row in [second] if second is not None else []:
        reader.add(row)
    for row in lines:
        reader.add(row)
    if undecided and not _is_heading_of(heading, below, label, reader.labels):
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
    names = [_name(heading, i) for i in positions]
    _require_finite(path, features, reader.lines, positions, names)
    notes, warnings = _on_heading(path, cells, heading, positions, label, first_line)
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
            "%s of %s looks like row numbers, and a model would learn from them; remove it if it is no feature"
            % (names[i], path)
        )
    n_classes = len(set(reader.labels))
    if n_classes > len(reader.labels) // 2 and len(reader.labels) >= 10:
        warnings.append(
            "%d rows of %s have %d classes; dataset.label_column names the column of the class"
            % (len(reader.labels), path, n_classes)
        )
    label_name = "%s (%s)" % (_name(heading, label), _ordinal(label, width))
    return Table(features, reader.labels, reader.lines, names, label, label_name, notes, warnings)


def _on_heading(
    path: str, cells: List[str], heading: Optional[List[str]], positions: List[int], label: int, line: int
) -> Tuple[List[str], List[str]]:
    """Return notes and warnings on a first line that might be a heading or a sample."""
    if heading is None:
        if cells == [str(i + 1) for i in range(len(cells))] and len(cells) > 2:
            return [], ["line %d of %s is %s: remove it if it is a heading" % (line, path, ",".join(cells[:5]))]
        return [], []
    numbers = [i for i in positions if number_of(heading[i]) is not None]
    if not numbers:
        return [], []
    texts = [heading[i] for i in positions if heading[i] and number_of(heading[i]) is None]
    if texts and any(not is_whole(heading[i]) for i in numbers):
        return [], [
            "line %d of %s was taken for the heading, since %r is no number; correct it if it is a sample"
            % (line, path, texts[0][:40])
        ]
    if number_of(heading[label]) is not None or texts:
        return ["line %d of %s is a heading of column numbers, not a sample" % (line, path)], []
    return ["line %d of %s is the heading, since its class is %r" % (line, path, heading[label][:40])], []


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


def _width(cells: List[str], below: List[str]) -> int:
    """Return the number of columns without those after a comma at the end of both lines."""
    width = len(cells)
    while len(below) == len(cells) and width > 2 and not cells[width - 1] and not below[width - 1]:
        width -= 1
    return width


def _label_position(path: str, cells: List[str], wanted: Optional[str]) -> Tuple[int, bool]:
    """Return the position of the class, and whether ``dataset.label_column`` names it by the heading."""
    low = [cell.lower() for cell in cells]
    if wanted is not None:
        found = [i for i, cell in enumerate(cells) if cell == wanted] or [
            i for i, cell in enumerate(low) if cell == wanted.strip().lower()
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
                "dataset.label_column is %d, but %s has %d columns, 0 to %d"
                % (position, path, len(cells), len(cells) - 1)
            )
        return position % len(cells), False
    named = [i for i, cell in enumerate(low) if cell in CLASS_HEADINGS]
    if named and low[-1] not in CLASS_HEADINGS:
        raise DataError(
            "%s: the heading calls column %d %r, but FLQ takes the class from the last column, %r"
            % (path, named[0] + 1, cells[named[0]], cells[-1][:40]),
            hint="set dataset.label_column=%s, or -1 for the last column" % cells[named[0]],
        )
    return len(cells) - 1, False


def _is_heading(cells: List[str], below: List[str], label: int) -> bool:
    """Return whether the first line is a heading, whatever the classes are."""
    if _is_numbering(cells):
        return True
    if _is_indexed(cells, below) and cells[1:] == [str(i) for i in range(len(cells) - 1)]:
        return True
    return any(number_of(cell) is None and not is_missing(cell) for i, cell in enumerate(cells) if i != label)


def _is_heading_of(cells: List[str], below: List[str], label: int, labels: List[str]) -> bool:
    """Return whether a first line whose features are all numbers or holes is a heading, by the other classes."""
    text = cells[label]
    if number_of(text) is not None or is_missing(text) or text in labels:
        return False
    features = cells[:label] + cells[label + 1 :]
    if _is_indexed(cells, below):
        features = features[1:]
    if any(is_missing(cell) for cell in features):
        return False
    return all(is_whole(other) for other in set(labels)) or _is_numbering(features)


def _is_numbering(cells: List[str]) -> bool:
    """Return whether the cells are 0, 1, 2, ..., as pandas names columns."""
    return cells == [str(i) for i in range(len(cells))]


def _is_indexed(cells: List[str], below: List[str]) -> bool:
    """Return whether the first column is that of the row numbers that pandas writes: no heading, then 0."""
    return len(cells) > 2 and not cells[0] and below[:1] == ["0"]


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


def _name(heading: Optional[List[str]], position: int) -> str:
    if heading is None or not heading[position]:
        return "column %d" % (position + 1)
    return "column '%s'" % heading[position][:40]


def _ordinal(position: int, width: int) -> str:
    if position == width - 1:
        return "the last"
    return "the first" if position == 0 else "number %d" % (position + 1)


def _no_columns(path: str, line: str) -> DataError:
    for separator, words in SEPARATORS.items():
        if separator in line:
            return _separated(path, separator, words)
    if len(line.split()) > 1:
        return _separated(path, " ", "blanks")
    return DataError("%s must have columns separated by commas, a class in one of them, got %r" % (path, line[:40]))


def _refuse_other_separators(path: str, rows: List[List[str]]) -> None:
    """Reject a file whose first two lines have another separator between the columns."""
    for separator, words in SEPARATORS.items():
        if all(any(separator in cell for cell in row) for row in rows):
            raise _separated(path, separator, words)


def _separated(path: str, separator: str, words: str) -> DataError:
    cure = {
        ";": "sed 's/,/./g; s/;/,/g'",
        "\t": "tr '\\t' ','",
        "|": "tr '|' ','",
        " ": "sed 's/^ *//; s/ *$//; s/  */,/g'",
    }[separator]
    return DataError(
        "%s is separated by %s, expected commas" % (path, words), hint="for instance: %s < %s > new.csv" % (cure, path)
    )
