"""The closed rounds as JSON values, a page at a time.

Example
-------
>>> history([], since=0, limit=10)
{'rounds': [], 'next': 0}
"""

import math
from typing import Any, Dict, List

from ..report.rows import RoundRow

MAX_ROWS, DEFAULT_ROWS = 10000, 1000


def history(rows: List[RoundRow], since: int, limit: int) -> Dict[str, Any]:
    """Return the first ``limit`` rows of the rounds after round ``since``.

    A row's test results are null until its model is evaluated, which may be some rounds later.

    Parameters
    ----------
    rows : list of RoundRow
        In the order of their rounds.

    Returns
    -------
    dict
        ``rounds``, rows as objects with the fields of RoundRow; ``next``, the ``since`` of the
        next page.
    """
    page = [row for row in rows if row.round_index > since][:limit]
    return {"rounds": [{field: _json_value(value) for field, value in row._asdict().items()} for row in page],
            "next": page[-1].round_index if page else since}


def _json_value(value: Any) -> Any:
    """Return null in place of NaN and infinity, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
