"""The first lines of the sheet Summary: accuracy, start, duration, size of the model, bytes, saving.

The saving is computed, see :mod:`.float32`.

Example
-------
    headline("20260801_120000_ab12", rounds, is_local=False, wire_bytes=323927, layout=layout)[0]
    # Line(label='best test accuracy', value=0.9528, note='round 26')
"""

import math
import re
from datetime import timedelta
from typing import Any, List, NamedTuple, Optional, Sequence

from ..core.layout import Layout
from .float32 import model_bytes, n_models
from .names import stamp_of
from .recorded import TESTED
from .rows import RoundRow, Sum

WIRE_UP, WIRE_DOWN = "wire up (bytes)", "wire down (bytes)"
FLOAT32, SAVING = "the same in float32, payload (bytes)", "saving against float32"


class Line(NamedTuple):
    """A line of the sheet Summary; a value may be a :class:`.rows.Sum`."""

    label: str
    value: Any
    note: Optional[str] = None


class Tested(NamedTuple):
    """The last known test results, and their round."""

    loss: Optional[float] = None
    accuracy: Optional[float] = None
    average_accuracy: Optional[float] = None
    round_index: Optional[int] = None


def last_tested(rounds: Sequence[RoundRow], is_local: bool) -> Tested:
    """Return the last known test results; with local data (``is_local``), those on the workers' own data."""
    for row in reversed(rounds):
        if is_local and row.own_accuracy is not None:
            return Tested(row.own_loss, row.own_accuracy, None, row.round_index)
        if not is_local and any(getattr(row, field) is not None for field in TESTED):
            return Tested(row.test_loss, row.accuracy, row.average_accuracy, row.round_index)
    return Tested()


def headline(
    run_id: str, rounds: Sequence[RoundRow], is_local: bool, wire_bytes: int, layout: Optional[Layout]
) -> List[Line]:
    """Return the lines.

    Parameters
    ----------
    is_local : bool
        Whether the accuracy on the workers' own data counts.
    wire_bytes : int
        Measured, both ways, over the whole run.
    layout : Layout or None
        None if unknown; then the lines that depend on it are left out.
    """
    last, accuracies = last_tested(rounds, is_local), []
    for row in rounds:
        accuracy = row.own_accuracy if is_local else row.accuracy
        accuracies += [] if accuracy is None else [(accuracy, row.round_index)]
    best, best_round = max(accuracies, key=lambda found: found[0], default=(None, None))
    duration = timedelta(seconds=round(math.fsum(row.round_s for row in rounds)))
    lines = [
        Line("best test accuracy", best, _in_round(best, best_round)),
        Line("test accuracy", last.accuracy, _in_round(last.accuracy, last.round_index)),
        Line("began", _time_of(run_id)),
        Line("duration (h:mm:ss)", str(duration), "sum of the rounds"),
    ]
    wire = Line("wire, both ways (bytes)", Sum(wire_bytes, lines=(WIRE_UP, WIRE_DOWN)), "measured")
    if layout is None:
        return [*lines, wire]
    number, size = n_models(rounds), model_bytes(layout)
    float32_bytes = number * size
    return [
        *lines,
        Line("parameters", layout.n_params),
        wire,
        Line(FLOAT32, float32_bytes, "computed: %d models of %s bytes" % (number, format(size, ","))),
        Line(SAVING, 1 - wire_bytes / float32_bytes if float32_bytes else None, "computed, against the measured bytes"),
    ]


def _in_round(value: Optional[float], round_index: Optional[int]) -> Optional[str]:
    return None if value is None else "round %d" % round_index


def _time_of(run_id: str) -> Optional[str]:
    """Return the local time in the name of a run; None if it has none."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)", stamp_of(run_id))
    return "%s-%s-%s %s:%s:%s" % found.groups() if found else None
