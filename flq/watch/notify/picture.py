"""A small figure of a run, for a phone: accuracy and loss by round."""

import io
from typing import Any, List, Optional, Sequence, Tuple

from ...report.rows import RoundRow

MOST_POINTS = 600   # more than there are pixels
WIDTH, HEIGHT, DPI = 6.4, 4.0, 125.0  # inches; 800 x 500 pixels
ACCURACY, LOSS, TRAINING, GRID, INK = "#0b6e99", "#c2410c", "#e8a87c", "#e3e6ea", "#1f2933"


def draw(rounds: Sequence[RoundRow], title: str) -> Optional[bytes]:
    """Return a PNG of 800 x 500 pixels; None if there are less than two points to join.

    Parameters
    ----------
    rounds : sequence of RoundRow
        In order; what is not known of one is left out.
    title : str
        Stands above it as it is: it is no formula, whatever it looks like.
    """
    accuracy = _points(rounds, "accuracy") or _points(rounds, "own_accuracy")
    loss = _points(rounds, "test_loss") or _points(rounds, "own_loss")
    training = _points(rounds, "training_loss")
    if max(len(accuracy), len(loss), len(training)) < 2:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second that is only due now
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10.5, color=INK, loc="left", parse_math=False)
    axes.set_xlabel("round", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    lines: List[Any] = []
    if accuracy:
        lines += axes.plot(*zip(*[(index, 100 * value) for index, value in accuracy]), color=ACCURACY, linewidth=2.2,
                           label="accuracy (%)")
        axes.set_ylabel("accuracy (%)", color=ACCURACY)
        index, best = max(accuracy, key=lambda point: point[1])
        axes.plot([index], [100 * best], "o", color=ACCURACY, markersize=6)
        axes.annotate("%.2f %%" % (100 * best), (index, 100 * best), (-7, -20), textcoords="offset points",
                      ha="right", fontsize=9, color=ACCURACY, bbox={"facecolor": "white", "edgecolor": "none",
                                                                    "pad": 1.0, "alpha": 0.85})
        other = axes.twinx()
    else:
        other = axes
    for points, color, name in ((loss, LOSS, "test loss"), (training, TRAINING, "training loss")):
        if points:
            lines += other.plot(*zip(*points), color=color, linewidth=1.6, label=name)
    other.set_ylabel("loss", color=LOSS)
    for spines in (axes.spines, other.spines):
        spines["top"].set_visible(False)
        spines["right"].set_visible(bool(accuracy))
        for spine in spines.values():
            spine.set_color(GRID)
    axes.legend(lines, [line.get_label() for line in lines], loc="upper center", bbox_to_anchor=(0.5, -0.14),
                ncols=3, frameon=False, fontsize=9)
    stream = io.BytesIO()
    canvas.print_png(stream)
    return stream.getvalue()


def _points(rounds: Sequence[RoundRow], name: str) -> List[Tuple[int, float]]:
    """Return the points of a curve, of a long run every so many and the last."""
    known = [(row.round_index, getattr(row, name)) for row in rounds if getattr(row, name) is not None]
    stride = -(-len(known) // MOST_POINTS) or 1
    return known[:-1:stride] + known[-1:]
