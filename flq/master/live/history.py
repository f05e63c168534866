"""Returns the closed rounds as JSON values, by pages.

Example
-------
>>> history([], since=0)
{'rounds': [], 'next': 0}
"""

import math
from typing import Any, Dict, List

from ...report.rows import RoundRow

MAX_ROWS, DEFAULT_ROWS = 10000, 1000


def history(page: List[RoundRow], since: int) -> Dict[str, Any]:
    """Return the rows of one page.

    A row's test results are null until its model is evaluated, which may be some rounds later.

    Parameters
    ----------
    page : list of RoundRow
        In the order of the rounds, all after round ``since``.

    Returns
    -------
    dict
        ``rounds``, rows as objects with the fields of RoundRow; ``next``, the ``since`` of the
        next page.
    """
    return {
        "rounds": [{field: _json_value(value) for field, value in row._asdict().items()} for row in page],
        "next": page[-1].round_index if page else since,
    }


def _json_value(value: Any) -> Any:
    """Return the value, or None if it is non-finite, which JSON lacks."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
