"""Keeps the telemetry of the workers' devices: the last report of each, and sums over a worker's processes.

Nothing that affects the model reads it. Energy and samples count from a process's first report in this run, since the
counters of a worker that stays from run to run do not begin at zero.
"""

import math
import threading
import time
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

COUNTERS = ("energy_j", "samples")  # increase while a process runs


class DeviceCounts(NamedTuple):
    """A worker's sums in a run; None = never reported.

    Attributes
    ----------
    energy_j : float or None
        Energy of the whole board in joules.
    samples : int or None
        Number of samples trained on.
    peak_c : float or None
        Highest temperature in degrees Celsius.
    name : str or None
        The name that its owner has given it.
    """

    energy_j: Optional[float] = None
    samples: Optional[int] = None
    peak_c: Optional[float] = None
    name: Optional[str] = None


class Device(NamedTuple):
    """A worker's device.

    Attributes
    ----------
    report : dict
        The last report.
    at : float or None
        When it arrived; None = before this process of the master.
    first : dict
        The counters in the first report of the worker's present process.
    before : DeviceCounts
        Sums of the worker's earlier processes; temperature and name include the present one.
    """

    report: Dict[str, Any]
    at: Optional[float]
    first: Dict[str, float]
    before: DeviceCounts

    @property
    def counts(self) -> DeviceCounts:
        """The sums over all processes."""
        sums = {}
        for name in COUNTERS:
            before, now = getattr(self.before, name), self.report.get(name)
            grown = None if now is None else max(0, now - self.first.get(name, now))
            sums[name] = grown if before is None else before + (grown or 0)
        return DeviceCounts(peak_c=self.before.peak_c, name=self.before.name, **sums)


class Devices:
    """The devices of a run. Safe to use from any thread.

    Parameters
    ----------
    clock : callable()
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._devices: Dict[int, Device] = {}

    def take(self, worker_id: int, report: Dict[str, Any]) -> None:
        """Keep a report, which ``flq.device.report`` has validated."""
        first = {name: report[name] for name in COUNTERS + ("peak_c",) if name in report}
        with self._lock:
            known = self._devices.get(worker_id)
            before = DeviceCounts() if known is None else known.before
            if known is not None and known.report["life"] == report["life"]:
                first = {**first, **known.first}
            elif known is not None:
                before = known.counts
            before = before._replace(peak_c=_hottest(before.peak_c, report, first), name=report.get("name"))
            self._devices[worker_id] = Device(report, self._clock(), first, before)

    def status(self, worker_id: int) -> Optional[Dict[str, Any]]:
        """Return the device for /status: the last report, its age, and the sums of the run instead of its counters."""
        with self._lock:
            device = self._devices.get(worker_id)
        if device is None:
            return None
        said = {name: value for name, value in device.report.items() if name != "life"}
        said.update({name: value for name, value in device.counts._asdict().items() if value is not None})
        return dict(said, age_s=None if device.at is None else round(self._clock() - device.at, 1))

    def counts(self, worker_id: int) -> DeviceCounts:
        """Return the sums of a worker."""
        with self._lock:
            device = self._devices.get(worker_id)
        return DeviceCounts() if device is None else device.counts

    def energy_j(self) -> Optional[float]:
        """Return the energy of all workers that report it, in joules; None if no worker does."""
        with self._lock:
            energies = [device.counts.energy_j for device in self._devices.values()]
        known = [energy_j for energy_j in energies if energy_j is not None]
        return math.fsum(known) if known else None

    def to_json(self) -> Sequence[Tuple[Any, ...]]:
        """Return the devices as JSON values, for a master that resumes the run."""
        with self._lock:
            return [
                (worker_id, device.report, device.first, list(device.before))
                for worker_id, device in sorted(self._devices.items())
            ]

    def resume(self, kept: Sequence[Sequence[Any]]) -> None:
        """Continue from the value of :meth:`to_json`; the age of the reports is then unknown."""
        with self._lock:
            for worker_id, report, first, before in kept:
                self._devices[worker_id] = Device(report, None, first, DeviceCounts(*before))


def _hottest(known: Optional[float], report: Dict[str, Any], first: Dict[str, float]) -> Optional[float]:
    """Return the highest temperature in this run; ignore a peak of the process before it joined the run."""
    peaks = [known, report.get("temperature_c")]
    if report.get("peak_c", 0.0) > first.get("peak_c", 0.0):
        peaks.append(report["peak_c"])
    return max((value for value in peaks if value is not None), default=None)
