"""When a worker tries a failed request again, and when it gives up on the master."""

import math
import random

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
MOST_DOUBLINGS = 30  # far beyond the longest pause, and within a float


class Backoff:
    """Pauses that double with each failure in a row, with jitter.

    Parameters
    ----------
    jitter : random.Random
        Spreads the pauses of many workers; nothing else depends on it.
    give_up_s : float
        How long to try without any reply of the master.

    Attributes
    ----------
    last_contact : float
        When the master replied last.
    """

    def __init__(self, jitter: random.Random, give_up_s: float) -> None:
        self.give_up_s = give_up_s
        self.last_contact = -math.inf
        self._jitter = jitter
        self._n_failures = 0

    def succeed(self, now: float) -> None:
        """Note a success at time ``now`` in seconds: the next pause is short again."""
        self._n_failures, self.last_contact = 0, now

    def gives_up(self, now: float) -> bool:
        """Return whether it is pointless to try again."""
        return now - self.last_contact > self.give_up_s

    def fail(self, retry_after_s: float = 0.0) -> float:
        """Note a failure; return the pause in seconds, at least the one that the master asks for."""
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**self._n_failures)
        self._n_failures = min(self._n_failures + 1, MOST_DOUBLINGS)
        return max(retry_after_s, self.spread(pause))

    def spread(self, pause: float = FIRST_PAUSE_S) -> float:
        """Return half the pause to all of it, at random."""
        return pause * self._jitter.uniform(0.5, 1.0)
