"""Decides whether the first line of a csv file is a heading.

It is a heading if

* it has texts and no numbers, and no other line has its class;
* it numbers the features 0, 1, 2, ..., as pandas does; or
* ``dataset.label_column`` names its class, or it calls the class ``label``, ``class``, ``target``, ...: see
  ``csv_columns``.

Any other line is a sample: it must have numbers, and a class that is a number if those of the other lines are. What
could be either is refused: texts and numbers side by side, or three or more whole numbers that ascend, such as
``2019,2020,2021,kind``, with a class that no other line has. An empty cell, or a mark of a missing value (``NA``,
``?``), is neither a text nor a number.

Example
-------
>>> decide("toy.csv", FirstLine(1, ["width", "height", "kind"], 2), ["fig", "pear"])
Decision(is_heading=True, notes=(), warnings=())
>>> decide("toy.csv", FirstLine(1, ["0", "1", "kind"], 2), ["0", "1"]).notes
("line 1 of toy.csv is the heading, since its class is 'kind'",)
"""

from typing import List, NamedTuple, Sequence, Set, Tuple

from ...errors import DataError
from .csv_columns import is_class_heading, setting_of
from .labels import is_missing, number_of

LEAST_NUMBERED = 3  # columns whose names could be numbers: with fewer, a sample is as likely


class FirstLine(NamedTuple):
    """The first line of a file.

    Attributes
    ----------
    number : int
        In the file.
    cells : list of str
        Without blanks around them.
    label : int
        Position of the class.
    is_named : bool
        Whether ``dataset.label_column`` is the text in the column of the class.
    is_indexed : bool
        Whether the first cell is empty, and the column below counts the rows.
    """

    number: int
    cells: List[str]
    label: int
    is_named: bool = False
    is_indexed: bool = False

    @property
    def features(self) -> List[int]:
        """The positions of the features, without that of row numbers."""
        return [i for i in range(self.is_indexed, len(self.cells)) if i != self.label]


class Decision(NamedTuple):
    """Whether the first line is a heading, and sentences that say what may surprise."""

    is_heading: bool
    notes: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()


def decide(path: str, line: FirstLine, labels: Sequence[str]) -> Decision:
    """Return whether the first line is a heading.

    Parameters
    ----------
    path : str
        For errors.
    line : FirstLine
    labels : sequence of str
        The classes of all other lines.

    Raises
    ------
    DataError
        If the line could be a heading or a sample, or is neither.
    """
    classes, label, cells = set(labels), line.cells[line.label], line.cells
    texts = [i for i in line.features if _is_text(cells[i])]
    numbers = [cells[i] for i in line.features if _is_number(cells[i])]
    is_class_name = _is_text(label) and (line.is_named or is_class_heading(label))
    is_new = not label or label not in classes
    if not numbers and not _is_number(label) and (texts or line.is_indexed) and (is_new or is_class_name):
        return Decision(True)
    if is_class_name and is_new or _counts_columns(line) and (is_new or is_class_name or _is_number(label)):
        return Decision(True, (_note(path, line),))
    if texts:
        raise DataError(
            "%s, line %d, column %d must be a number, got %r" % (path, line.number, texts[0] + 1, cells[texts[0]][:40]),
            hint="correct it if the line is a sample; if it is a heading, %s"
            % (
                "give every column a name, not a number"
                if numbers or not _is_text(label)
                else "set dataset.label_column=%s" % setting_of(cells, line.label)
            ),
        )
    if len(numbers) < len(line.features) or is_missing(label):
        return Decision(False)  # the reader names the place
    return Decision(False, (), tuple(_doubts(path, line, numbers, labels, classes)))


def _is_text(cell: str) -> bool:
    return number_of(cell) is None and not is_missing(cell)


def _is_number(cell: str) -> bool:
    return number_of(cell) is not None and not is_missing(cell)


def _counts_columns(line: FirstLine) -> bool:
    """Return whether the columns are called 0, 1, 2, ..., that of the class too unless it is a text."""
    label = line.cells[line.label]
    positions = range(line.is_indexed, len(line.cells)) if _is_number(label) else line.features
    found = [line.cells[i] for i in positions]
    return len(line.cells) >= LEAST_NUMBERED and not is_missing(label) and found == [str(i) for i in range(len(found))]


def _note(path: str, line: FirstLine) -> str:
    """Return the sentence on a heading that has numbers."""
    label = line.cells[line.label]
    if _is_number(label):
        return "line %d of %s is a heading of column numbers, not a sample" % (line.number, path)
    return "line %d of %s is the heading, since its class is %r" % (line.number, path, label[:40])


def _doubts(path: str, line: FirstLine, numbers: List[str], labels: Sequence[str], classes: Set[str]) -> List[str]:
    """Return warnings of a sample whose features are numbers; raise DataError if it could be a heading."""
    label = line.cells[line.label]
    is_text = _is_text(label)
    is_known = label in classes or not is_text and float(label) in map(number_of, classes)
    if is_known:
        if not is_text and _could_name_columns(numbers + [label]):
            return [
                "line %d of %s, %s, is read as a sample: remove it if it is a heading"
                % (line.number, path, _start(line))
            ]
        return []
    if is_text and classes and all(map(_is_number, classes)):
        raise DataError(
            "%s, line %d, column %d: the class is %r, but the other classes are numbers"
            % (path, line.number, line.label + 1, label[:40]),
            hint="if the line is a heading, set dataset.label_column=%s; if it is a sample, correct its class"
            % setting_of(line.cells, line.label),
        )
    if classes and _could_name_columns(numbers if is_text else numbers + [label]):
        raise DataError(
            "%s, line %d could be a heading or a sample: it is %s, and no other line has %s in column %d"
            % (path, line.number, _start(line), label[:40], line.label + 1),
            hint="if it is a heading, %s; if it is a sample, write a heading above it"
            % ("set dataset.label_column=%s" % setting_of(line.cells, line.label) if is_text else "remove it"),
        )
    if len(labels) < 2 * len(classes) or not classes:
        return []
    return [
        "only line %d of %s has the class %s: remove it if it is a heading, correct it if it is misspelled"
        % (line.number, path, label[:40])
    ]


def _could_name_columns(numbers: List[str]) -> bool:
    """Return whether numbers are whole and ascend; two of them only if they are 0 and 1."""
    values = [float(cell) for cell in numbers]
    if any(value % 1 for value in values) or any(a >= b for a, b in zip(values, values[1:])):
        return False
    return len(values) >= LEAST_NUMBERED or values == [0.0, 1.0]


def _start(line: FirstLine) -> str:
    """Return the beginning of the line, for a sentence."""
    return ",".join(cell[:20] for cell in line.cells[:6]) + (",..." if len(line.cells) > 6 else "")
