"""The Excel workbook of a run: summary, rounds, workers, settings, charts.

Example
-------
>>> write_workbook("results/run.xlsx", [("rounds", 30)], rounds, workers, config.settings())
"""

import numbers
from itertools import accumulate
from typing import Any, List, Mapping, Sequence, Tuple

from .axes import amount_axis, loss_axis, round_axis, share_axis
from .charts import Bars, Line, bar_chart, line_chart, place
from .rows import COLUMNS, TOTAL_WIRE, TOTALS, RoundRow, WorkerRow
from .sheets import cell_value, fill, save

FORMATS = {"index": "0", "count": "#,##0", "share": "0.00%", "loss": "0.0000", "seconds": "#,##0.00",
           "amount": "#,##0.0##",
           "text": "General"}
ROUNDS_PAGES_WIDE = 2  # its many columns would be too small to read on one page

# What the charts draw: field, name in the legend, style of the line.
ACCURACIES = (("accuracy", "master's model, test set", 0), ("shared_accuracy", "shared copy, test set", 1),
              ("average_accuracy", "average of the models, test set", 2),
              ("own_accuracy", "shared copy, workers' own data", 3))
LOSSES = (("test_loss", "master's model, test set", 0), ("training_loss", "workers' training", 4),
          ("own_loss", "shared copy, workers' own data", 3))
WIRE = (("wire_bytes_up", "up", 0), ("wire_bytes_down", "down", 5))
ROLL_CALL = (("skipped", "skipped", 4), ("uploaded", "uploaded", 0), ("refused", "refused", 3), ("late", "late", 1),
             ("lost", "lost", 6))  # skips stand on the axis, where they can be compared


def write_workbook(path: str, summary: Sequence[Tuple[str, Any]], rounds: Sequence[RoundRow],
                   workers: Sequence[WorkerRow], settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the workbook: the whole of it or, if anything fails, nothing.

    A file that is there is replaced. Columns that are empty in the whole run are left out, of the
    sheets and of the charts; without rounds there is no sheet with charts.

    Parameters
    ----------
    path : str
        The .xlsx file; its folder must exist.
    summary : sequence of (label, value)
        Lines of the first sheet. Values of labels that speak of an accuracy are shares.
    settings : mapping
        ``{section: {key: value}}``.

    Raises
    ------
    OSError
        If the folder can not be written.
    """
    from openpyxl import Workbook

    settings_lines = [(section, key, value) for section, part in settings.items() for key, value in part.items()]
    totals = [list(accumulate(sum(getattr(row, field) for field in fields) for row in rounds))
              for _, fields in TOTALS]

    workbook = Workbook()
    workbook.active.title = "Summary"
    fill(workbook.active, ("what", "value"), summary,
         [("General", _summary_format(label, value)) for label, value in summary])
    _fill_rows(workbook.create_sheet("Rounds"), RoundRow, rounds, [title for title, _ in TOTALS],
               list(zip(*totals)), ROUNDS_PAGES_WIDE)
    _fill_rows(workbook.create_sheet("Workers"), WorkerRow, workers)
    fill(workbook.create_sheet("Config"), ("section", "key", "value"), settings_lines,
         [("General",) * 3] * len(settings_lines))
    charts = _charts(workbook["Rounds"], rounds, workbook["Workers"], workers) if rounds else []
    if charts:
        place(workbook.create_sheet("Charts"), charts)
    save(workbook, path)


def _fill_rows(sheet: Any, row_type: Any, rows: Sequence[Any], more_titles: Sequence[str] = (),
               more: Sequence[Sequence[int]] = (), pages_wide: int = 1) -> None:
    """Write the columns of rows that hold anything, and beside them more columns of counts."""
    fields = [field for field in COLUMNS if field in row_type._fields
              and (not rows or any(cell_value(getattr(row, field)) is not None for row in rows))]
    formats = [FORMATS[COLUMNS[field].kind] for field in fields] + [FORMATS["count"]] * len(more_titles)
    fill(sheet, [COLUMNS[field].title for field in fields] + list(more_titles),
         [[getattr(row, field) for field in fields] + list(beside)
          for row, beside in zip(rows, more or [()] * len(rows))],
         [formats] * len(rows), pages_wide)


def _summary_format(label: str, value: Any) -> str:
    """Return the number format of a line of the summary, which has no columns to go by."""
    if "accuracy" in label.lower():
        return FORMATS["share"]
    return FORMATS["count"] if isinstance(value, numbers.Integral) else "#,##0.00##"


def _charts(rounds_sheet: Any, rounds: Sequence[RoundRow], workers_sheet: Any,
            workers: Sequence[WorkerRow]) -> List[Any]:
    """Return the charts, two of a row beside each other: by round and by bytes on the wire."""
    column_of = {cell.value: cell.column for cell in rounds_sheet[1]}
    wire = sum(row.wire_bytes_up + row.wire_bytes_down for row in rounds)
    across = ((COLUMNS["round_index"].title, "by round", round_axis("round", rounds[-1].round_index)),
              (TOTAL_WIRE, "by bytes on the wire", amount_axis("on the wire so far, both ways", wire, "B")))

    charts = []
    for what, y_title, quantities, axis_of in (("Accuracy", "accuracy", ACCURACIES, share_axis),
                                               ("Loss", "loss", LOSSES, loss_axis)):
        drawn = [(COLUMNS[field].title, name, style, [cell_value(getattr(row, field)) for row in rounds])
                 for field, name, style in quantities if COLUMNS[field].title in column_of]
        if not drawn:
            continue
        y_axis = axis_of(y_title, [value for *_, values in drawn for value in values])
        for x_title, words, x_axis in across:
            lines = [Line(name, rounds_sheet, column_of[x_title], column_of[title], values, style)
                     for title, name, style, values in drawn]
            charts.append(line_chart("%s %s" % (what, words), lines, x_axis, y_axis))
    return charts + (_worker_charts(workers_sheet, workers) if workers else [])


def _worker_charts(sheet: Any, workers: Sequence[WorkerRow]) -> List[Any]:
    """Return bars per worker: bytes, and what it did in its rounds."""
    column_of = {cell.value: cell.column for cell in sheet[1]}

    def layers(quantities: Sequence[Tuple[str, str, int]]) -> List[Bars]:
        return [Bars(name, column_of[COLUMNS[field].title], colour) for field, name, colour in quantities
                if field in ("skipped", "uploaded") or any(getattr(row, field) for row in workers)]

    most_bytes = max(row.wire_bytes_up + row.wire_bytes_down for row in workers)
    most_rounds = max(sum(getattr(row, field) for field, _, _ in ROLL_CALL) for row in workers)
    return [bar_chart("Bytes on the wire per worker", sheet, layers(WIRE), len(workers), "worker",
                      amount_axis("sent and received", most_bytes, "B")),
            bar_chart("Skips and uploads per worker", sheet, layers(ROLL_CALL), len(workers), "worker",
                      round_axis("rounds", most_rounds))]
