"""What a worker reports of its data when it joins: sizes, range, classes, a checksum of the labels.

Example
-------
>>> report = DataReport(140, 15, (7,), "float64", 0.0, 4.5, 3, ("a", "b", "c"), (60, 50, 45), 0x1A2B3C4D, 1.0, 1.0)
>>> from_json(to_json(report)) == report
True
>>> sizes(report)
'140 training and 15 test samples, checksum 1a2b3c4d'
>>> value_range(report)
'0 to 4.5'
"""

import math
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from ..errors import BadValues

MOST_CLASSES = 1000  # whose counts are reported
MOST_LETTERS = 3000  # of the names of classes together
MOST_OF_A_NAME = 40
MOST_OF_A_DTYPE = 20
MOST_AXES = 4
LARGEST = 2**53  # a larger count is no exact number in JSON
LEAST_SCALE, LARGEST_SCALE = 1e-9, 1e9  # of dataset.scale, whether it is given or chosen
NO_CHECKSUM = -1  # of the data of several workers together
HINT = "install the same version of FLQ on master and workers"


class DataReport(NamedTuple):
    """A worker's data, in a few kilobytes.

    Attributes
    ----------
    n_train, n_test : int
        Samples for training and for testing, of the whole data set or, with partition local, of the worker.
    shape : tuple of int
        Of a sample as it is stored.
    dtype : str
        As stored, such as "uint8"; "number" in a text file.
    lowest, highest : float
        Of all values, before they are divided by the scale.
    n_classes : int
    class_names : tuple of str, or None
        The first names, shortened; None if the classes have numbers only.
    class_counts : tuple of int
        Samples of the first classes, for training and testing together.
    checksum : int
        CRC32 of labels, sizes and names: equal for copies of the same data.
    scale : float
        The value that means 1.0 in this run.
    auto_scale : float
        The scale that ``dataset.scale`` null chooses for these values.
    columns : int
        CRC32 of the names of a table's features, in their order; 0 = they have no names.
    """

    n_train: int
    n_test: int
    shape: Tuple[int, ...]
    dtype: str
    lowest: float
    highest: float
    n_classes: int
    class_names: Optional[Tuple[str, ...]]
    class_counts: Tuple[int, ...]
    checksum: int
    scale: float
    auto_scale: float
    columns: int = 0


def sizes(report: DataReport) -> str:
    """Return the numbers of samples and the checksum, for a sentence."""
    return "%d training and %d test samples, checksum %08x" % (report.n_train, report.n_test, report.checksum)


def value_range(report: DataReport) -> str:
    """Return the lowest and the highest value, for a sentence."""
    return "%.7g to %.7g" % (report.lowest, report.highest)


def merged(reports: Sequence[DataReport]) -> DataReport:
    """Return the report of the data of several workers together, 1 or more; several have no checksum."""
    first = reports[0]
    if len(reports) == 1:
        return first
    n_counts = max(len(report.class_counts) for report in reports)
    rows = [report.class_counts + (0,) * (n_counts - len(report.class_counts)) for report in reports]
    return first._replace(
        n_train=sum(report.n_train for report in reports),
        n_test=sum(report.n_test for report in reports),
        lowest=min(report.lowest for report in reports),
        highest=max(report.highest for report in reports),
        n_classes=max(report.n_classes for report in reports),
        class_counts=tuple(map(sum, zip(*rows))),
        checksum=NO_CHECKSUM,
    )


def described(report: DataReport, most_classes: int = MOST_CLASSES) -> Dict[str, Any]:
    """Return what users see of a report, as JSON values: for config.json, /status and the workbook."""
    values = to_json(report)
    del values["auto_scale"], values["columns"]
    for name in ("lowest", "highest"):
        values[name] = float("%.7g" % values[name])  # the digits of a float32
    for name in ("class_names", "class_counts"):
        values[name] = None if values[name] is None else values[name][:most_classes]
    return dict(values, checksum=None if report.checksum == NO_CHECKSUM else "%08x" % report.checksum)


def first_names(names: Optional[Sequence[str]]) -> Optional[Tuple[str, ...]]:
    """Return as many names as a report admits, shortened to what it admits."""
    if names is None:
        return None
    kept, n_letters = [], 0
    for name in names[:MOST_CLASSES]:
        kept.append(name[:MOST_OF_A_NAME])
        n_letters += len(kept[-1])
        if n_letters > MOST_LETTERS:
            return tuple(kept[:-1])
    return tuple(kept)


def to_json(report: DataReport) -> Dict[str, Any]:
    """Return the report as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in report._asdict().items()}


def optional_report(value: Any) -> Optional[DataReport]:
    """Return the report in a registration, as :func:`from_json`, or None for null."""
    return None if value is None else from_json(value)


def from_json(value: Any) -> DataReport:
    """Return the report that a worker has sent; unknown keys are ignored.

    Raises
    ------
    BadValues
        If a value is missing, of another type, or out of range.
    """
    if not isinstance(value, dict):
        raise BadValues("data must be an object or null, got %.80r" % (value,), HINT)
    found = {}  # type: Dict[str, Any]
    for name, (holds, expected) in FIELDS.items():
        given = value.get(name)  # type: Any
        if not holds(given):
            raise BadValues("data.%s must be %s, got %.80r" % (name, expected, given), HINT)
        found[name] = tuple(given) if isinstance(given, list) else float(given) if name in FLOATS else given
    report = DataReport(**found)
    if report.lowest > report.highest or len(report.class_counts) > report.n_classes:
        raise BadValues("data has a range or counts of classes that contradict each other", HINT)
    if report.class_names is not None and len(report.class_names) > report.n_classes:
        raise BadValues("data has %d names for %d classes" % (len(report.class_names), report.n_classes), HINT)
    return report


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and abs(value) <= 1e300 and math.isfinite(value)


def _is_scale(value: Any) -> bool:
    return _is_number(value) and LEAST_SCALE <= value <= LARGEST_SCALE


def _are_counts(value: Any, most: int, least: int = 0) -> bool:
    return isinstance(value, list) and least <= len(value) <= most and all(map(_is_count, value))


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and value.isprintable()


def _are_names(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and len(value) <= MOST_CLASSES
        and all(_is_text(name, MOST_OF_A_NAME) for name in value)
        and sum(map(len, value)) <= MOST_LETTERS
    )


COUNT = _is_count, "a whole number in 0..2^53"
NUMBER = _is_number, "a finite number"
SCALE = _is_scale, "a number in 1e-09..1e+09"
CRC = (lambda value: _is_count(value) and value < 2**32), "a whole number in 0..2^32-1"
FIELDS = {
    "n_train": COUNT,
    "n_test": COUNT,
    "shape": (lambda value: _are_counts(value, MOST_AXES, 1), "a list of 1 to %d whole numbers" % MOST_AXES),
    "dtype": (lambda value: _is_text(value, MOST_OF_A_DTYPE), "a text of up to %d characters" % MOST_OF_A_DTYPE),
    "lowest": NUMBER,
    "highest": NUMBER,
    "n_classes": COUNT,
    "class_names": (_are_names, "null or a list of up to %d short texts" % MOST_CLASSES),
    "class_counts": (lambda value: _are_counts(value, MOST_CLASSES), "a list of up to %d whole numbers" % MOST_CLASSES),
    "checksum": CRC,
    "scale": SCALE,
    "auto_scale": SCALE,
    "columns": CRC,
}  # type: Dict[str, Tuple[Any, str]]
FLOATS = "lowest", "highest", "scale", "auto_scale"
