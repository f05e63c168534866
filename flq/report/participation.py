"""Draws participation as a raster: a row per worker, and a column per round or, in long runs, per several rounds.

Example
-------
    figure = participation(rows, [{0: "uploaded", 1: "skipped"}, {0: "uploaded", 1: "lost"}])
"""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..drawing.style import COLUMN, PAGE, colour, legend_above, new_figure, styled, thousands
from .rows import RoundRow

# Outcome -> colour, and marker in a wide cell. In a column of several rounds, later entries override earlier ones.
LOOKS: Dict[str, Tuple[str, str]] = {
    "skipped": ("#DCDCDC", ""),
    "uploaded": (colour(0), ""),
    "refused": (colour(3), "_"),
    "late": (colour(1), "|"),
    "lost": (colour(6), "x"),
}
BLENDED = ("skipped", "uploaded")  # a column of several rounds mixes their colours, unless an outcome overrides them
MOST_COLUMNS = 500
NARROW = 100  # up to this many rounds the figure fits one column of text
MOST_SEPARATED = 40  # up to this many columns and rows, cells have white borders and markers


@styled
def participation(rows: Sequence[RoundRow], roll_calls: Sequence[Mapping[int, str]]) -> Optional[Any]:
    """Draw the roll calls of the rounds, in order; None without workers."""
    from matplotlib.ticker import MaxNLocator

    n_workers = 1 + max((worker_id for roll_call in roll_calls for worker_id in roll_call), default=-1)
    if not n_workers:
        return None
    codes = _codes([row.round_index - rows[0].round_index for row in rows], roll_calls, n_workers)
    n_rounds = codes.shape[1]
    per_column = -(-n_rounds // MOST_COLUMNS)
    image = _image(codes, per_column)
    first = rows[0].round_index - 0.5
    inches = max(0.055, min(0.2, 3.0 / n_workers)) * n_workers
    figure, axes = new_figure(COLUMN if n_rounds <= NARROW else PAGE, 0.95 + max(inches, 0.5))
    axes.imshow(
        image,
        aspect="auto",
        interpolation="nearest",
        extent=(first, first + per_column * image.shape[1], n_workers - 0.5, -0.5),
    )
    axes.set_xlim(first, first + n_rounds)
    axes.grid(visible=False)
    if max(n_rounds, n_workers) <= MOST_SEPARATED:
        _separate(axes, codes, first)
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
    thousands(axes.xaxis)
    axes.set_xlabel("round" if per_column == 1 else "round (%d in a column)" % per_column)
    axes.set_ylabel("worker")
    legend_above(figure, _handles(codes), handlelength=1.0, handletextpad=0.5)
    return figure


def _codes(columns: Sequence[int], roll_calls: Sequence[Mapping[int, str]], n_workers: int) -> np.ndarray:
    """Return the index into LOOKS for each worker and round, -1 = none; shape (n_workers, n_rounds), int8."""
    numbers = {status: number for number, status in enumerate(LOOKS)}
    codes = np.full((n_workers, columns[-1] + 1), -1, np.int8)
    for column, roll_call in zip(columns, roll_calls):
        for worker_id, status in roll_call.items():
            codes[worker_id, column] = numbers[status]
    return codes


def _image(codes: np.ndarray, per_column: int) -> np.ndarray:
    """Return the colours, shape (n_workers, n_columns, 3), uint8."""
    from matplotlib.colors import to_rgb

    n_workers, n_rounds = codes.shape
    n_columns = -(-n_rounds // per_column)
    padded = np.full((n_workers, n_columns * per_column), -1, np.int8)
    padded[:, :n_rounds] = codes
    cells = padded.reshape(n_workers, n_columns, per_column)
    palette = np.array([to_rgb(look) for look, _ in LOOKS.values()])
    counts = np.stack([(cells == list(LOOKS).index(status)).sum(axis=2) for status in BLENDED], axis=2)
    shares = counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)
    image = shares @ palette[: len(BLENDED)]
    image[counts.sum(axis=2) == 0] = 1.0  # not a member: white
    worst = cells.max(axis=2)
    overridden = worst >= len(BLENDED)
    image[overridden] = palette[worst[overridden]]
    return np.round(255 * image).astype(np.uint8)


def _separate(axes: Any, codes: np.ndarray, first: float) -> None:
    """Draw borders between cells, and markers in those that are neither uploads nor skips."""
    n_workers, n_rounds = codes.shape
    axes.vlines(first + np.arange(1, n_rounds), -0.5, n_workers - 0.5, colors="white", linewidth=0.6)
    axes.hlines(np.arange(1, n_workers) - 0.5, first, first + n_rounds, colors="white", linewidth=0.6)
    for number, (_, mark) in enumerate(LOOKS.values()):
        found, columns = np.nonzero(codes == number)
        if mark:
            axes.plot(first + 0.5 + columns, found, mark, color="white", markersize=4)


def _handles(codes: np.ndarray) -> List[Any]:
    """Return the entries of the legend: uploads and skips, and other outcomes that occurred."""
    from matplotlib.patches import Patch

    counts = {status: int((codes == number).sum()) for number, status in enumerate(LOOKS)}
    return [
        Patch(facecolor=look, label="%s (%s)" % (status, format(counts[status], ",")))
        for status, (look, _) in LOOKS.items()
        if status in BLENDED or counts[status]
    ]
