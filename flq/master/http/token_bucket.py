"""A token bucket: it bounds a rate on average, and a burst."""

from typing import NamedTuple


class Rate(NamedTuple):
    """Per second on average, and at once; 0 = any number."""

    per_s: float
    burst: float


class Bucket:
    """A token bucket of one peer, or of all together; it begins full. Time is an argument."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate, self._left, self._at = rate, rate.burst, now

    def wait_s(self, now: float) -> float:
        """Return how long until the next token may be taken; 0 = now."""
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_s)
        self._at = now
        return max(0.0, (1.0 - self._left) / self._rate.per_s)

    def take(self) -> None:
        """Take a token."""
        self._left -= 1.0
