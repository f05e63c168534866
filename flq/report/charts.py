"""Charts over the columns of a sheet: lines through points, and stacked bars.

The points stay in their sheet; a chart names the cells. Titles and legends are text, never
formulas. Colours are Okabe and Ito's, which colour-blind readers can tell apart; lines differ by
dashes too.

Example
-------
>>> line = Line("test set", workbook["Rounds"], 1, 2, [0.5, 0.9])
>>> chart = line_chart("Accuracy", [line], round_axis(2), share_axis("accuracy", line.values))
>>> place(sheet, [chart])
"""

from typing import Any, List, NamedTuple, Sequence, Tuple

from .axes import Axis
from .sheets import clean_text, fit_to_pages

PALETTE = ("0072B2", "D55E00", "009E73", "CC79A7", "E69F00", "56B4E9", "000000")
DASHES = ("solid", "dash", "sysDot", "dashDot")
GRID_COLOUR = "D9D9D9"
LINE_EMU, GRID_EMU = 19050, 6350  # widths: 1.5 and 0.5 points

CHART_CM = (20.0, 9.5)  # width, height
TITLE_POINTS = 12
GAP_CM = 0.5  # between charts
PER_ROW = 2
CATEGORY_LABELS = 16  # with more bars not every one has its number
MARKED_POINTS = 50  # with fewer points each has a mark; a single point is nothing but its mark


class Line(NamedTuple):
    """One line of a chart.

    Attributes
    ----------
    sheet : openpyxl.worksheet.worksheet.Worksheet
        Where its points stand, from row 2 on.
    x_column, y_column : int
        Counted from 1.
    values : sequence of float or None
        What stands in the column of y; None = an empty cell, which the line bridges.
    style : int
        Which colour and dash, no two alike in 0..27; lines of one meaning keep theirs in all charts.
    """

    name: str
    sheet: Any
    x_column: int
    y_column: int
    values: Sequence[Any]
    style: int = 0


class Bars(NamedTuple):
    """One layer of a chart of stacked bars: its name, its column (from 1), and its colour of PALETTE."""

    name: str
    column: int
    colour: int


def line_chart(title: str, lines: Sequence[Line], x_axis: Axis, y_axis: Axis) -> Any:
    """Return a chart of straight lines through points."""
    from openpyxl.chart import Reference, ScatterChart, Series

    chart = ScatterChart()
    chart.style, chart.scatterStyle = 2, "lineMarker"
    chart.display_blanks = "span"
    _decorate(chart, title, x_axis, y_axis)
    for line in lines:
        last = 1 + len(line.values)
        series = Series(Reference(line.sheet, line.y_column, 2, max_row=last),
                        Reference(line.sheet, line.x_column, 2, max_row=last), title=clean_text(line.name))
        colour = PALETTE[line.style % len(PALETTE)]
        series.smooth = False
        series.graphicalProperties.line.solidFill = colour
        series.graphicalProperties.line.width = LINE_EMU
        series.graphicalProperties.line.dashStyle = DASHES[line.style % len(DASHES)]
        is_marked = sum(value is not None for value in line.values) < MARKED_POINTS
        series.marker.symbol = "circle" if is_marked else "none"
        series.marker.size = 4
        series.marker.graphicalProperties.solidFill = colour
        series.marker.graphicalProperties.line.solidFill = colour
        chart.series.append(series)
    return chart


def bar_chart(title: str, sheet: Any, layers: Sequence[Bars], n_bars: int, x_title: str, y_axis: Axis) -> Any:
    """Return a chart of stacked bars, one for each of the sheet's rows; column 1 names them."""
    from openpyxl.chart import BarChart, Reference, Series

    chart = BarChart()
    chart.style, chart.type, chart.grouping, chart.overlap, chart.gapWidth = 2, "col", "stacked", 100, 40
    _decorate(chart, title, Axis(x_title, "0"), y_axis)
    chart.x_axis.tickLblSkip = -(-n_bars // CATEGORY_LABELS)
    chart.x_axis.tickMarkSkip = 1
    for layer in layers:
        series = Series(Reference(sheet, layer.column, 2, max_row=1 + n_bars), title=clean_text(layer.name))
        series.graphicalProperties.solidFill = PALETTE[layer.colour]
        series.graphicalProperties.line.noFill = True
        series.invertIfNegative = False
        chart.series.append(series)
    chart.set_categories(Reference(sheet, 1, 2, max_row=1 + n_bars))
    return chart


def _decorate(chart: Any, title: str, x_axis: Axis, y_axis: Axis) -> None:
    """Give a chart its titles, axes, grid and legend."""
    from openpyxl.chart.shapes import GraphicalProperties
    from openpyxl.drawing.text import CharacterProperties, ParagraphProperties

    chart.title = clean_text(title)
    chart.roundedCorners = False
    chart.legend.position, chart.legend.overlay = "b", False
    for axis, asked in ((chart.x_axis, x_axis), (chart.y_axis, y_axis)):
        axis.title = clean_text(asked.title)
        axis.title.overlay = False
        axis.number_format = asked.number_format
        axis.delete = False  # openpyxl 3.1 hides axes otherwise
        axis.crosses = "min"  # of the other axis: both stand at the edge, not at zero
        axis.tickLblPos = "low"
        if asked.high is not None:
            axis.scaling.min, axis.scaling.max, axis.majorUnit = asked.low, asked.high, asked.step
        if asked.is_log:
            axis.scaling.logBase = 10
    chart.title.overlay = False
    chart.title.tx.rich.p[0].pPr = ParagraphProperties(defRPr=CharacterProperties(sz=100 * TITLE_POINTS, b=True))
    chart.x_axis.majorGridlines = None
    grid = chart.y_axis.majorGridlines.spPr = GraphicalProperties()
    grid.line.solidFill, grid.line.width = GRID_COLOUR, GRID_EMU


def place(sheet: Any, charts: List[Any], size_cm: Tuple[float, float] = CHART_CM) -> None:
    """Put charts on an empty sheet, in rows of two that do not move with the cells, on one page of paper."""
    from openpyxl.drawing.spreadsheet_drawing import AbsoluteAnchor
    from openpyxl.drawing.xdr import XDRPoint2D, XDRPositiveSize2D
    from openpyxl.utils.units import cm_to_EMU

    for index, chart in enumerate(charts):
        row, column = divmod(index, PER_ROW)
        corner = [cm_to_EMU(n_before * (size + GAP_CM) + GAP_CM) for n_before, size in zip((column, row), size_cm)]
        chart.anchor = AbsoluteAnchor(XDRPoint2D(*corner), XDRPositiveSize2D(*map(cm_to_EMU, size_cm)))
        sheet.add_chart(chart)
    sheet.sheet_view.showGridLines = False
    fit_to_pages(sheet, 1, 1)
