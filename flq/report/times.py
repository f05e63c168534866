"""Time per round as stacked bars: one per round or, in long runs, means of several.

Example
-------
    parts(a_round(training_s=1.5, waiting_s=0.25, round_s=2.0))
    # (1.5, 0.25, 0.25)
"""

from typing import Any, Optional, Sequence, Tuple

import numpy as np

from ..drawing.style import colour, legend_above, new_figure, styled
from .axes import loss_axis, round_axis
from .lines import set_axis
from .rows import RoundRow

# Name, colour and hatch of the layers, from the bottom.
LAYERS = (("training", colour(0), ""), ("waiting", colour(4), "////"), ("rest", "#DCDCDC", ""))
MOST_BARS = 50
TALL = 10.0  # times the median: taller bars are clipped, such as the first round, which includes the start-up


def parts(row: RoundRow) -> Tuple[float, float, float]:
    """Split the duration of a round into training, waiting and the rest.

    Training is the longest of any worker. Waiting is the longest of any worker, limited to the time beside training,
    because fast workers wait while slow ones train.
    """
    training = min(row.training_s, row.round_s)
    waiting = min(row.waiting_s, row.round_s - training)
    return training, waiting, row.round_s - training - waiting


@styled
def times(rows: Sequence[RoundRow], _: Any) -> Optional[Any]:
    """Draw the duration of the rounds; None without rounds."""
    if not rows:
        return None
    per_bar = -(-len(rows) // MOST_BARS)
    starts = range(0, len(rows), per_bar)
    groups = [np.array([parts(row) for row in rows[start : start + per_bar]]) for start in starts]
    heights = np.array([group.mean(axis=0) for group in groups])
    centres = [rows[start].round_index + (len(group) - 1) / 2 for start, group in zip(starts, groups)]
    widths = [0.8 * len(group) for group in groups]
    figure, axes = new_figure()
    bottoms = np.zeros(len(groups))
    drawn = []
    for (name, look, hatch), layer in zip(LAYERS, heights.T):
        drawn.append(
            axes.bar(
                centres, layer, widths, bottoms, color=look, hatch=hatch, edgecolor="white", linewidth=0, label=name
            )
        )
        bottoms = bottoms + layer
    set_axis(axes, "x", round_axis("round" if per_bar == 1 else "round (means of %d)" % per_bar, rows[-1].round_index))
    set_axis(axes, "y", loss_axis("time per round (s)", [0.0, _top(bottoms)]))
    _name_cut(axes, centres, bottoms)
    axes.set_xlim(rows[0].round_index - 0.6, rows[-1].round_index + 0.6)
    axes.grid(visible=False, axis="x")
    legend_above(figure, drawn)
    return figure


def _top(totals: np.ndarray) -> float:
    """Return the height of the tallest bar that is not clipped."""
    return float(totals[totals <= TALL * np.median(totals)].max(initial=0.0)) or float(totals.max())


def _name_cut(axes: Any, centres: Sequence[float], totals: np.ndarray) -> None:
    """Annotate clipped bars with their height."""
    top = axes.get_ylim()[1]
    for centre, total in zip(centres, totals):
        if total > top:
            axes.annotate(
                "%.3g s" % total,
                (centre, top),
                (3, -1),
                textcoords="offset points",
                fontsize=6,
                va="top",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
