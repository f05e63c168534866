"""Draws the class distribution: one bar per worker, split into classes.

Classes are ordered from left to right, and wide pieces show their number: the figure can be read without colour.
"""

from typing import Any, Optional, Sequence

import numpy as np

from .style import COLUMN, lacking, legend_above, new_figure, plain, styled, thousands

# Tol's muted colours, for up to ten classes, distinct for colour-blind readers too.
MUTED = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#BBBBBB")
MOST_LABELLED = 20  # classes in the legend; of more, it shows a subset
MOST_TICKS = 40  # numbered workers on the axis
MOST_LETTERS = 20  # of a class's name in the legend
TALLEST = 40.0  # maximum height of the figure, inches
BAR = 0.82  # height of a bar, as a share of the distance between two workers
LEAST_INCHES = 0.09  # minimum width per digit and height of a piece that shows its class
LIGHT = 0.45  # lightness of a background from which text is black


@styled
def class_figure(counts: np.ndarray, title: str = "", class_names: Optional[Sequence[str]] = None) -> Any:
    """Draw one bar per worker, split into classes.

    Parameters
    ----------
    counts : ndarray of shape (n_workers, n_classes), int
        Numbers of training samples.
    title : str
        Literal text: ``$`` starts no formula.
    class_names : sequence of str, optional
        For the legend; literal texts too. A name with letters that the fonts lack is left out.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch

    n_workers, n_classes = counts.shape
    row_inches = 0.2 if n_workers <= 10 else max(0.05, min(0.2, 4.5 / n_workers))
    figure, axes = new_figure(COLUMN, min(1.0 + row_inches * max(n_workers, 4), TALLEST))
    colours = class_colours(n_classes)
    ends, most = np.cumsum(counts, axis=1), max(1, counts.sum(axis=1).max())
    rows, half = np.arange(n_workers), BAR / 2
    least = most * LEAST_INCHES / (0.8 * COLUMN) if BAR * row_inches >= LEAST_INCHES else np.inf
    for label in range(n_classes):  # one collection per class: single bars take minutes for many workers
        left, right = ends[:, label] - counts[:, label], ends[:, label]
        corners = [(left, rows - half), (right, rows - half), (right, rows + half), (left, rows + half)]
        rectangles: Any = np.array(corners, float).transpose(2, 0, 1)[counts[:, label] > 0]  # (n, corner, xy)
        axes.add_collection(PolyCollection(rectangles, facecolors=[colours[label]], edgecolors="white", linewidths=0.3))
        for row in np.flatnonzero(counts[:, label] >= least * len(str(label))):
            axes.text(
                (left[row] + right[row]) / 2,
                row,
                str(label),
                ha="center",
                va="center_baseline",
                fontsize=5.5,
                color="black" if _lightness(colours[label]) > LIGHT else "white",
            )
    axes.set_yticks(range(0, n_workers, -(-n_workers // MOST_TICKS)))
    axes.set_ylim(n_workers - 0.4, -0.6)  # worker 0 on top
    axes.set_xlim(0, 1.02 * most)
    thousands(axes.xaxis)
    axes.set_xlabel("training samples")
    axes.set_ylabel("worker")
    axes.set_title(plain(title))
    axes.grid(visible=False, axis="y")
    shown = range(0, n_classes, -(-n_classes // MOST_LABELLED))
    legend_above(
        figure,
        [Patch(color=colours[label], label=_named(label, class_names)) for label in shown],
        title="class",
        handlelength=1.0,
        handletextpad=0.4,
        columnspacing=0.8,
    )
    return figure


def class_colours(n_classes: int) -> Sequence[Any]:
    """Return a colour per class: a qualitative palette up to ten, a gradient beyond."""
    from matplotlib import colormaps

    if n_classes <= len(MUTED):
        return MUTED[:n_classes]
    return [colormaps["viridis"](label / (n_classes - 1)) for label in range(n_classes)]


def _named(label: int, class_names: Optional[Sequence[str]]) -> str:
    """Return the number of a class and, if it has a name that can be drawn, its name."""
    if class_names is None or lacking(class_names[label]):
        return str(label)
    return plain("%d %s" % (label, class_names[label]), MOST_LETTERS)


def _lightness(colour: Any) -> float:
    from matplotlib.colors import to_rgb

    return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))
