"""Compares runs by accuracy and its cost; runs that differ only in their seed are averaged.

Wire bytes and payload bytes are never mixed: runs are compared by wire bytes if all of them have these, otherwise by
payload bytes (bits / 8) as counted in each file.

Example
-------
    text, written = compare(["a.xlsx", "results/20260801_120000_ab12"], "compare.xlsx", [0.8, 0.9])
"""

import os
import textwrap
from typing import Any, List, Sequence, Tuple

from ..drawing.pictures import write_pictures
from ..errors import FlqError
from .axes import share_axis, spread_amount_axis
from .charts import ChartLine, line_chart, place
from .compare_table import (
    COUNT,
    FACTS,
    PAYLOAD,
    SHARE,
    WIRE,
    Measure,
    as_text,
    choose_thresholds,
    coverage,
    remarks,
    tabulate,
)
from .labels import labels_of
from .overlay import overlay
from .runs import find_runs, path_of
from .seeds import at_common_rounds, group_by_setting, mean_of
from .sheets import fill, fit_to_pages, writing
from .stored import StoredRun, printable, shown

CHART_CM = (30.0, 17.0)


def compare(
    paths: Sequence[str],
    out: str,
    thresholds: Sequence[float] = (),
    labels: Sequence[str] = (),
    results_dir: str = "results",
    width: int = 80,
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
        Names of the settings, one each: of the runs, with the seeds of one setting as one. Empty =
        :func:`.labels.labels_of`.
    width : int
        Characters of a line of the text.

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
    _check_each_once(paths, results_dir)
    runs = _with_distinct_names([(path, run) for path in paths for run in find_runs(path, results_dir)])
    groups = group_by_setting(runs)
    covered = [at_common_rounds(group) for group in groups]
    means = [mean_of(group) for group in groups]
    if labels and len(labels) != len(means):
        shared = "" if len(means) == len(runs) else " (runs that differ only in the seed share one)"
        raise FlqError("expected %d labels%s, got %d" % (len(means), shared, len(labels)))
    means = [run._replace(name=shown(label)) for run, label in zip(means, labels or labels_of(means))]
    measure = WIRE if all(run.has_wire for run in runs) else PAYLOAD
    thresholds = sorted(set(thresholds)) or choose_thresholds([run for group in covered for run in group])
    names = [run.name for run in means]
    table = tabulate(covered, names, measure, thresholds)
    singles = None
    if len(means) < len(runs):
        singles = tabulate([[run] for run in runs], [run.name for run in runs], measure, thresholds)
    _write(out, table, singles, means, measure)
    figure = overlay(means, names, measure.name, [measure.bytes_of(run.curve) for run in means])
    folder, name = os.path.split(os.path.splitext(out)[0])
    pictures = [] if figure is None else write_pictures(figure, folder, name)
    sentences = [*remarks(covered, names, measure, thresholds), *coverage(groups, covered, names)]
    below = "\n".join(textwrap.fill(sentence, width) for sentence in sentences)
    return "%s\n\n%s" % (as_text(table, width), below), [out] + pictures


def _check_each_once(paths: Sequence[str], results_dir: str) -> None:
    """Check that no run is given twice: it would be a sample of its own.

    Raises
    ------
    FlqError
        If one is, or a run does not exist.
    """
    found = [os.path.realpath(path_of(path, results_dir)) for path in paths]
    for index, path in enumerate(paths):
        if found[index] in found[:index]:
            raise FlqError("%s is given twice" % printable(path), "name each run once")


def _with_distinct_names(found: Sequence[Tuple[str, StoredRun]]) -> List[StoredRun]:
    """Add the folder to names that files of several folders share."""
    names = [run.name for _, run in found]
    return [
        run
        if names.count(run.name) == 1
        else run._replace(name="%s/%s" % (shown(os.path.basename(os.path.dirname(os.path.abspath(path)))), run.name))
        for path, run in found
    ]


def _write(path: str, table: Any, singles: Any, runs: Sequence[StoredRun], measure: Measure) -> None:
    """Write the table, the chart, the table of single runs if some are averaged, and the curves behind the chart."""
    drawn = [run._replace(curve=run.curve[run.curve.accuracy.notna()]) for run in runs if run.accuracy_of]
    with writing(path) as workbook:
        _fill(workbook, "Compare", table)
        if drawn:
            place(workbook, "Charts", [_chart(workbook, drawn, measure)], CHART_CM)
        if singles is not None:
            _fill(workbook, "Runs", singles)
        if drawn:
            titles, columns, formats = zip(*(column for run in drawn for column in _curve_columns(run, measure)))
            length = max(map(len, columns))
            rows = list(zip(*(column + [None] * (length - len(column)) for column in columns)))
            fill(workbook, "Curves", titles, rows, [formats] * length)


def _fill(workbook: Any, name: str, table: Any) -> None:
    """Add a sheet with a table, printed one page wide without the facts on the right."""
    sheet = fill(workbook, name, list(table.columns), table.values.tolist(), table.attrs["formats"])
    sheet.print_area(0, 0, len(table), len(table.columns) - len(FACTS) - 2)
    fit_to_pages(sheet, 1, 0)


def _curve_columns(run: StoredRun, measure: Measure) -> List[Tuple[str, List[float], str]]:
    """Return heading, values and format of the columns of a run in the sheet Curves."""
    bytes_title = "%s: %s so far (bytes)" % (run.name, measure.name)
    columns = [
        (bytes_title, measure.bytes_of(run.curve).tolist(), COUNT),
        ("%s: accuracy, %s (%%)" % (run.name, run.accuracy_of), run.curve.accuracy.tolist(), SHARE),
    ]
    if run.spread is not None:
        spread = run.spread.accuracy[run.curve.index].tolist()
        columns.append(("%s: SD of the accuracy of %d seeds (%%)" % (run.name, run.n_runs), spread, SHARE))
    return columns


def _chart(workbook: Any, runs: Sequence[StoredRun], measure: Measure) -> Any:
    """Return the chart of accuracy by bytes, of the columns in the sheet Curves."""
    widths = [len(_curve_columns(run, measure)) for run in runs]
    starts = [sum(widths[:index]) for index in range(len(widths))]
    lines = [
        ChartLine(run.name, "Curves", start, start + 1, run.curve.accuracy.tolist(), style)
        for style, (run, start) in enumerate(zip(runs, starts))
    ]
    spent = [measure.bytes_of(run.curve) for run in runs]
    measured = {run.accuracy_of for run in runs}
    y_title = "accuracy, %s" % measured.pop() if len(measured) == 1 else "accuracy"
    title = "%s so far, both ways" % measure.name
    return line_chart(
        workbook,
        "Accuracy by %s bytes" % measure.name,
        lines,
        spread_amount_axis(title, [series.max() for series in spent], min(series.min() for series in spent), "B"),
        share_axis(y_title, [value for line in lines for value in line.values]),
    )
