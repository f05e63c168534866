"""The workbook of a run: summary, charts, read me, rounds, roll call, workers, settings.

Example
-------
    write_workbook("results/run.xlsx", [("rounds", 30)], rounds, workers, public(to_json(settings)))
"""

import numbers
from itertools import islice
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..core.settings import Json
from ..core.statuses import LATE, LOST, REFUSED, SKIPPED, UPLOADED
from ..drawing.statuses import COLOURS
from ..drawing.style import colour
from .axes import amount_axis, loss_axis, round_axis, share_axis
from .charts import Bars, ChartLine, bar_chart, insert, line_chart, place
from .config_sheet import add_config
from .data_sheet import add_data
from .headline import SAVING, Line
from .marks import mark_rounds, mark_workers
from .read_me import add_read_me
from .roll_call import add_roll_call
from .rows import COLUMNS, TOTAL_WIRE, TOTALS, RoundRow, WorkerRow
from .sheets import Formula, cell_value, fill, writing
from .totals import foot_of, running_totals, summary_cells

FORMATS = {
    "index": "0",
    "count": "#,##0",
    "share": "0.00%",
    "loss": "0.0000",
    "seconds": "#,##0.00",
    "amount": "#,##0.0##",
    "text": "General",
}

SUMMARY_TITLES = ("what", "value", "note")
SUMMARY_WIDEST = (40, 20, 40)  # characters
SUMMARY_CHART_CM = (15.5, 8.5)

# Curves of the charts: field, name in the legend, style of the line.
ACCURACIES = (
    ("accuracy", "master's model, test set", 0),
    ("shared_accuracy", "shared copy, test set", 1),
    ("average_accuracy", "average of the models, test set", 2),
    ("own_accuracy", "shared copy, workers' own data", 3),
)
LOSSES = (
    ("test_loss", "master's model, test set", 0),
    ("training_loss", "workers' training", 4),
    ("own_loss", "shared copy, workers' own data", 3),
)
# Layers of the bars: field, name in the legend, colour.
WIRE = (("wire_bytes_up", "up", colour(0)), ("wire_bytes_down", "down", colour(5)))
ROLL_CALL = tuple(
    (name, name, COLOURS[name].light) for name in (SKIPPED, UPLOADED, REFUSED, LATE, LOST)
)  # skips are lowest, where bars are easiest to compare


def write_workbook(
    path: str,
    summary: Sequence[Tuple[Any, ...]],
    rounds: Sequence[RoundRow],
    workers: Sequence[WorkerRow],
    settings: Json,
    roll_calls: Sequence[Tuple[int, Mapping[int, str]]] = (),
    data: Optional[Mapping[str, Any]] = None,
) -> None:
    """Write the workbook atomically.

    An existing file is replaced. Sheets and charts omit columns that are empty in the whole run. Without rounds there
    is no sheet Charts; without roll calls there is no sheet Roll-call.

    Parameters
    ----------
    path : str
        The .xlsx file, in an existing folder.
    summary : sequence of (label, value) or (label, value, note)
        Lines of the first sheet. Values whose label contains "accuracy" are shares; a :class:`.rows.Sum` becomes a
        formula.
    settings : mapping
        ``{section: {key: value}}``.
    roll_calls : sequence of (round, {worker id: status})
    data : mapping, optional
        What the workers have seen of their data, as in the journal; without it there is no sheet Data.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    round_columns, worker_columns = _columns(RoundRow, rounds), _columns(WorkerRow, workers)
    with writing(path) as workbook:
        lines = [Line(*line) for line in summary]
        sheet = _fill_summary(workbook, summary_cells(lines, rounds, round_columns, workers, worker_columns))
        if rounds:
            column = len(SUMMARY_TITLES)
            insert(
                sheet, list(islice(_curve_charts(workbook, round_columns, rounds), 2)), (0, column), SUMMARY_CHART_CM
            )
            charts = list(_curve_charts(workbook, round_columns, rounds))
            charts += _worker_charts(workbook, worker_columns, workers) if workers else []
            if charts:
                place(workbook, "Charts", charts)
        add_read_me(workbook, round_columns, worker_columns, bool(roll_calls), data is not None)
        sheet = _fill_rows(
            workbook,
            "Rounds",
            round_columns,
            rounds,
            [title for title, _ in TOTALS],
            running_totals(rounds, round_columns),
        )
        mark_rounds(workbook, sheet, round_columns, len(rounds))
        if roll_calls:
            add_roll_call(workbook, roll_calls)
        sheet = _fill_rows(
            workbook, "Workers", worker_columns, workers, foot=foot_of(workers, worker_columns) if workers else ()
        )
        mark_workers(workbook, sheet, worker_columns, len(workers))
        if data is not None:
            add_data(workbook, data)
        add_config(workbook, settings)


def _fill_summary(workbook: Any, lines: Sequence[Line]) -> Any:
    """Add the sheet Summary; return it. Long values run on into the notes, which such lines lack."""
    n_columns = len(SUMMARY_TITLES) if any(line.note for line in lines) else 2
    formats = [("General", _summary_format(line.label, line.value), "General")[:n_columns] for line in lines]
    rows = [line[:n_columns] for line in lines]
    return fill(
        workbook, "Summary", SUMMARY_TITLES[:n_columns], rows, formats, numbers_left=True, widest=SUMMARY_WIDEST
    )


def _columns(row_type: Any, rows: Sequence[Any]) -> Dict[str, int]:
    """Return the non-empty fields of rows, in the order of COLUMNS, with their column numbers from 0."""
    fields = [
        field
        for field in COLUMNS
        if field in row_type._fields and (not rows or any(cell_value(getattr(row, field)) is not None for row in rows))
    ]
    return {field: column for column, field in enumerate(fields)}


def _fill_rows(
    workbook: Any,
    name: str,
    columns: Mapping[str, int],
    rows: Sequence[Any],
    more_titles: Sequence[str] = (),
    more: Sequence[Sequence[Any]] = (),
    foot: Sequence[Any] = (),
) -> Any:
    """Add a sheet of rows, with more columns of counts on the right; return it."""
    formats = [FORMATS[COLUMNS[field].kind] for field in columns] + [FORMATS["count"]] * len(more_titles)
    return fill(
        workbook,
        name,
        [COLUMNS[field].title for field in columns] + list(more_titles),
        [
            [getattr(row, field) for field in columns] + list(beside)
            for row, beside in zip(rows, more or [()] * len(rows))
        ],
        [formats] * len(rows),
        foot,
    )


def _summary_format(label: str, value: Any) -> str:
    """Return the number format of a line of the summary."""
    value = value.value if isinstance(value, Formula) else value
    if "accuracy" in label.lower() or label == SAVING:
        return FORMATS["share"]
    return FORMATS["count"] if isinstance(value, numbers.Integral) else "#,##0.00##"


def _curve_charts(workbook: Any, round_columns: Mapping[str, int], rounds: Sequence[RoundRow]) -> Iterator[Any]:
    """Yield the charts of the accuracies and of the losses, each by round and by bytes on the wire."""
    total_wire = len(round_columns) + [title for title, _ in TOTALS].index(TOTAL_WIRE)
    wire = sum(row.wire_bytes_up + row.wire_bytes_down for row in rounds)
    across = (
        (round_columns["round_index"], "by round", round_axis("round", rounds[-1].round_index)),
        (total_wire, "by bytes on the wire", amount_axis("on the wire so far, both ways", wire, "B")),
    )

    for what, y_title, quantities, axis_of in (
        ("Accuracy", "accuracy", ACCURACIES, share_axis),
        ("Loss", "loss", LOSSES, loss_axis),
    ):
        drawn = [
            (round_columns[field], name, style, [cell_value(getattr(row, field)) for row in rounds])
            for field, name, style in quantities
            if field in round_columns
        ]
        if not drawn:
            continue
        y_axis = axis_of(y_title, [value for *_, values in drawn for value in values])
        for x_column, words, x_axis in across:
            lines = [
                ChartLine(name, "Rounds", x_column, column, values, style) for column, name, style, values in drawn
            ]
            yield line_chart(workbook, "%s %s" % (what, words), lines, x_axis, y_axis)


def _worker_charts(workbook: Any, columns: Mapping[str, int], workers: Sequence[WorkerRow]) -> List[Any]:
    """Return the charts per worker: its bytes and its outcomes."""

    def layers(quantities: Sequence[Tuple[str, str, str]]) -> List[Bars]:
        return [
            Bars(name, columns[field], look)
            for field, name, look in quantities
            if field in (SKIPPED, UPLOADED) or any(getattr(row, field) for row in workers)
        ]

    most_bytes = max(row.wire_bytes_up + row.wire_bytes_down for row in workers)
    most_rounds = max(sum(getattr(row, field) for field, _, _ in ROLL_CALL) for row in workers)
    return [
        bar_chart(
            workbook,
            "Bytes on the wire per worker",
            "Workers",
            layers(WIRE),
            len(workers),
            "worker",
            amount_axis("sent and received", most_bytes, "B"),
        ),
        bar_chart(
            workbook,
            "Skips and uploads per worker",
            "Workers",
            layers(ROLL_CALL),
            len(workers),
            "worker",
            round_axis("rounds", most_rounds),
        ),
    ]
