"""Compares runs by accuracy and its cost.

Wire bytes and payload bytes are never mixed: runs are compared by wire bytes if all of them have these, otherwise by
payload bytes (bits / 8) as counted in each file.

Example
-------
    text, written = compare(["a.xlsx", "results/20260801_120000_ab12"], "compare.xlsx", [0.8, 0.9])
"""

import math
import os
from typing import Any, List, NamedTuple, Sequence, Tuple

from ..drawing.pictures import write_pictures
from ..errors import FlqError
from .axes import share_axis, spread_amount_axis
from .charts import ChartLine, line_chart, place
from .overlay import overlay
from .runs import find_runs, labels_of
from .sheets import fill, writing
from .stored import StoredRun, shown

TEXT, COUNT, SHARE = "General", "#,##0", "0.00%"  # number formats
PARTS = 20  # automatic thresholds are multiples of 1 / 20 = 5 %
CHART_CM = (30.0, 17.0)


class Measure(NamedTuple):
    """The cost that runs are compared by: its name, its column, and the factor to bytes."""

    name: str
    column: str
    bytes_per_unit: float

    def bytes_of(self, curve: Any) -> Any:
        """Return the bytes so far, one value per row of a curve."""
        return curve[self.column] * self.bytes_per_unit


WIRE, PAYLOAD = Measure("wire", "wire_bytes", 1.0), Measure("payload", "payload_bits", 1 / 8)


def compare(
    paths: Sequence[str],
    out: str,
    thresholds: Sequence[float] = (),
    labels: Sequence[str] = (),
    results_dir: str = "results",
) -> Tuple[str, List[str]]:
    """Write a workbook that compares runs, and a figure of them as PNG and SVG.

    Parameters
    ----------
    paths : sequence of str
        Workbooks of runs or of the reference program, or folders of runs by path or by name in ``results_dir``.
    out : str
        The workbook to write. An existing workbook and its figures are replaced.
    thresholds : sequence of float in 0..1
        For each, the table has the first round that reached this accuracy, and the uploads, bits and bytes until then.
        Empty = :func:`choose_thresholds`.
    labels : sequence of str
        Names of the runs, one each. Empty = the files in the table, and :func:`.runs.labels_of` in the figure.

    Returns
    -------
    text : str
        The table as text.
    written : list of str
        Paths of the files.

    Raises
    ------
    FlqError
        If a run cannot be read.
    OSError
        If ``out`` cannot be written.
    """
    if os.path.realpath(out) in map(os.path.realpath, paths):
        raise FlqError("%s is one of the compared files" % out, "write to another with --out")
    runs = _with_distinct_names([(path, run) for path in paths for run in find_runs(path, results_dir)])
    if labels:
        if len(labels) != len(runs):
            raise FlqError("there must be a label for each of the %d runs, got %d" % (len(runs), len(labels)))
        runs = [run._replace(name=shown(label)) for run, label in zip(runs, labels)]
    measure = WIRE if all(run.has_wire for run in runs) else PAYLOAD
    thresholds = sorted(set(thresholds)) or choose_thresholds(runs)
    table = tabulate(runs, measure, thresholds)
    _write(out, table, runs, measure)
    figure = overlay(
        runs,
        [run.name for run in runs] if labels else labels_of(runs),
        measure.name,
        [measure.bytes_of(run.curve) for run in runs],
    )
    folder, name = os.path.split(os.path.splitext(out)[0])
    pictures = [] if figure is None else write_pictures(figure, folder, name)
    return "%s\n\n%s" % (_as_text(table), _remark(runs, measure)), [out] + pictures


def _with_distinct_names(found: Sequence[Tuple[str, StoredRun]]) -> List[StoredRun]:
    """Add the folder to names that files of several folders share."""
    names = [run.name for _, run in found]
    return [
        run
        if names.count(run.name) == 1
        else run._replace(name="%s/%s" % (shown(os.path.basename(os.path.dirname(os.path.abspath(path)))), run.name))
        for path, run in found
    ]


def choose_thresholds(runs: Sequence[StoredRun]) -> List[float]:
    """Return multiples of 5 %: the highest that all runs reached, the one below, the highest that any reached."""
    bests = [run.curve.accuracy.max() for run in runs if run.curve.accuracy.notna().any()]
    if not bests:
        return []
    by_all, by_any = (math.floor(best * PARTS + 1e-9) for best in (min(bests), max(bests)))
    return sorted({part / PARTS for part in (by_all - 1, by_all, by_any) if part > 0})


def tabulate(runs: Sequence[StoredRun], measure: Measure, thresholds: Sequence[float]) -> Any:
    """Return a DataFrame with one row per run; NaN = unknown, or never reached.

    Totals run to the end of the last closed round. ``attrs["formats"]`` holds the number format of each column.
    """
    from pandas import DataFrame

    lines = []
    for run in runs:
        curve, spent = run.curve, measure.bytes_of(run.curve)
        evaluated = curve.accuracy.dropna()
        line = [
            run.name,
            run.dataset,
            run.model,
            run.mode,
            run.accuracy_of,
            len(curve),
            evaluated.iloc[-1] if len(evaluated) else None,
            evaluated.max() if len(evaluated) else None,
            curve.wire_bytes.iloc[-1],
            curve.payload_bits.iloc[-1],
        ]
        for threshold in thresholds:
            reached = curve.index[curve.accuracy >= threshold]
            line += (
                [column[reached[0]] for column in (curve["round"], curve.uploads, curve.payload_bits, spent)]
                if len(reached)
                else [None] * 4
            )
        lines.append(line)

    columns = [
        ("file", TEXT),
        ("data set", TEXT),
        ("model", TEXT),
        ("mode", TEXT),
        ("accuracy of", TEXT),
        ("rounds", COUNT),
        ("final accuracy (%)", SHARE),
        ("best accuracy (%)", SHARE),
        ("wire (bytes)", COUNT),
        ("payload (bits)", COUNT),
    ]
    for threshold in thresholds:
        columns += [
            ("%s to %g%%" % (what, 100 * threshold), COUNT)
            for what in ("rounds", "uploads", "payload bits", "%s bytes" % measure.name)
        ]
    table = DataFrame(lines, columns=[title for title, _ in columns])
    table = table.astype({title: "float64" for title, number_format in columns if number_format != TEXT})
    table.attrs["formats"] = [number_format for _, number_format in columns]
    return table


def _as_text(table: Any) -> str:
    """Return the table as aligned text; unknown values are blank."""
    from pandas import isna

    shapes = {TEXT: "{}", COUNT: "{:,.0f}", SHARE: "{:.2%}"}

    def formatter(shape: str) -> Any:
        return lambda value: "" if isna(value) else shape.format(value)

    return table.to_string(
        index=False,
        na_rep="",
        formatters=[formatter(shapes[number_format]) for number_format in table.attrs["formats"]],
    )


def _remark(runs: Sequence[StoredRun], measure: Measure) -> str:
    """Return a sentence on the bytes that are compared."""
    if measure is WIRE:
        return "Bytes are wire bytes, both ways, until the round closed."
    without = ", ".join(run.name for run in runs if not run.has_wire)
    return "Bytes are payload (bits / 8), both ways, as counted in each file: no wire bytes in %s." % without


def _write(path: str, table: Any, runs: Sequence[StoredRun], measure: Measure) -> None:
    """Write the table, the curves behind the chart, and the chart."""
    with writing(path) as workbook:
        fill(workbook, "Compare", list(table.columns), table.values.tolist(), [table.attrs["formats"]] * len(table))

        drawn = [
            (run.name, run.accuracy_of, run.curve[run.curve.accuracy.notna()])
            for run in runs
            if run.curve.accuracy.notna().any()
        ]
        if not drawn:
            return
        titles, columns = [], []  # type: List[str], List[List[float]]
        for name, accuracy_of, curve in drawn:
            titles += ["%s: %s so far (bytes)" % (name, measure.name), "%s: accuracy, %s (%%)" % (name, accuracy_of)]
            columns += [measure.bytes_of(curve).tolist(), curve.accuracy.tolist()]
        length = max(map(len, columns))
        rows = list(zip(*(column + [None] * (length - len(column)) for column in columns)))
        fill(workbook, "Curves", titles, rows, [(COUNT, SHARE) * len(drawn)] * length)

        lines = [
            ChartLine(name, "Curves", 2 * index, 2 * index + 1, columns[2 * index + 1], index)
            for index, (name, *_) in enumerate(drawn)
        ]
        measured = {accuracy_of for _, accuracy_of, _ in drawn}
        y_title = "accuracy, %s" % measured.pop() if len(measured) == 1 else "accuracy"
        chart = line_chart(
            workbook,
            "Accuracy by %s bytes" % measure.name,
            lines,
            spread_amount_axis(
                "%s so far, both ways" % measure.name, list(map(max, columns[::2])), min(map(min, columns[::2])), "B"
            ),
            share_axis(y_title, [value for line in lines for value in line.values]),
        )
        place(workbook, "Charts", [chart], CHART_CM)
