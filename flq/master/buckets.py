"""A token bucket: so much a second on average, and so much at once."""

from typing import NamedTuple


class Rate(NamedTuple):
    """Per second on average, and at once; 0 = any number."""

    per_s: float
    burst: float


class Bucket:
    """What one peer, or all together, may still have; it begins full. The caller brings the time."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate, self._left, self._at = rate, rate.burst, now

    def wait_s(self, now: float) -> float:
        """Return how long it is until the next one may be taken; 0 = it may be taken now."""
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_s)
        self._at = now
        return max(0.0, (1.0 - self._left) / self._rate.per_s)

    def take(self) -> None:
        """Take one."""
        self._left -= 1.0
