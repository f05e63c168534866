"""Experiment trackers: what a run measures, in the form that other people's programs show.

Each is a row of ``TRACKERS`` and runs in a process of its own, ``python -m flq.sinks.trackers NAME FOLDER``. A tracker
begins once, also when the run goes on, and is then told of all rounds, those before too.

Example
-------
>>> sorted(TRACKERS)
['jsonl', 'swanlab', 'tensorboard']
"""

import importlib.util
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Protocol, Sequence

from ...errors import ConfigError
from .jsonl import Jsonl
from .swanlab import SwanLab
from .tensorboard import TensorBoard

Values = Mapping[str, float]


class Tracker(Protocol):
    """What all trackers do."""

    def begin(self, run_id: str, settings: Mapping[str, Mapping[str, object]]) -> None:
        """Begin, or begin again: what was written of this run before counts no more."""

    def round(self, round_index: int, values: Values) -> None:
        """Take what is known of a round; it may come again with what was not known before."""

    def end(self) -> None:
        """Write what has not been written."""


class Row(NamedTuple):
    """How to make a tracker that writes into a folder, and the package that it needs."""

    make: Callable[[str], Tracker]
    package: Optional[str]


TRACKERS: Dict[str, Row] = {
    "jsonl": Row(Jsonl, None),
    "tensorboard": Row(TensorBoard, "tensorboardX"),
    "swanlab": Row(SwanLab, "swanlab"),
}


def check_installed(names: Sequence[str]) -> None:
    """Look for the packages that trackers need, without importing them.

    Raises
    ------
    ConfigError
        If one is not there.
    """
    for name in names:
        package = TRACKERS[name].package
        if package is not None and importlib.util.find_spec(package) is None:
            raise ConfigError(
                "report.trackers asks for %s, but the package %s is not installed" % (name, package),
                "pip install .[%s], or take it out of report.trackers" % name,
            )
