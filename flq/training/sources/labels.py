"""Labels -> classes 0..n_classes-1: whole numbers are the classes, texts are numbered in sorted order.

Labels that are neither, such as one ``NA`` among whole numbers, are refused with their place.

Example
-------
>>> y, names = classes_of(["pear", "fig", "pear"], "toy.csv", lambda i: "line %d" % (i + 1))
>>> y.tolist(), names
([1, 0, 1], ('fig', 'pear'))
>>> classes_of(["2", "0", "1.0"], "toy.csv", str)[0].tolist()
[2, 0, 1]
"""

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core.settings import DatasetSettings
from ...errors import DataError
from .seen import alike, listed, one_line

MAX_CLASSES = 10**6  # more is a mistake in the labels
# what stands for a missing value
MISSING = ("", "na", "n/a", "n.a.", "#n/a", "<na>", "nan", "?", "null", "none", "missing", "-", "--", ".", "..", "*")
PARTS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev")  # names of parts of a data set
HINT = "number the classes 0, 1, 2, ... or name all of them; remove rows without a class"

Place = Callable[[int], str]  # of a label, by its index: "line 3, column 2"


def number_of(text: str) -> Optional[float]:
    """Return the number that a text is, or None."""
    try:
        return None if "_" in text else float(text)  # Python reads 1_0 as 10
    except ValueError:
        return None


def is_missing(text: str) -> bool:
    """Return whether a text stands for a missing value."""
    return text.strip().lower() in MISSING


def is_whole(text: str) -> bool:
    """Return whether a text is a class by its number."""
    number = number_of(text)
    return number is not None and number in range(MAX_CLASSES)


def classes_of(labels: Sequence[str], where: str, place: Place) -> Tuple[np.ndarray, Optional[Tuple[str, ...]]]:
    """Return the classes of labels, and the names of the classes or, if labels are whole numbers, None.

    Parameters
    ----------
    labels : sequence of str
        Without blanks around them.
    where : str
        The file, for errors.
    place : function
        Returns the place of a label in the file.

    Returns
    -------
    classes : ndarray of shape (n,), int64
    names : tuple of str, or None
        In sorted order.

    Raises
    ------
    DataError
        If a label is missing, or they are neither all whole numbers nor all texts.
    """
    first = {}  # type: Dict[str, int]
    for i, label in enumerate(labels):
        first.setdefault(label, i)
    numbers = _numbers(first, where, place)
    if numbers is not None:
        return np.array([numbers[label] for label in labels], np.int64), None
    code = {label: i for i, label in enumerate(sorted(first))}
    return np.array([code[label] for label in labels], np.int64), tuple(map(one_line, sorted(first)))


def check_names(names: Tuple[str, ...], section: DatasetSettings, path: str) -> None:
    """Reject texts as classes if workers could number them differently.

    Raises
    ------
    DataError
        With partition local, or if the number of texts is not ``dataset.n_classes``.
    """
    if section.partition == "local":
        raise DataError(
            "%s has texts as classes, such as %r: with dataset.partition local other workers may number "
            "them differently" % (path, names[0][:40]),
            hint="use whole numbers as classes, the same at every worker",
        )
    if section.n_classes is not None and len(names) != section.n_classes:
        raise DataError(
            "%s has %d different texts as classes, but dataset.n_classes is %d" % (path, len(names), section.n_classes),
            hint="number the classes 0, 1, 2, ... in the file",
        )


def name_warnings(names: Optional[Sequence[str]], where: str) -> List[str]:
    """Return sentences on names of classes that look like mistakes."""
    found = [
        "%s: the classes %r and %r %s"
        % (where, a, b, "look alike, but are encoded differently" if is_same else "differ only in case or blanks")
        for a, b, is_same in alike(names or ())
    ]
    numbered = [int(name) for name in names or () if name.isdecimal()]
    if names and len(numbered) == len(names) and numbered != list(range(len(names))):
        found.append(
            "%s: the classes are named by numbers, but numbered in the order of their names: %s"
            % (where, listed(["class %d is %s" % pair for pair in enumerate(names) if pair[0] != numbered[pair[0]]], 3))
        )
    parts = [name for name in names or () if name.lower() in PARTS]
    if parts and parts != ["train"]:  # which is a vehicle, too
        words = "class %s looks like a part of a data set, not like a class"
        if len(parts) > 1:
            words = "classes %s look like parts of a data set, not like classes"
        found.append("%s: the %s" % (where, words % listed(parts)))
    odd = [name for name in names or () if is_missing(name)]
    if odd:
        found.append("%s: the class %r looks like a missing value" % (where, odd[0]))
    return found


def _numbers(first: Dict[str, int], where: str, place: Place) -> Optional[Dict[str, int]]:
    """Return the class of each label if all are whole numbers, None if all are texts; ``first`` is in order."""
    if "" in first:
        raise DataError("%s has a row without a class: %s is empty" % (where, place(first[""])), hint=HINT)
    missing = [label for label in first if is_missing(label)]
    texts = [label for label in first if number_of(label) is None and not is_missing(label)]
    numbers = [label for label in first if number_of(label) is not None and not is_missing(label)]
    if missing and numbers:
        raise DataError(
            "%s, %s: %r is not a class; the other classes are numbers, such as %s"
            % (where, place(first[missing[0]]), missing[0], numbers[0][:40]),
            hint=HINT,
        )
    if texts and numbers:
        raise DataError(
            "%s has numbers and texts as classes: %s is %s, %s is %r"
            % (where, place(first[numbers[0]]), numbers[0][:40], place(first[texts[0]]), texts[0][:40]),
            hint=HINT,
        )
    if not numbers:
        return None
    for label in numbers:
        if not is_whole(label):
            raise DataError(
                "%s: classes must be whole numbers in 0..%d or texts, got %s in %s"
                % (where, MAX_CLASSES - 1, label[:40], place(first[label])),
                hint="number the classes 0, 1, 2, ...; in a csv file dataset.label_column names their column",
            )
    return {label: int(float(label)) for label in numbers}
