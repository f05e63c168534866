"""Experiment trackers: write a run's measurements in the formats of other programs.

Each is a row of ``TRACKERS`` and runs in a process of its own, ``python -m flq.sinks.trackers NAME FOLDER``. It gets
all rounds of the run: after a resume, it begins again with the first.

Example
-------
>>> TRACKERS["tensorboard"].package
'tensorboardX'
"""

import importlib.util
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Protocol, Sequence

from ...errors import ConfigError
from .jsonl import Jsonl
from .swanlab import SwanLab
from .tensorboard import TensorBoard

Values = Mapping[str, float]


class Tracker(Protocol):
    """The interface of a tracker."""

    def begin(self, run_id: str, settings: Mapping[str, Mapping[str, object]]) -> None:
        """Start or restart; discard earlier records of this run."""

    def round(self, round_index: int, values: Values) -> None:
        """Log the known values of a round; more values of it may follow in later calls."""

    def end(self) -> None:
        """Flush."""


class Row(NamedTuple):
    """A tracker's factory and the package that it needs."""

    make: Callable[[str], Tracker]
    package: Optional[str]


TRACKERS: Dict[str, Row] = {
    "jsonl": Row(Jsonl, None),
    "tensorboard": Row(TensorBoard, "tensorboardX"),
    "swanlab": Row(SwanLab, "swanlab"),
}


def check_installed(names: Sequence[str]) -> None:
    """Check for the packages that trackers need, without importing them.

    Raises
    ------
    ConfigError
        If a package is not installed.
    """
    for name in names:
        package = TRACKERS[name].package
        if package is not None and importlib.util.find_spec(package) is None:
            raise ConfigError(
                "report.trackers contains %s, but the package %s is not installed" % (name, package),
                "pip install .[%s], or remove it from report.trackers" % name,
            )
