"""Holds the status, which any thread reads without waiting; the thread that owns the machine updates it."""

import logging
import time
from typing import Any, Callable, Dict, Optional

logger = logging.getLogger(__name__)

PUBLISH_S = 0.2  # maximum age of the status while events keep arriving


class StatusBoard:
    """Holds the newest status.

    Parameters
    ----------
    make : callable(now) -> dict
        Makes the status.
    problem : callable() -> str or None
        Returns what currently blocks the run or the writing of its results. Any thread calls it.
    """

    def __init__(self, make: Callable[[float], Dict[str, Any]], problem: Callable[[], Optional[str]]) -> None:
        self._make, self._problem = make, problem
        self._status: Dict[str, Any] = {}
        self._published_at = 0.0

    @property
    def status(self) -> Dict[str, Any]:
        """The newest status; any thread may read it."""
        return dict(self._status, problem=self._problem())

    def publish(self, is_due: bool) -> None:
        """Update the status if it is due, or too old."""
        try:
            now = time.monotonic()
            if is_due or now - self._published_at >= PUBLISH_S:
                self._status = self._make(now)
                self._published_at = time.monotonic()
        except Exception:
            logger.exception("the status is not updated")
