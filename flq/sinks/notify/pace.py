"""Limits the rate of notifications: a delay, a minimum interval, a maximum per hour.

Example
-------
>>> pace = Pace(10.0, 30)
>>> pace.happens(100.0)
>>> pace.at()
101.0
"""

from collections import deque
from typing import Deque, Optional

GATHER_S = 1.0  # events within this time make one notification
HOUR_S = 3600.0


class Pace:
    """Decides when the next notification may be sent.

    Parameters
    ----------
    min_interval_s : float
        Minimum time between two notifications.
    max_per_hour : int
    """

    def __init__(self, min_interval_s: float, max_per_hour: int) -> None:
        self._min_interval_s, self._max_per_hour = min_interval_s, max_per_hour
        self._since: Optional[float] = None
        self._sent: Deque[float] = deque(maxlen=max_per_hour)

    def happens(self, now: float) -> None:
        """Record that there is something to report."""
        self._since = now if self._since is None else self._since

    def at(self, is_urgent: bool = False) -> Optional[float]:
        """Return when the next notification may be sent; None = nothing to send. An urgent one is not delayed."""
        if self._since is None or is_urgent:
            return self._since
        at = self._since + GATHER_S
        if self._sent:
            at = max(at, self._sent[-1] + self._min_interval_s)
        if len(self._sent) == self._max_per_hour:
            at = max(at, self._sent[0] + HOUR_S)
        return at

    def sent(self, now: float) -> None:
        """Record that a notification with everything so far is sent."""
        self._sent.append(now)
        self._since = None
