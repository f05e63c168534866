"""Estimates the time left of a run, for the live page and for notifications.

Example
-------
    seconds_left([a_round(1, round_s=2.0), a_round(2, round_s=2.0), a_round(3, round_s=90.0)], 13)
    # 20.0
"""

from statistics import median
from typing import Optional, Sequence

from .rows import RoundRow

RECENT = 20  # rounds that count


def seconds_left(rows: Sequence[RoundRow], max_rounds: int) -> Optional[float]:
    """Return the number of remaining rounds times the median duration of recent ones; None if unknown."""
    if not rows:
        return None
    return median(row.round_s for row in rows[-RECENT:]) * max(0, max_rounds - rows[-1].round_index)
