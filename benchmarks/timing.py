"""Times contestants in turn, so that noise affects all of them alike."""

import statistics
import time
from typing import Callable, Dict, List


def take_turns(contestants: Dict[str, Callable[[], object]], repeats: int) -> Dict[str, List[float]]:
    """Call everything once to warm up, then ``repeats`` times in turn.

    Returns
    -------
    dict
        {name: CPU seconds of this thread for each call, in order}.
    """
    seconds: Dict[str, List[float]] = {name: [] for name in contestants}
    for turn in range(repeats + 1):
        for name, call in contestants.items():
            began = time.thread_time()
            call()
            if turn:
                seconds[name].append(time.thread_time() - began)
    return seconds


def table(heads: List[str], rows: List[List[object]]) -> str:
    """Return rows as text in columns, the first aligned left, the others right."""
    texts = [heads] + [[cell if isinstance(cell, str) else "%.3g" % cell for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
        )
        for row in texts
    )


def median_ratio(seconds: List[float], reference: List[float]) -> float:
    """Return the median, over the turns, of the ratio of the reference's time to the contestant's."""
    return statistics.median(other / own for own, other in zip(seconds, reference))
