"""Decides what the first line of a csv file is, and which column has the class.

The first line is a heading if

* a column other than that of the class is a text;
* it is 0,1,2,..., as pandas writes it; or
* its class is a text that no other line has, and the other classes are whole numbers, or the other columns are
  0,1,2,....

An empty cell or a mark of a missing value (``NA``, ``?``) does not count as a text.
"""

from typing import List, Optional, Tuple

from ...errors import DataError
from .labels import is_missing, is_whole, number_of
from .seen import listed, one_line

CLASS_HEADINGS = ("label", "labels", "class", "classes", "target", "y", "species", "category")
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def used_width(cells: List[str], below: List[str]) -> int:
    """Return the number of columns without those after a comma at the end of both lines."""
    width = len(cells)
    while len(below) == len(cells) and width > 2 and not cells[width - 1] and not below[width - 1]:
        width -= 1
    return width


def refuse_other_separators(path: str, rows: List[List[str]]) -> None:
    """Reject a file whose first two lines have another separator between the columns."""
    for separator, words in SEPARATORS.items():
        if all(any(separator in cell for cell in row) for row in rows):
            raise _separated(path, separator, words)


def no_columns(path: str, number: int, line: str, below: List[str]) -> DataError:
    """Return the error of a file whose first line, of that number, has one column."""
    if len(below) > 1:
        return DataError(
            "%s, line %d has 1 column, %r, the next line has %d" % (path, number, one_line(line)[:40], len(below)),
            hint="remove the line if it is a comment or a title",
        )
    for separator, words in SEPARATORS.items():
        if separator in line:
            return _separated(path, separator, words)
    if len(line.split()) > 1:
        return _separated(path, " ", "blanks")
    return DataError("%s must have columns separated by commas, a class in one of them, got %r" % (path, line[:40]))


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


def label_position(path: str, cells: List[str], wanted: Optional[str]) -> Tuple[int, bool]:
    """Return the position of the class, and whether ``dataset.label_column`` names it by the heading."""
    low = [cell.lower() for cell in cells]
    if wanted is not None:
        wanted = one_line(wanted).strip()
        found = [i for i, cell in enumerate(cells) if cell == wanted] or [
            i for i, cell in enumerate(low) if cell == wanted.lower()
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


def is_heading(cells: List[str], below: List[str], label: int) -> bool:
    """Return whether the first line is a heading, whatever the classes are."""
    if _is_numbering(cells):
        return True
    if _is_indexed(cells, below) and cells[1:] == [str(i) for i in range(len(cells) - 1)]:
        return True
    return any(number_of(cell) is None and not is_missing(cell) for i, cell in enumerate(cells) if i != label)


def is_heading_by_classes(cells: List[str], below: List[str], label: int, labels: List[str]) -> bool:
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


def heading_remarks(
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
            "line %d of %s was taken for the heading, since %r is not a number; correct it if it is a sample"
            % (line, path, texts[0][:40])
        ]
    if number_of(heading[label]) is not None or texts:
        return ["line %d of %s is a heading of column numbers, not a sample" % (line, path)], []
    return ["line %d of %s is the heading, since its class is %r" % (line, path, heading[label][:40])], []


def column_name(heading: Optional[List[str]], position: int) -> str:
    if heading is None or not heading[position]:
        return "column %d" % (position + 1)
    return "column '%s'" % heading[position][:40]


def column_ordinal(position: int, width: int) -> str:
    if position == width - 1:
        return "the last"
    return "the first" if position == 0 else "number %d" % (position + 1)
