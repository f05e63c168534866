"""Draws lines through points, in the style of the charts of the workbook.

Lines differ by colour, dash and marker, so that they remain distinct in black and white.

Example
-------
    figure, axes = new_figure()
    drawn = draw_lines(axes, [Curve("test set", [1, 2], [0.5, 0.75])], round_axis("round", 2), share_axis("x", [0.5]))
"""

import math
import re
from bisect import bisect_left
from typing import Any, List, NamedTuple, Sequence

from ..drawing.style import colour, plain
from .axes import Axis, known

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
MARKS = "os^Dv<>"
MARKED_POINTS = 15  # with fewer points, each has a marker
N_MARKS = 7  # markers of a longer line
MOST_TICKS = 9
BAND = 0.2  # opacity
ROOM = 0.025  # share of an axis beyond its last tick, for a marker on it


class Curve(NamedTuple):
    """One line, through the points whose x and y are known.

    Attributes
    ----------
    style : int
        Selects its look, distinct in 0..27.
    spread : sequence of float, optional
        A band is drawn from y - spread to y + spread.
    """

    name: str
    xs: Sequence[Any]
    ys: Sequence[Any]
    style: int = 0
    spread: Sequence[float] = ()


def draw_lines(axes: Any, curves: Sequence[Curve], x_axis: Axis, y_axis: Axis) -> List[Any]:
    """Draw lines on axes; return their handles, for a legend."""
    drawn = []
    for index, curve in enumerate(curves):
        points = [(x, y) for x, y in zip(curve.xs, curve.ys) if len(known([x, y])) == 2]
        marked = _marked([x for x, _ in points], x_axis.is_log, index / len(curves))
        drawn += axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=colour(curve.style),
            label=plain(curve.name),
            linestyle=DASHES[curve.style % len(DASHES)],
            marker=MARKS[curve.style % len(MARKS)],
            markerfacecolor="white",
            markevery=marked,
        )
        if len(curve.spread):
            low, high = zip(*((y - spread, y + spread) for y, spread in zip(curve.ys, curve.spread)))
            axes.fill_between(curve.xs, low, high, color=colour(curve.style), alpha=BAND, linewidth=0)
    set_axis(axes, "x", x_axis)
    set_axis(axes, "y", y_axis)
    for (low, high), asked, set_limits in (
        (axes.get_xlim(), x_axis, axes.set_xlim),
        (axes.get_ylim(), y_axis, axes.set_ylim),
    ):
        set_limits(low, high * (high / low) ** ROOM if asked.is_log else high + ROOM * (high - low))
    return drawn


def _marked(xs: Sequence[float], is_log: bool, shift: float) -> List[int]:
    """Return the indices of the marked points: all of a few; otherwise spread evenly, shifted from line to line."""
    if len(xs) < MARKED_POINTS:
        return list(range(len(xs)))
    along = [math.log(x) if is_log else x for x in xs]
    step = (along[-1] - along[0]) / N_MARKS
    return sorted({bisect_left(along, along[0] + (index + shift) * step) for index in range(N_MARKS)})


def set_axis(axes: Any, which: str, asked: Axis) -> None:
    """Set title, unit, bounds and tick labels of the x or y axis."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    axis = getattr(axes, which + "axis")
    number_format = asked.number_format
    title, percent = (asked.title + " (%)", 100.0) if number_format.endswith("%") else (asked.title, 1.0)
    axis.set_label_text(plain(title, 100))
    if asked.is_log:
        getattr(axes, "set_%sscale" % which)("log")
    if asked.high is not None:
        getattr(axes, "set_%slim" % which)(asked.low, asked.high)
    if asked.is_log or asked.step is None:
        return
    n_steps = int(round((asked.high - asked.low) / asked.step))
    every = -(-n_steps // MOST_TICKS)
    axis.set_major_locator(FixedLocator([asked.low + index * asked.step for index in range(0, n_steps + 1, every)]))
    found = re.fullmatch(r"(?:#,##)?0(?:\.(0+))?(,*)%?", number_format)
    if found:  # as in a cell of the workbook
        factor = percent / 1000.0 ** len(found.group(2))
        n_decimals = max(0, len(found.group(1) or ""))
        axis.set_major_formatter(FuncFormatter(lambda value, _: "{:,.{}f}".format(value * factor, n_decimals)))
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: "%.1e" % value))
