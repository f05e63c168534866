"""Draws participation as a grid: a row per worker, a column per round, a colour per outcome.

In a long or large run, a cell stands for several rounds or workers, and is a small stacked bar of their outcomes: a row
is a stacked area over time, whose colours show shares and are never mixed. The size of the figure is bounded.

Example
-------
    figure = participation(rows, [{0: "uploaded", 1: "skipped"}, {0: "uploaded", 1: "lost"}])
"""

from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from ..core.statuses import LATE, LOST, REFUSED, SKIPPED, STATUSES, UPLOADED
from ..drawing.statuses import COLOURS, rgb
from ..drawing.style import COLUMN, PAGE, legend_above, new_figure, styled, thousands
from .rows import RoundRow

MARKERS = {REFUSED: "_", LATE: "|", LOST: "x"}  # in a wide cell
ALWAYS_NAMED = (UPLOADED, SKIPPED)  # in the legend
NARROW = 50  # up to this many rounds the figure fits one column of text
MOST_ROUNDS, MOST_WORKERS = 150, 100  # up to this many have a column or row of their own
N_COLUMNS, N_ROWS = 60, 25  # beyond it, at most this many of several rounds or workers
PARTS_PER_INCH = 100  # of the bar in a cell: two dots each
MOST_SEPARATED = 40  # up to this many columns and rows, cells have markers
TALL, LEAST_ROW, LARGEST_ROW = 5.0, 0.07, 0.2  # inches: all rows if they fit, and one row
LABEL_INCHES = 0.21  # between the labels of two rows
GAP = 0.6  # points between cells


class Grid(NamedTuple):
    """Rounds per column, and workers per row."""

    rounds: int
    workers: int


def grid_of(n_workers: int, n_rounds: int) -> Grid:
    """Return the size of a cell: 1, or 1, 2 or 5 times a power of ten."""
    return Grid(
        1 if n_rounds <= MOST_ROUNDS else round_up(n_rounds / N_COLUMNS),
        1 if n_workers <= MOST_WORKERS else round_up(n_workers / N_ROWS),
    )


@styled
def participation(rows: Sequence[RoundRow], roll_calls: Sequence[Mapping[int, str]]) -> Optional[Any]:
    """Draw the roll calls of the rounds, in order; None without workers."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    n_workers = 1 + max((worker_id for roll_call in roll_calls for worker_id in roll_call), default=-1)
    if not n_workers:
        return None
    codes = _codes([row.round_index - rows[0].round_index for row in rows], roll_calls, n_workers)
    n_rounds = codes.shape[1]
    grid, first = grid_of(n_workers, n_rounds), rows[0].round_index - 0.5
    n_rows, n_columns = -(-n_workers // grid.workers), -(-n_rounds // grid.rounds)
    row_inches = min(LARGEST_ROW, max(LEAST_ROW, TALL / n_rows))
    image = _image(codes, grid, min(grid.rounds * grid.workers, round(PARTS_PER_INCH * row_inches)))
    figure, axes = new_figure(COLUMN if n_rounds <= NARROW else PAGE, 0.95 + max(row_inches * n_rows, 0.5))
    right, bottom = first + grid.rounds * n_columns, grid.workers * n_rows - 0.5
    axes.imshow(image, aspect="auto", interpolation="nearest", extent=(first, right, bottom, -0.5))
    axes.set_xlim(first, first + n_rounds)
    axes.set_ylim(n_workers - 0.5, -0.5)
    axes.grid(visible=False)
    if grid == Grid(1, 1):
        axes.vlines(first + np.arange(1, n_columns), -0.5, bottom, colors="white", linewidth=GAP)
    axes.hlines(grid.workers * np.arange(1, n_rows) - 0.5, first, right, colors="white", linewidth=GAP)
    if max(n_rounds, n_workers) <= MOST_SEPARATED:
        _mark(axes, codes, first)
    axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    every = round_up(grid.workers * LABEL_INCHES / row_inches)
    axes.yaxis.set_major_locator(FixedLocator(range(0, n_workers, every)))
    thousands(axes.xaxis)
    thousands(axes.yaxis)
    axes.set_xlabel(_title("round", grid.rounds, "column"))
    axes.set_ylabel(_title("worker", grid.workers, "row"))
    legend_above(figure, _handles(codes), handlelength=1.0, handletextpad=0.5)
    return figure


def round_up(value: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50, ... that is not below a value."""
    power = 1
    while 10 * power < value:
        power *= 10
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def _title(name: str, n: int, of: str) -> str:
    return name if n == 1 else "%s (%d in a %s)" % (name, n, of)


def _codes(columns: Sequence[int], roll_calls: Sequence[Mapping[int, str]], n_workers: int) -> np.ndarray:
    """Return the index into STATUSES for each worker and round, -1 = none; shape (n_workers, n_rounds), int8."""
    numbers = {status: number for number, status in enumerate(STATUSES)}
    codes = np.full((n_workers, columns[-1] + 1), -1, np.int8)
    for column, roll_call in zip(columns, roll_calls):
        for worker_id, status in roll_call.items():
            codes[worker_id, column] = numbers[status]
    return codes


def _image(codes: np.ndarray, grid: Grid, n_parts: int) -> np.ndarray:
    """Return the colours, with a bar of ``n_parts`` in each cell; shape (n_rows * n_parts, n_columns, 3), uint8."""
    n_rows, n_columns = -(-codes.shape[0] // grid.workers), -(-codes.shape[1] // grid.rounds)
    padded = np.full((n_rows * grid.workers, n_columns * grid.rounds), -1, np.int8)
    padded[: codes.shape[0], : codes.shape[1]] = codes
    cells = padded.reshape(n_rows, grid.workers, n_columns, grid.rounds)
    counts = np.stack([(cells == code).sum(axis=(1, 3)) for code in range(len(STATUSES))], axis=2)
    n_outcomes = np.outer(_sizes(codes.shape[0], grid.workers), _sizes(codes.shape[1], grid.rounds))
    ends = np.cumsum(shares_of(counts, n_outcomes, n_parts), axis=2)
    from_below = np.arange(n_parts)[::-1, np.newaxis, np.newaxis]
    number = (from_below >= ends[:, np.newaxis, :, :]).sum(axis=3)  # of the colour of each part
    palette = np.array([rgb(COLOURS[status].light) for status in STATUSES] + [(255, 255, 255)], np.uint8)
    return palette[number].reshape(n_rows * n_parts, n_columns, 3)


def _sizes(n: int, each: int) -> np.ndarray:
    """Return the sizes of the groups of ``each`` in which n things are counted; the last may be smaller."""
    return np.minimum(each, n - np.arange(0, n, each))


def shares_of(counts: np.ndarray, n_outcomes: np.ndarray, n_parts: int) -> np.ndarray:
    """Return how many of the ``n_parts`` parts of each bar each status has; shape of ``counts``, int.

    An outcome other than an upload or a skip that occurred has at least one part; the others are rounded, and the most
    frequent gives way.

    Parameters
    ----------
    counts : ndarray of shape (n_rows, n_columns, n_statuses), int
    n_outcomes : ndarray of shape (n_rows, n_columns), int
        If the counts of a bar add up to less, the rest of its parts stays white.
    """
    present = counts.sum(axis=2)
    n_colours = np.maximum(np.round(present * n_parts / n_outcomes).astype(int), present > 0)
    parts = np.floor(counts * n_parts / n_outcomes[:, :, np.newaxis] + 0.5).astype(int)
    rare = [number for number, status in enumerate(STATUSES) if status not in ALWAYS_NAMED]
    parts[:, :, rare] = np.maximum(parts[:, :, rare], counts[:, :, rare] > 0)
    most = counts.argmax(axis=2)[:, :, np.newaxis]
    rest = n_colours[:, :, np.newaxis] - parts.sum(axis=2, keepdims=True)
    changed = np.take_along_axis(parts, most, axis=2) + rest
    np.put_along_axis(parts, most, np.maximum(changed, 0), axis=2)
    return parts


def _mark(axes: Any, codes: np.ndarray, first: float) -> None:
    """Draw markers in the cells that are neither uploads nor skips."""
    for status, mark in MARKERS.items():
        found, columns = np.nonzero(codes == STATUSES.index(status))
        axes.plot(first + 0.5 + columns, found, mark, color="white", markersize=4)


def _handles(codes: np.ndarray) -> List[Any]:
    """Return the entries of the legend: uploads and skips, and other outcomes that occurred."""
    from matplotlib.patches import Patch

    counts = {status: int((codes == number).sum()) for number, status in enumerate(STATUSES)}
    return [
        Patch(facecolor=COLOURS[status].light, label="%s (%s)" % (status, format(count, ",")))
        for status, count in counts.items()
        if status in ALWAYS_NAMED or count
    ]
