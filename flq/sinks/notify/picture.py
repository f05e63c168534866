"""Draws a small figure of a run for a phone: accuracy and loss by round."""

from typing import Any, List, Optional, Sequence, Tuple

from ...drawing.pictures import picture
from ...drawing.style import GRID, colour, new_figure, plain, styled
from ...report.rows import RoundRow

MOST_POINTS = 600  # of a curve: no more are visible
WIDTH, HEIGHT = 4.0, 2.5  # inches; 800 x 500 pixels
ACCURACY, LOSS, TRAINING = colour(0), colour(1), colour(4)
MOST_LETTERS = 80  # of the title


def draw(rounds: Sequence[RoundRow], title: str) -> Optional[bytes]:
    """Return a PNG of 800 x 500 pixels; None with fewer than two points.

    Parameters
    ----------
    rounds : sequence of RoundRow
        In order; unknown values are omitted.
    title : str
        Literal text above the figure: ``$`` starts no formula.
    """
    accuracy = _points(rounds, "accuracy") or _points(rounds, "own_accuracy")
    loss = _points(rounds, "test_loss") or _points(rounds, "own_loss")
    training = _points(rounds, "training_loss")
    if max(len(accuracy), len(loss), len(training)) < 2:
        return None
    return picture(_figure(accuracy, loss, training, title), "png")


@styled
def _figure(
    accuracy: List[Tuple[int, float]], loss: List[Tuple[int, float]], training: List[Tuple[int, float]], title: str
) -> Any:
    from matplotlib.ticker import MaxNLocator  # takes half a second to import

    figure, axes = new_figure(WIDTH, HEIGHT)
    axes.set_title(plain(title, MOST_LETTERS), loc="left", fontsize=7)
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lines: List[Any] = []
    if accuracy:
        lines += axes.plot(
            *zip(*[(index, 100 * value) for index, value in accuracy]), color=ACCURACY, label="accuracy (%)"
        )
        axes.set_ylabel("accuracy (%)", color=ACCURACY)
        index, best = max(accuracy, key=lambda point: point[1])
        axes.plot([index], [100 * best], "o", color=ACCURACY)
        axes.annotate(
            "%.2f %%" % (100 * best),
            (index, 100 * best),
            (-4, -11),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            color=ACCURACY,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
        )
        other = axes.twinx()
        other.grid(visible=False)
    else:
        other = axes
    for points, look, name in ((loss, LOSS, "test loss"), (training, TRAINING, "training loss")):
        if points:
            lines += other.plot(*zip(*points), color=look, linewidth=1.0, label=name)
    other.set_ylabel("loss", color=LOSS)
    for spines in (axes.spines, other.spines):
        spines["right"].set_visible(bool(accuracy))
        for spine in spines.values():
            spine.set_color(GRID)
    figure.legend(handles=lines, loc="outside lower center", ncols=3)
    return figure


def _points(rounds: Sequence[RoundRow], name: str) -> List[Tuple[int, float]]:
    """Return the points of a curve; of a long run, a subset that includes the last one."""
    known = [(row.round_index, getattr(row, name)) for row in rounds if getattr(row, name) is not None]
    stride = -(-len(known) // MOST_POINTS) or 1
    return known[:-1:stride] + known[-1:]
