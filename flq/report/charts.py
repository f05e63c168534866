"""Excel charts of the columns of a sheet: lines through points, and stacked bars.

A chart refers to cells and holds no values of its own. Titles and legends are text, never formulas. The colours are
those of the figures; lines also differ by their dashes.

Example
-------
    line = ChartLine("test set", "Rounds", 0, 1, [0.5, 0.9])
    chart = line_chart(workbook, "Accuracy", [line], round_axis("round", 2), share_axis("accuracy", line.values))
    place(workbook, "Charts", [chart])
"""

import re
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from ..drawing.style import GRID, colour
from .axes import Axis
from .sheets import clean_text, fit_to_pages

DASHES = ("solid", "dash", "round_dot", "dash_dot")
GRID_LINES = {"visible": True, "line": {"color": GRID, "width": 0.5}}
LINE_POINTS, TITLE_POINTS = 1.5, 12

PIXELS_PER_CM = 96 / 2.54
CHART_CM = (20.0, 9.5)  # width, height
GAP_CM = 0.5  # between charts
PER_ROW = 2
CATEGORY_LABELS = 16  # with more bars, only some are labelled
MARKED_POINTS = 50  # with fewer points, each has a marker: a line of one point would be invisible
LIKE_A_CELL = re.compile(r"!(?=[$]?[A-Z]+[$]?[0-9])")  # XlsxWriter takes Sheet!A1 in a name as a reference


class ChartLine(NamedTuple):
    """One line of a chart.

    Attributes
    ----------
    sheet : str
        Name of the sheet that holds its points, from row 2 on.
    x_column, y_column : int
        Counted from 0.
    values : sequence of float or None
        The content of the y column; None = an empty cell, which the line bridges.
    style : int
        Selects colour and dash, distinct in 0..27; a quantity has the same style in all charts.
    """

    name: str
    sheet: str
    x_column: int
    y_column: int
    values: Sequence[Any]
    style: int = 0


class Bars(NamedTuple):
    """One layer of a chart of stacked bars: its name, its column (from 0), and its colour, #RRGGBB."""

    name: str
    column: int
    colour: str


def line_chart(workbook: Any, title: str, lines: Sequence[ChartLine], x_axis: Axis, y_axis: Axis) -> Any:
    """Return a chart of straight lines through points."""
    chart = workbook.add_chart({"type": "scatter", "subtype": "straight_with_markers"})
    chart.show_blanks_as("span")
    for line in lines:
        look = colour(line.style)
        is_marked = sum(value is not None for value in line.values) < MARKED_POINTS
        mark = {"type": "circle", "size": 4, "fill": {"color": look}, "border": {"color": look}}
        chart.add_series(
            {
                "name": _text(line.name),
                "categories": [line.sheet, 1, line.x_column, len(line.values), line.x_column],
                "values": [line.sheet, 1, line.y_column, len(line.values), line.y_column],
                "line": {"color": look, "width": LINE_POINTS, "dash_type": DASHES[line.style % len(DASHES)]},
                "marker": mark if is_marked else {"type": "none"},
                "smooth": False,
            }
        )
    _decorate(chart, title, _axis(x_axis), _axis(y_axis))
    return chart


def bar_chart(
    workbook: Any, title: str, sheet: str, layers: Sequence[Bars], n_bars: int, x_title: str, y_axis: Axis
) -> Any:
    """Return a chart of stacked bars, one per row of the sheet; the first column holds their labels."""
    chart = workbook.add_chart({"type": "column", "subtype": "stacked"})
    for layer in layers:
        chart.add_series(
            {
                "name": _text(layer.name),
                "categories": [sheet, 1, 0, n_bars, 0],
                "values": [sheet, 1, layer.column, n_bars, layer.column],
                "fill": {"color": layer.colour},
                "border": {"none": True},
                "gap": 40,
                "overlap": 100,
            }
        )
    names = dict(_axis(Axis(x_title, "0")), interval_unit=-(-n_bars // CATEGORY_LABELS), interval_tick=1)
    _decorate(chart, title, names, _axis(y_axis))
    return chart


def _axis(asked: Axis) -> Dict[str, Any]:
    """Return XlsxWriter's options for an axis."""
    options = {
        "name": _text(asked.title),
        "num_format": asked.number_format,
        "num_format_linked": False,
        "crossing": "min",  # the other axis crosses at the edge, not at zero
        "label_position": "low",
    }  # type: Dict[str, Any]
    if asked.high is not None:
        options.update(min=asked.low, max=asked.high, major_unit=asked.step)
    if asked.is_log:
        options["log_base"] = 10
    return options


def _decorate(chart: Any, title: str, x_axis: Dict[str, Any], y_axis: Dict[str, Any]) -> None:
    """Give a chart its titles, axes, grid and legend."""
    chart.set_title({"name": _text(title), "name_font": {"size": TITLE_POINTS, "bold": True}, "overlay": False})
    chart.set_x_axis(dict(x_axis, major_gridlines={"visible": False}))
    chart.set_y_axis(dict(y_axis, major_gridlines=GRID_LINES))
    chart.set_legend({"position": "bottom"})


def _text(text: str) -> str:
    """Return a name that Excel takes as text."""
    return LIKE_A_CELL.sub("! ", clean_text(text))


def place(workbook: Any, name: str, charts: List[Any], size_cm: Tuple[float, float] = CHART_CM) -> None:
    """Add a sheet of charts, two per row, printed on one page."""
    sheet = workbook.add_worksheet(name)
    insert(sheet, charts, (0, 0), size_cm, PER_ROW)
    sheet.hide_gridlines(2)  # 2: on screen and paper
    fit_to_pages(sheet, 1, 1)


def insert(
    sheet: Any, charts: List[Any], cell: Tuple[int, int], size_cm: Tuple[float, float], per_row: int = 1
) -> None:
    """Put charts on a sheet, from a cell (line, column) to the right and down; their size does not follow the cells."""
    for index, chart in enumerate(charts):
        row, column = divmod(index, per_row)
        x, y = [
            round((n_before * (size + GAP_CM) + GAP_CM) * PIXELS_PER_CM)
            for n_before, size in zip((column, row), size_cm)
        ]
        chart.set_size(dict(zip(("width", "height"), (round(size * PIXELS_PER_CM) for size in size_cm))))
        sheet.insert_chart(*cell, chart, {"x_offset": x, "y_offset": y, "object_position": 3})
