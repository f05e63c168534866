"""What workers tell of their devices: the last report of each, and sums over the processes of a worker.

Nothing that affects the model reads them. Energy and samples count from the first report of a process in this run on:
a worker that stays from run to run does not start at zero.
"""

import threading
import time
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

COUNTERS = ("energy_j", "samples")  # which rise while a process lives


class Counts(NamedTuple):
    """What a run has taken of a worker; None = it has never said so.

    Attributes
    ----------
    energy_j : float or None
        Joules of its whole board.
    samples : int or None
        Samples that it has trained on.
    peak_c : float or None
        The highest temperature, degrees Celsius.
    """

    energy_j: Optional[float] = None
    samples: Optional[int] = None
    peak_c: Optional[float] = None


class Device(NamedTuple):
    """One worker's: its last report and when it came, those counters when its process began, and what came before."""

    report: Dict[str, Any]
    at: Optional[float]
    first: Dict[str, float]
    before: Counts

    @property
    def counts(self) -> Counts:
        """The sums of all its processes."""
        sums = {}
        for name in COUNTERS:
            before, now = getattr(self.before, name), self.report.get(name)
            grown = None if now is None else max(0, now - self.first.get(name, now))
            sums[name] = grown if before is None else before + (grown or 0)
        peaks = [peak for peak in (self.before.peak_c, self.report.get("peak_c")) if peak is not None]
        return Counts(peak_c=max(peaks, default=None), **sums)


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
        """Keep a report, as ``flq.device.report`` has checked it."""
        with self._lock:
            known = self._devices.get(worker_id)
            if known is not None and known.report["life"] == report["life"]:
                first = {**{name: report[name] for name in COUNTERS if name in report}, **known.first}
                self._devices[worker_id] = Device(report, self._clock(), first, known.before)
            else:
                first = {name: report[name] for name in COUNTERS if name in report}
                before = Counts() if known is None else known.counts
                self._devices[worker_id] = Device(report, self._clock(), first, before)

    def status(self, worker_id: int) -> Optional[Dict[str, Any]]:
        """Return what /status says: the last report, how old it is, and the sums of the run in place of its own."""
        with self._lock:
            device = self._devices.get(worker_id)
        if device is None:
            return None
        said = {name: value for name, value in device.report.items() if name != "life"}
        said.update({name: value for name, value in device.counts._asdict().items() if value is not None})
        return dict(said, age_s=None if device.at is None else round(self._clock() - device.at, 1))

    def counts(self, worker_id: int) -> Counts:
        """Return the sums of a worker."""
        with self._lock:
            device = self._devices.get(worker_id)
        return Counts() if device is None else device.counts

    def to_json(self) -> Sequence[Tuple[Any, ...]]:
        """Return what another process of the master goes on with."""
        with self._lock:
            return [(worker_id, device.report, device.first, list(device.before))
                    for worker_id, device in sorted(self._devices.items())]

    def restore(self, kept: Sequence[Sequence[Any]]) -> None:
        """Take what :meth:`to_json` has returned; how old the reports are is not known any more."""
        with self._lock:
            for worker_id, report, first, before in kept:
                self._devices[worker_id] = Device(report, None, first, Counts(*before))
