"""Reads runs from workbooks: those of a run (sheet Rounds) and of the reference program (sheets curve_<mode>).

Workbooks are untrusted: their size is checked before they are unpacked, formulas are not evaluated, and every error is
one sentence. pandas and openpyxl are imported inside the functions, because only the comparison needs them.

Example
-------
    run, = read_runs("results/flq_results_digits_bbit_20260801_120000.xlsx")
    run.curve.accuracy.max()
    # 0.9639
"""

import os
import re
import warnings
import zipfile
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..core.settings import Json, Settings, public, to_json
from ..errors import FlqError
from .reference import CURVE
from .rows import COLUMNS, TOTAL_PAYLOAD_DOWN, TOTAL_PAYLOAD_UP, TOTAL_WIRE
from .sheets import cell_value

MOST_UNPACKED_BYTES = 512 * 2**20  # MOST_ROWS rows take 400 MB with few workers; 2,000 rounds of 64 workers take 9 MB
MOST_PARTS = 10000  # files inside the workbook
MOST_ROWS, MOST_COLUMNS = 200000, 200
MOST_COUNTED = 1e18  # bits or bytes
MOST_SETTINGS = 1000
MOST_CHARACTERS = 80  # of an untrusted text in a message

Column = Sequence[Optional[float]]

# Accuracy and loss by which a run is compared: the first that it has. The average, if any, is the run's result.
TEST_SET, OWN_DATA, TRAINING = "test set", "workers' own data", "workers' training"
ACCURACIES = (("average_accuracy", "average, test set"), ("accuracy", TEST_SET), ("own_accuracy", OWN_DATA))
LOSSES = (("test_loss", TEST_SET), ("own_loss", OWN_DATA), ("training_loss", TRAINING))


class StoredRun(NamedTuple):
    """One run.

    Attributes
    ----------
    name : str
        Name of the file, without its folder; with the mode if the file has several runs.
    dataset, model, mode : str
        Empty if unknown.
    accuracy_of : str
        The data on which accuracy was measured, and the model if it is not the global one; empty without accuracy.
    curve : pandas.DataFrame
        One row per round, all columns float64, NaN = unknown: round, accuracy (0..1), loss, and the running totals
        uploads, wire_bytes and payload_bits (both ways).
    loss_of : str
        The data on which the loss was measured; empty without a loss.
    settings : dict
        ``{section: {key: value}}`` as in the cells of a workbook; missing ones have their defaults. Empty if unknown.
    spread : pandas.DataFrame or None
        If the run is the mean of several: the standard deviations of the curve's columns.
    n_runs : int
        The number of these runs.
    """

    name: str
    dataset: str
    model: str
    mode: str
    accuracy_of: str
    curve: Any
    loss_of: str = ""
    settings: Mapping[str, Mapping[str, Any]] = {}
    spread: Any = None
    n_runs: int = 1

    @property
    def has_wire(self) -> bool:
        """Whether bytes on the wire were counted in every round."""
        return bool(self.curve.wire_bytes.notna().all())


def read_runs(path: str) -> List[StoredRun]:
    """Read the runs of a workbook, usually one.

    Raises
    ------
    FlqError
        If the file is missing, too large, not a workbook, or contains no runs.
    """
    from openpyxl import load_workbook

    _check_size(path)
    workbook = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about parts of the workbook that are not needed here
            workbook = load_workbook(path, read_only=True, data_only=True)
            return _runs(path, workbook)
    except (FlqError, ImportError):
        raise
    except Exception as error:  # openpyxl documents no exceptions for damaged files
        raise FlqError(
            "%s cannot be read as an Excel workbook: %s" % (shown(path), type(error).__name__), "save it as .xlsx again"
        ) from error
    finally:
        if workbook is not None:
            workbook.close()


def shown(text: Any) -> str:
    """Return untrusted text for printing: one line, no control characters, not too long."""
    plain = printable(text)
    return plain if len(plain) <= MOST_CHARACTERS else plain[: MOST_CHARACTERS - 3] + "..."


def printable(text: Any) -> str:
    """Return untrusted text as one line without control characters."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))


def _check_size(path: str) -> None:
    """Check the listed sizes of the parts; zipfile never unpacks more than these."""
    if not os.path.isfile(path):
        raise FlqError("%s: no such file" % path)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except zipfile.BadZipFile:
        raise FlqError("%s is not an Excel workbook (.xlsx)" % path) from None
    except OSError as error:
        raise FlqError("%s cannot be read: %s" % (path, error.strerror or error)) from None
    size = sum(part.file_size for part in parts)
    if size > MOST_UNPACKED_BYTES or len(parts) > MOST_PARTS:
        raise FlqError(
            "%s would unpack to %s bytes in %d parts, at most %s and %d are read"
            % (path, format(size, ","), len(parts), format(MOST_UNPACKED_BYTES, ","), MOST_PARTS)
        )


def _runs(path: str, workbook: Any) -> List[StoredRun]:
    file_name = os.path.basename(path)
    if "Rounds" in workbook.sheetnames:
        summary = _summary(workbook["Summary"]) if "Summary" in workbook.sheetnames else {}
        table = _Table(path, workbook["Rounds"])
        up, down = table.numbers(TOTAL_PAYLOAD_UP), table.numbers(TOTAL_PAYLOAD_DOWN)
        accuracy_of, accuracy = best_known(ACCURACIES, lambda field: table.optional(COLUMNS[field].title))
        loss_of, loss = best_known(LOSSES, lambda field: table.optional(COLUMNS[field].title))
        curve = curve_of(
            table.numbers(COLUMNS["round_index"].title),
            accuracy,
            loss,
            table.optional(COLUMNS["uploaded"].title),
            table.optional(TOTAL_WIRE),
            [_sum(*both) for both in zip(up, down)],
        )
        return [
            StoredRun(
                shown(file_name),
                summary.get("data set", ""),
                summary.get("model", ""),
                summary.get("mode", ""),
                accuracy_of,
                _checked(curve, path),
                loss_of,
                _settings(workbook),
            )
        ]

    modes = [name[len(CURVE) :] for name in workbook.sheetnames if name.startswith(CURVE)]
    if not modes:
        raise FlqError(
            "%s has no sheet Rounds and no sheet %s<mode>, it has: %s"
            % (path, CURVE, shown(", ".join(workbook.sheetnames))),
            "give the workbook of a run",
        )
    runs = []
    for mode in modes:
        table = _Table(path, workbook[CURVE + mode])
        accuracy_of, accuracy = best_known((("acc", TEST_SET),), table.numbers)
        loss_of, loss = best_known((("entropy", TEST_SET), ("loss", TRAINING)), table.optional)
        curve = curve_of(
            table.numbers("iter"), accuracy, loss, table.optional("selcnt"), None, table.numbers("cum_bits_total")
        )
        found = re.match("results_(.+)_%s[.]" % re.escape(mode), file_name)
        runs.append(
            StoredRun(
                shown(file_name if len(modes) == 1 else "%s %s" % (file_name, mode)),
                shown(found.group(1)) if found else "",
                "",
                shown(mode),
                accuracy_of,
                _checked(curve, path),
                loss_of,
            )
        )
    return runs


def best_known(
    quantities: Sequence[Tuple[str, str]], column_of: Callable[[str], Optional[Column]]
) -> Tuple[str, Optional[Column]]:
    """Return the first quantity (field, data it is measured on) that is known in any round: data and column."""
    for field, measured_on in quantities:
        column = column_of(field)
        if column is not None and _knows_any(column):
            return measured_on, column
    return "", None


def _knows_any(column: Sequence[Optional[float]]) -> bool:
    return any(value is not None for value in column)


def _sum(first: Optional[float], second: Optional[float]) -> Optional[float]:
    return None if first is None or second is None else first + second


def _summary(sheet: Any) -> Dict[str, str]:
    """Return the sheet Summary as {label: value}."""
    rows = sheet.iter_rows(min_row=1, max_row=MOST_COLUMNS, max_col=2, values_only=True)
    return {label: shown(value) for label, value in rows if isinstance(label, str) and value is not None}


def _settings(workbook: Any) -> Dict[str, Dict[str, Any]]:
    """Return the settings of a workbook; empty if it has none."""
    if "Config" not in workbook.sheetnames:
        return {}
    rows = workbook["Config"].iter_rows(min_row=2, max_row=MOST_SETTINGS, max_col=3, values_only=True)
    found: Json = {}
    for section, key, value in (tuple(row) + (None,) * (3 - len(row)) for row in rows):
        if section is not None and key is not None:
            found.setdefault(str(section), {})[str(key)] = value
    return complete(found) if found else {}


def complete(settings: Json) -> Dict[str, Dict[str, Any]]:
    """Return settings with the defaults of missing ones; all values are those that a cell of a workbook has."""
    return {
        section: {
            key: cell_value(value)
            for key, value in dict(defaults.get(section, {}), **settings.get(section, {})).items()
        }
        for defaults in [public(to_json(Settings()))]
        for section in [*defaults, *sorted(set(settings) - set(defaults))]
    }


def curve_of(
    rounds: Column,
    accuracy: Optional[Column],
    loss: Optional[Column],
    uploaded: Optional[Column],
    wire_bytes: Optional[Column],
    payload_bits: Column,
) -> Any:
    """Return the curve of a run; ``uploaded`` counts each round, bytes and bits are running totals."""
    from pandas import DataFrame

    unknown = [None] * len(rounds)
    curve = DataFrame(
        {
            "round": rounds,
            "accuracy": accuracy or unknown,
            "loss": loss or unknown,
            "uploads": uploaded or unknown,
            "wire_bytes": wire_bytes or unknown,
            "payload_bits": payload_bits,
        },
        dtype="float64",
    )
    curve["uploads"] = curve.uploads.cumsum(skipna=False)
    return curve


def _checked(curve: Any, path: str) -> Any:
    """Return the curve if it has rounds and plausible numbers."""
    if curve.empty:
        raise FlqError("%s has no rounds" % path, "its run ended before the first round closed")
    for title in "round", "payload_bits":
        if curve[title].isna().any():
            raise FlqError("%s: a round has an empty cell for its %s" % (path, title.replace("_", " ")))
    counts = curve[["round", "wire_bytes", "payload_bits"]]
    if counts.min().min() < 0 or counts.max().max() > MOST_COUNTED:
        raise FlqError(
            "%s: rounds, bits and bytes must be in 0..%g, got %g..%g"
            % (path, MOST_COUNTED, counts.min().min(), counts.max().max())
        )
    if not curve.accuracy.dropna().between(0, 1).all():
        raise FlqError(
            "%s: accuracies must be in 0..1, got %g..%g" % (path, curve.accuracy.min(), curve.accuracy.max())
        )
    return curve


class _Table:
    """The columns of a sheet by the headings in its first row; empty rows at the end are dropped."""

    def __init__(self, path: str, sheet: Any) -> None:
        self._where = "%s, sheet %s" % (path, shown(sheet.title))
        sheet.reset_dimensions()  # the dimensions in the file are untrusted
        rows = list(sheet.iter_rows(min_row=1, max_row=MOST_ROWS + 2, max_col=MOST_COLUMNS, values_only=True))
        if len(rows) > MOST_ROWS + 1:
            raise FlqError("%s has more than %d rows" % (self._where, MOST_ROWS))
        while rows and not any(value is not None for value in rows[-1]):
            rows.pop()
        self._titles: Sequence[Any] = rows[0] if rows else ()
        self._rows = rows[1:]

    def numbers(self, title: str) -> List[Optional[float]]:
        """Return a column.

        Raises
        ------
        FlqError
            If it is missing or contains anything but numbers.
        """
        if title not in self._titles:
            raise FlqError("%s has no column %r" % (self._where, title))
        column = self._titles.index(title)
        values = [row[column] for row in self._rows]
        for value in values:
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise FlqError("%s: the column %r must contain numbers, got %r" % (self._where, title, shown(value)))
        return values

    def optional(self, title: str) -> Optional[List[Optional[float]]]:
        """Return a column, or None if the sheet has no such heading."""
        return self.numbers(title) if title in self._titles else None
