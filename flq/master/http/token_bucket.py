"""A token bucket, which limits an average rate and the size of a burst."""

from typing import NamedTuple


class Rate(NamedTuple):
    """Average rate per second, 0 = no limit; and size of a burst."""

    per_s: float
    burst: float


class Bucket:
    """A token bucket, full at first. Time is an argument."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate, self._left, self._at = rate, rate.burst, now

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next token may be taken."""
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_s)
        self._at = now
        return max(0.0, (1.0 - self._left) / self._rate.per_s)

    def take(self) -> None:
        """Take a token."""
        self._left -= 1.0
