"""Who watches a run, by its settings: which child processes are told what happens.

Example
-------
>>> watchers = watchers_of(settings)
>>> [watcher.name for watcher in watchers]
['figures']
"""

import logging
from importlib.util import find_spec
from typing import Any, Dict, List

from .watchers import Watcher

logger = logging.getLogger(__name__)


def watchers_of(settings: Dict[str, Dict[str, Any]]) -> List[Watcher]:
    """Return the watchers that the settings ask for, not begun yet."""
    watchers = []
    if settings["report"]["figure_every"]:
        if find_spec("matplotlib") is None:
            logger.warning("no figures are drawn: the package matplotlib is missing; install it with pip, or set "
                           "report.figure_every to 0")
        else:
            watchers.append(Watcher("figures", ["-m", "flq.watch.figures"]))
    return watchers
