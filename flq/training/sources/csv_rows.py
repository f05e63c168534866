"""Reads the rows of a csv file; a row that is not numbers and a class is a DataError with its place.

Example
-------
>>> rows = Rows("toy.csv", n_columns=3, width=3, label=2, names=None)
>>> rows.add((1, ["0.5", "2", " fig "]))
>>> rows.features().tolist(), rows.labels
([[0.5, 2.0]], ['fig'])
"""

import csv
from array import array
from itertools import islice
from typing import Iterator, List, Optional, Tuple

import numpy as np

from ...errors import DataError
from .csv_columns import setting_of
from .csv_format import cure_of, no_text, other_width
from .labels import is_missing, number_of

LOOKED_AT = 1000  # lines, to see whether texts repeat

Line = Tuple[int, List[str]]  # number in the file, and cells


def is_blank(row: List[str]) -> bool:
    """Return whether a row has only commas."""
    return len(row) > 1 and not any(cell.strip() for cell in row)


def lines_of(path: str) -> Iterator[Line]:
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


class Rows:
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
            hint = cure_of(cell) or self._cure_of_texts(column)
        named = " (%s)" % self._names[column][:40] if self._names and self._names[column] else ""
        return DataError(
            "%s, line %d, column %d%s must be a number, got %r" % (self._path, line, column + 1, named, cell[:40]),
            hint=hint,
        )

    def _cure_of_texts(self, column: int) -> str:
        """Return what to do about texts in a column, which is the class if it is the first and repeats a few texts."""
        texts = [row[column].strip() for _, row in islice(lines_of(self._path), LOOKED_AT) if len(row) > column]
        if column > 0 or 2 * len(set(texts)) > len(texts):
            return "give each text a number, or remove the column; dataset.label_column names the column of the class"
        setting = setting_of(self._names, column) if self._names else str(column)
        return (
            "if column 1 is the class, set dataset.label_column=%s; otherwise give each text a number, or remove the "
            "column" % setting
        )
