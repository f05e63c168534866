"""Formats numbers of bytes for people.

Example
-------
>>> amount(323927)
'323.9 kB'
"""

import math


def amount(n_bytes: float) -> str:
    """Format a number of bytes."""
    if n_bytes < 1000:
        return "%d bytes" % n_bytes
    power = min(int(math.log10(n_bytes)) // 3, 4)
    return "%.1f %s" % (n_bytes / 1000**power, ("kB", "MB", "GB", "TB")[power - 1])
