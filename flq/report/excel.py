"""The Excel workbook of a run: summary, rounds, workers, settings, charts.

All cells are values, never formulas: a worker's name or a setting can not make Excel
calculate. openpyxl is imported inside the functions, because it takes a third of a second and
most processes that import this package never write a workbook.

Example
-------
>>> write_workbook("results/run.xlsx", [("rounds", 30)], rounds, workers, config.settings())
"""

import math
import numbers
import os
import re
import textwrap
from itertools import accumulate
from typing import Any, List, Mapping, Sequence, Tuple

from .rows import COLUMNS, TOTALS, RoundRow, WorkerRow

FORMATS = {"index": "0", "count": "#,##0", "share": "0.00%", "loss": "0.0000", "seconds": "#,##0.00",
           "text": "General"}
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production Char
EXACT_IN_EXCEL = 10 ** 15  # Excel keeps 15 digits of a number
WIDEST = 60  # characters
LINE_POINTS = 15  # height of a line of the heading

CHART_CM = (24, 11)  # width, height
CHART_ROWS = 24  # rows of the sheet that a chart covers
MARKED_POINTS = 50  # with fewer rounds each point has a mark; a single round is nothing but its mark
LINES = (("accuracy", "master's model", "1F5FA8"), ("shared_accuracy", "copy that workers share", "D9822B"))


def write_workbook(path: str, summary: Sequence[Tuple[str, Any]], rounds: Sequence[RoundRow],
                   workers: Sequence[WorkerRow], settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the workbook: the whole of it or, if anything fails, nothing.

    A file that is there is replaced. Without an accuracy there is no sheet with charts.

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

    totals = [list(accumulate(sum(getattr(row, field) for field in fields) for row in rounds))
              for _, fields in TOTALS]
    settings_lines = [(section, key, value) for section, part in settings.items() for key, value in part.items()]

    workbook = Workbook()
    workbook.active.title = "Summary"
    _fill(workbook.active, ("what", "value"), summary,
          [("General", _summary_format(label, value)) for label, value in summary])
    _fill(workbook.create_sheet("Rounds"), _titles(RoundRow) + [title for title, _ in TOTALS],
          [row + sums for row, sums in zip(rounds, zip(*totals))],
          [_formats(RoundRow) + [FORMATS["count"]] * len(TOTALS)] * len(rounds))
    _fill(workbook.create_sheet("Workers"), _titles(WorkerRow), workers, [_formats(WorkerRow)] * len(workers))
    _fill(workbook.create_sheet("Config"), ("section", "key", "value"), settings_lines,
          [("General",) * 3] * len(settings_lines))
    if any(row.accuracy is not None for row in rounds):
        _draw(workbook.create_sheet("Charts"), workbook["Rounds"], rounds)

    temporary = "%s.%d.tmp" % (path, os.getpid())
    try:
        with open(temporary, "wb") as file:
            workbook.save(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def _titles(row_type: Any) -> List[str]:
    return [COLUMNS[field].title for field in row_type._fields]


def _formats(row_type: Any) -> List[str]:
    return [FORMATS[COLUMNS[field].kind] for field in row_type._fields]


def _summary_format(label: str, value: Any) -> str:
    """Return the number format of a line of the summary, which has no columns to go by."""
    if "accuracy" in label.lower():
        return FORMATS["share"]
    return FORMATS["count"] if isinstance(value, numbers.Integral) else "#,##0.00##"


def _fill(sheet: Any, titles: Sequence[str], rows: Sequence[Sequence[Any]], formats: Sequence[Sequence[str]]) -> None:
    """Write a heading that stays in view, typed cells under it, and fit widths and the heading's height."""
    from openpyxl.styles import Alignment, Font

    bold = Font(name="Calibri", size=11, bold=True)  # openpyxl's own font, bold
    left = Alignment(horizontal="left", indent=1)
    left_columns = set()  # those whose heading stands left too
    widths = [max(len(word) for word in title.split()) for title in titles]
    for line, (row, row_formats) in enumerate(zip(rows, formats), start=2):
        for column, (value, number_format) in enumerate(zip(row, row_formats)):
            content = _cell_value(value)
            if content is None:
                continue
            cell = sheet.cell(line, column + 1, content)
            if isinstance(content, str):
                cell.data_type = "s"  # openpyxl takes a leading = for a formula
            else:
                cell.number_format = number_format
            if isinstance(content, str) or number_format == "General":
                cell.alignment = left
                left_columns.add(column + 1)
            widths[column] = max(widths[column], _width(content))

    widths = [min(width, WIDEST) + 3 for width in widths]  # 3: room for the bold heading and the indent
    for column, (title, width) in enumerate(zip(titles, widths), start=1):
        cell = sheet.cell(1, column, title)
        cell.font = bold
        is_left = column in left_columns
        cell.alignment = Alignment(horizontal="left" if is_left else "right", indent=int(is_left), wrap_text=True,
                                   vertical="top")
        sheet.column_dimensions[cell.column_letter].width = width
    n_lines = max(len(textwrap.wrap(title, width - 2)) for title, width in zip(titles, widths))
    sheet.row_dimensions[1].height = LINE_POINTS * n_lines
    sheet.freeze_panes = "B2"
    sheet.print_title_rows = "1:1"
    _fit_to_page(sheet, n_pages=0)


def _fit_to_page(sheet: Any, n_pages: int) -> None:
    """Print landscape, one page wide and so many pages long; 0 = as many as it takes."""
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", n_pages
    sheet.sheet_properties.pageSetUpPr.fitToPage = True


def _cell_value(value: Any) -> Any:
    """Return what a cell can hold: None, bool, int, finite float, or text that XML can carry."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral) and abs(value) < EXACT_IN_EXCEL:
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return float(value) if math.isfinite(value) else None
    return NOT_IN_XML.sub("\ufffd", str(value))


def _width(content: Any) -> int:
    """Return about how many characters a cell needs."""
    if isinstance(content, (float, int)):
        return len(format(content, ",.2f" if isinstance(content, float) else ","))
    return max(map(len, content.splitlines()), default=0)


def _draw(sheet: Any, source: Any, rounds: Sequence[RoundRow]) -> None:
    """Draw accuracy by round and by total wire bytes; the points stay in the sheet of the rounds."""
    total_title = "total wire, both ways (bytes)"
    total = sum(row.wire_bytes_up + row.wire_bytes_down for row in rounds)
    # In number formats each comma at the end divides by a thousand.
    scale, unit = ("#,##0.0,,", "MB") if total >= 1e6 else ("#,##0.0,", "kB")
    for place, title, x_column, x_title, x_format in (
            ("A1", "Accuracy by round", COLUMNS["round_index"].title, "round", "0"),
            ("A%d" % (CHART_ROWS + 1), "Accuracy by bytes on the wire", total_title,
             "on the wire so far, both ways (%s)" % unit, scale)):
        sheet.add_chart(_chart(source, title, x_column, x_title, x_format), place)
    _fit_to_page(sheet, n_pages=1)


def _chart(source: Any, title: str, x_column: str, x_title: str, x_format: str) -> Any:
    """Return straight lines through the accuracies over one column of the rounds."""
    from openpyxl.chart import Reference, ScatterChart, Series

    column_of = {cell.value: cell.column for cell in source[1]}
    chart = ScatterChart()
    chart.style, chart.scatterStyle = 2, "lineMarker"
    chart.width, chart.height = CHART_CM
    chart.title, chart.x_axis.title, chart.y_axis.title = title, x_title, "accuracy on the test set"
    chart.x_axis.number_format, chart.y_axis.number_format = x_format, "0%"
    chart.x_axis.delete = chart.y_axis.delete = False  # openpyxl 3.1 hides axes otherwise
    chart.x_axis.majorGridlines = None
    chart.y_axis.scaling.max = 1
    chart.legend.position = "b"
    chart.display_blanks = "span"  # rounds that were not evaluated are bridged
    xs = Reference(source, column_of[x_column], 2, max_row=source.max_row)
    for field, name, colour in LINES:
        ys = Reference(source, column_of[COLUMNS[field].title], 2, max_row=source.max_row)
        series = Series(ys, xs, title=name)
        series.smooth = False
        series.graphicalProperties.line.solidFill = colour
        series.graphicalProperties.line.width = 19050  # EMU, 1.5 points
        series.marker.symbol = "circle" if source.max_row <= MARKED_POINTS else "none"
        series.marker.size = 4
        series.marker.graphicalProperties.solidFill = colour
        series.marker.graphicalProperties.line.solidFill = colour
        chart.series.append(series)
    return chart
