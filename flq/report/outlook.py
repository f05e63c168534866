"""How long a run still takes, by its last rounds: one answer for the live page and for messages.

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
    """Return about how long the rounds that are left take, as long as the middle one of the last; None = who knows."""
    if not rows:
        return None
    return median(row.round_s for row in rows[-RECENT:]) * max(0, max_rounds - rows[-1].round_index)
