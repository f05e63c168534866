"""Says of a file that is not comma-separated what it is instead, and how to convert it."""

import re
from typing import Dict, List, Tuple

from ...errors import DataError
from .labels import number_of
from .seen import counted, one_line

SEPARATORS: Dict[str, Tuple[str, str]] = {  # what to call it, and a command that replaces it
    ";": ("semicolons", "sed 's/,/./g; s/;/,/g'"),
    "\t": ("tabs", "tr '\\t' ','"),
    "|": ("bars", "tr '|' ','"),
    " ": ("blanks", "sed 's/^ *//; s/ *$//; s/  */,/g'"),
}
PACKED = (  # how a file begins, what it is, and the cure
    (b"PK\x03\x04", "an Excel or zip file", "save the table as CSV, in UTF-8"),
    (b"\x1f\x8b", "packed by gzip", "unpack it: gunzip < %s > new.csv"),
)
OTHERS = ("<", "version https://git-lfs")  # how a page of an error, and a pointer to a file, begin


def used_width(cells: List[str], below: List[str]) -> int:
    """Return the number of columns without those after a comma at the end of both lines."""
    width = len(cells)
    while len(below) == len(cells) and width > 2 and not cells[width - 1] and not below[width - 1]:
        width -= 1
    return width


def refuse_other_separators(path: str, rows: List[List[str]]) -> None:
    """Reject a file whose first two lines have another separator between the columns."""
    for separator in SEPARATORS:
        if separator != " " and all(any(separator in cell for cell in row) for row in rows):
            raise _separated(path, separator)


def no_columns(path: str, number: int, line: str, below: List[str]) -> DataError:
    """Return the error of a file whose first line, of that number, has one column; ``below`` is the next line."""
    shown = one_line(line)[:40]
    if line.startswith(OTHERS):
        return DataError("%s is not a CSV file, it begins with %r" % (path, shown), hint="download it again")
    for separator in SEPARATORS:
        if separator != " " and separator in line and (not below or any(separator in cell for cell in below)):
            return _separated(path, separator)
    if len(below) > 1:
        return DataError(
            "%s, line %d has 1 column, %r, the next line has %d" % (path, number, shown, len(below)),
            hint="remove the line if it is a comment or a title",
        )
    n_columns, parts = len(line.split()), (below[0] if below else line).split()
    if len(parts) == n_columns > 1 and 2 * sum(number_of(part) is not None for part in parts) > n_columns:
        return _separated(path, " ")
    return DataError(
        "%s must have columns separated by commas, a class in one of them, got %r in line %d" % (path, shown, number),
        hint="save the table as CSV; remove the lines above it" if n_columns > 1 else "",
    )


def other_width(path: str, number: int, row: List[str], first_width: int, hint: str = "") -> DataError:
    """Return the error of a line with another number of columns than the first."""
    return DataError(
        "%s, line %d has %s, the first line has %d" % (path, number, counted(len(row), "column"), first_width),
        hint=quote_hint(row) or hint,
    )


def quote_hint(row: List[str]) -> str:
    """Return what may be wrong with a row that has several lines, or ""."""
    return "a quote may not be closed" if any("\n" in cell for cell in row) else ""


def no_text(path: str, error: UnicodeDecodeError) -> DataError:
    """Return the error of a file that is not UTF-8."""
    with open(path, "rb") as stream:
        start = stream.read(4)
    for mark, words, cure in PACKED:
        if start.startswith(mark):
            return DataError("%s is not a CSV file: it is %s" % (path, words), hint=cure.replace("%s", path))
    return DataError("%s is not a CSV file: %s" % (path, error), hint="save it as UTF-8")


def cure_of(cell: str) -> str:
    """Return how to write a cell as a number, or "" if nothing is known of it."""
    if re.match(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?$", cell):
        return "write no commas between thousands, and decimals with a point"
    if number_of(cell.replace(",", ".")) is not None:
        return "write decimals with a point"
    return "write 1 and 0" if cell.lower() in ("true", "false", "yes", "no") else ""


def _separated(path: str, separator: str) -> DataError:
    words, command = SEPARATORS[separator]
    return DataError(
        "%s is separated by %s, expected commas" % (path, words),
        hint="for instance: %s < %s > new.csv" % (command, path),
    )
