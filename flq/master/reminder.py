"""Limits repeated log lines to one a minute."""

import logging
import time
from typing import Any, Callable, Dict

REMIND_S = 60.0  # between two equal log lines


class Reminder:
    """Logs lasting problems, each when it begins and then once a minute.

    Parameters
    ----------
    logger : Logger
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._said: Dict[str, float] = {}

    def say(self, problem: str) -> None:
        """Log a problem, unless the same was logged less than a minute ago."""
        now = time.monotonic()
        self._said = {text: at for text, at in self._said.items() if now - at < REMIND_S}
        if problem not in self._said:
            self._said[problem] = now
            self._logger.error("%s", problem)


class Rarely:
    """Logs frequent warnings of one kind, and counts those between two lines.

    Parameters
    ----------
    logger : Logger
    clock : callable()
        Monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._next_at = 0.0
        self._unsaid = 0

    def warn(self, text: str, *values: Any) -> None:
        """Log a warning, or only count it; the next line gives the number of those not logged."""
        now = self._clock()
        if now < self._next_at:
            self._unsaid += 1
            return
        more = " (and %d more times since the last such line)" % self._unsaid if self._unsaid else ""
        self._next_at, self._unsaid = now + REMIND_S, 0
        self._logger.warning(text + "%s", *values, more)
