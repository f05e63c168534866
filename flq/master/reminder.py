"""Logs a lasting problem when it begins, and once a minute while it lasts."""

import logging
import time
from typing import Dict

REMIND_S = 60.0  # between two log lines that say the same


class Reminder:
    """Logs problems, each at most once a minute.
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
