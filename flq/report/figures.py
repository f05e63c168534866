"""Draws the figures of a run for papers.

Figures have no title: a paper has captions. docs/figures.md describes each figure.

Example
-------
    written, problems = write_figures("results/figures/run", FIGURES, rows, roll_calls)
"""

from itertools import accumulate
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..drawing.pictures import FORMATS, write_pictures
from ..drawing.style import legend_above, new_figure, styled
from .axes import Axis, amount_axis, known, loss_axis, round_axis, share_axis
from .excel import ACCURACIES, LOSSES
from .lines import Curve, draw_lines
from .participation import participation
from .rows import RoundRow
from .times import times

RollCalls = Sequence[Mapping[int, str]]
CLASSES = "classes"  # drawn from the data: flq.drawing.classes


def accuracy_by_round(rows: Sequence[RoundRow], _: RollCalls) -> Optional[Any]:
    """Draw the accuracies over the rounds; None if no accuracy is known."""
    return _lines(rows, ACCURACIES, share_axis, "accuracy", [row.round_index for row in rows], _rounds(rows))


def accuracy_by_bytes(rows: Sequence[RoundRow], _: RollCalls) -> Optional[Any]:
    """Draw the accuracies over the wire bytes, up and down, at the close of each round."""
    so_far = list(accumulate(row.wire_bytes_up + row.wire_bytes_down for row in rows))
    return _lines(
        rows,
        ACCURACIES,
        share_axis,
        "accuracy",
        so_far,
        amount_axis("on the wire so far, both ways", max(so_far, default=0), "B"),
    )


def loss(rows: Sequence[RoundRow], _: RollCalls) -> Optional[Any]:
    """Draw the losses over the rounds, on a logarithmic axis if needed."""
    return _lines(rows, LOSSES, loss_axis, "loss", [row.round_index for row in rows], _rounds(rows))


def energy(rows: Sequence[RoundRow], _: RollCalls) -> Optional[Any]:
    """Draw the accuracies over the energy of all boards that report it; None if none does."""
    reported = known([row.energy_so_far_j for row in rows])
    if not reported:
        return None
    return _lines(
        rows,
        ACCURACIES,
        share_axis,
        "accuracy",
        [row.energy_so_far_j for row in rows],
        amount_axis("energy of the boards so far", max(reported), "J"),
    )


# Name of the file -> function that draws it, or returns None if there is nothing to draw.
FIGURES: Dict[str, Callable[[Sequence[RoundRow], RollCalls], Optional[Any]]] = {
    "accuracy_by_round": accuracy_by_round,
    "accuracy_by_bytes": accuracy_by_bytes,
    "loss": loss,
    "participation": participation,
    "energy": energy,
    "time": times,
}
FILES = tuple("%s.%s" % (name, form) for name in (*FIGURES, CLASSES) for form in FORMATS)


def write_figures(
    folder: str, figures: Mapping[str, Callable[..., Optional[Any]]], *arguments: Any
) -> Tuple[List[str], List[str]]:
    """Draw figures and write them into an existing folder; each function gets ``arguments``.

    Returns
    -------
    written, problems : list of str
        Paths, and a sentence for each figure that failed. One failure does not affect the other figures.
    """
    written: List[str] = []
    problems: List[str] = []
    for name, draw in figures.items():
        try:
            figure = draw(*arguments)
            written += [] if figure is None else write_pictures(figure, folder, name)
        except OSError as error:
            problems.append("figure %s was not written: %s" % (name, error.strerror or error))
        except Exception as error:  # a bug or a lack of memory; other figures may succeed
            problems.append("figure %s was not drawn: %s: %s" % (name, type(error).__name__, error))
    return written, problems


def _rounds(rows: Sequence[RoundRow]) -> Axis:
    return round_axis("round", max((row.round_index for row in rows), default=1))


@styled
def _lines(
    rows: Sequence[RoundRow],
    quantities: Sequence[Tuple[str, str, int]],
    axis_of: Callable[..., Axis],
    y_title: str,
    xs: Sequence[Any],
    x_axis: Axis,
) -> Optional[Any]:
    """Draw the quantities (field, name, style) that are known in any round."""
    curves = [Curve(name, xs, [getattr(row, field) for row in rows], style) for field, name, style in quantities]
    curves = [curve for curve in curves if known(curve.ys)]
    if not curves:
        return None
    figure, axes = new_figure()
    drawn = draw_lines(axes, curves, x_axis, axis_of(y_title, [value for curve in curves for value in curve.ys]))
    legend_above(figure, drawn)
    return figure
