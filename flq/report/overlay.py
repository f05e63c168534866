"""Draws several runs in one figure: accuracy by round and by bytes, and loss.

Example
-------
    figure = overlay(runs, ["fedavg", "bbit"], "wire", [curve.wire_bytes for curve in curves])
"""

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ..drawing.style import COLUMN, PAGE, legend_above, new_figure, styled
from ..flags import TINY
from .axes import Axis, known, loss_axis, round_axis, share_axis, spread_amount_axis
from .lines import Curve, draw_lines
from .stored import StoredRun

POSSIBLE = {"accuracy": (0.0, 1.0), "loss": (TINY, math.inf)}
WIDTHS = {1: COLUMN, 2: 5.2, 3: PAGE}  # inches, by number of panels


class Panel(NamedTuple):
    """One panel of the figure: its axes, and one curve per run."""

    x_axis: Callable[[Sequence[Curve]], Axis]
    y_axis: Axis
    curves: List[Curve]


@styled
def overlay(runs: Sequence[StoredRun], labels: Sequence[str], measure: str, spent: Sequence[Any]) -> Optional[Any]:
    """Draw runs in common panels; None if neither accuracies nor losses are known.

    Parameters
    ----------
    runs, labels : sequences of equal length
    measure : str
        The kind of bytes: "wire" or "payload".
    spent : sequence of Series
        Bytes so far, one series per run.
    """
    rounds = [run.curve["round"] for run in runs]
    panels = [
        _panel(labels, xs, runs, field, _title(field, [of(run) for run in runs]), axis_of, x_axis)
        for field, of, axis_of, xs, x_axis in (
            ("accuracy", _accuracy_of, share_axis, rounds, _by_round),
            ("accuracy", _accuracy_of, share_axis, spent, _by_bytes(measure)),
            ("loss", _loss_of, loss_axis, rounds, _by_round),
        )
    ]
    panels = [panel for panel in panels if panel is not None]
    if not panels:
        return None
    figure, axes = new_figure(WIDTHS[len(panels)], n_panels=len(panels))
    handles: Dict[int, Any] = {}
    for panel, own in zip(panels, [axes] if len(panels) == 1 else axes):
        drawn = draw_lines(own, panel.curves, panel.x_axis(panel.curves), panel.y_axis)
        handles.update(zip([curve.style for curve in panel.curves], drawn))
    legend_above(figure, [handles[style] for style in sorted(handles)])
    return figure


def _panel(
    labels: Sequence[str],
    xs: Sequence[Any],
    runs: Sequence[StoredRun],
    field: str,
    title: str,
    axis_of: Callable[..., Axis],
    x_axis: Callable[[Sequence[Curve]], Axis],
) -> Optional[Panel]:
    """Return a panel with the runs that know the field; a run has the same style in all panels."""
    curves = []
    for style, (label, x, run) in enumerate(zip(labels, xs, runs)):
        y = run.curve[field]
        is_known = y.notna()
        spread = [] if run.spread is None else run.spread[field][is_known].tolist()
        if known(y):
            curves.append(Curve(label, x[is_known].tolist(), y[is_known].tolist(), style, spread))
    if not curves:
        return None
    return Panel(x_axis, axis_of(title, _drawn(curves, *POSSIBLE[field])), curves)


def _drawn(curves: Sequence[Curve], lowest: float, highest: float) -> List[float]:
    """Return the values that an axis has to show: the lines, and the edges of bands as far as they are possible."""
    values = [y for curve in curves for y in curve.ys]
    edges = [y + sign * spread for curve in curves for y, spread in zip(curve.ys, curve.spread) for sign in (-1, 1)]
    return values + [edge for edge in edges if lowest <= edge <= highest]


def _title(field: str, measured_on: Sequence[str]) -> str:
    """Return the axis title, with the data of the measurement if all runs used the same."""
    known_data = set(filter(None, measured_on))
    return "%s, %s" % (field, known_data.pop()) if len(known_data) == 1 else field


def _accuracy_of(run: StoredRun) -> str:
    return run.accuracy_of


def _loss_of(run: StoredRun) -> str:
    return run.loss_of


def _by_round(curves: Sequence[Curve]) -> Axis:
    return round_axis("round", int(max(max(curve.xs) for curve in curves)))


def _by_bytes(measure: str) -> Callable[[Sequence[Curve]], Axis]:
    return lambda curves: spread_amount_axis(
        "%s so far, both ways" % measure,
        [max(curve.xs) for curve in curves],
        min(min(curve.xs) for curve in curves),
        "B",
    )
