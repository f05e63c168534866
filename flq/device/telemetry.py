"""Telemetry of a worker's device: current readings, and energy and peak temperature since the start."""

import secrets
import threading
import time
from typing import Any, Callable, Dict, Optional

from .power import Rails
from .report import printable
from .sensors import Sensors

PERIOD_S = 0.2  # between two samples of the power
LONGEST_GAP_S = 2.0  # the energy of a longer gap between samples is unknown
TEMPERATURE_EVERY_S = 1.0


class Telemetry:
    """The readings of one machine while a program runs.

    Energy is the power of the whole board, integrated by the trapezoidal rule. Without a rail for the whole board,
    there is no energy and no sampling thread. Safe to use from any thread.

    Parameters
    ----------
    root : str
        The folder that replaces /.
    clock : callable()
        Monotonic seconds.
    name : str, optional
        The worker's name, given by its owner; included in every report.

    Attributes
    ----------
    life : str
        8 hexadecimal digits, which identify this process: another process counts from zero.
    """

    def __init__(self, root: str = "/", clock: Callable[[], float] = time.monotonic, name: str = "") -> None:
        self.life = secrets.token_hex(4)
        self._name = printable(name) or None
        self._sensors, self._rails, self._clock = Sensors(root), Rails(root), clock
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = None  # type: Optional[threading.Thread]
        self._when = self._power_w = None  # type: Optional[float]
        self._looked = self._peak_c = None  # type: Optional[float]
        self._energy_j = self._uncovered_s = 0.0

    def start(self) -> None:
        """Start sampling the power five times a second, if there is a rail."""
        if self._rails.measures_whole and self._thread is None:
            self._thread = threading.Thread(target=self._sample, name="telemetry", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop sampling; may be called again."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def take(self, now: float) -> None:
        """Sample the power, and once a second the temperatures.

        Parameters
        ----------
        now : float
            Time of the clock; a sample that is not later than the last one is ignored.
        """
        with self._lock:
            self._take(now)

    def report(self, samples: Optional[int] = None, problem: str = "") -> Dict[str, Any]:
        """Return the current readings, with the fields of ``flq.device.report``.

        Parameters
        ----------
        samples : int, optional
            Number of samples trained on so far.
        problem : str
            A problem of this worker, in one sentence.
        """
        with self._lock:
            now = self._clock()
            self._take(now)
            temperatures = self._look_at_temperatures(now)
            values = {
                "name": self._name,
                "life": self.life,
                "cpu": _rounded(self._sensors.cpu_share(), 2),
                "gpu": _rounded(self._sensors.gpu_share(), 2),
                "temperature_c": max(temperatures, default=None),
                "peak_c": self._peak_c,
                "throttled": self._sensors.throttled(),
                "samples": samples,
                "problem": printable(problem) or None,
            }  # type: Dict[str, Any]
            values.update(zip(("ram_mb", "ram_total_mb"), self._sensors.ram_mb() or ()))
            values["rails_w"] = {name: round(power, 2) for name, power in self._rails.powers_w().items()} or None
            if self._when is not None:
                values.update(
                    power_w=round(self._power_w, 2) if now <= self._when else None,  # None if stale
                    energy_j=round(self._energy_j, 1),
                    uncovered_s=round(self._uncovered_s, 1) or None,
                )
        return {name: value for name, value in values.items() if value is not None}

    def _take(self, now: float) -> None:
        power = self._rails.total_w()
        if power is not None and (self._when is None or now > self._when):
            if self._when is not None:
                passed = now - self._when
                if passed <= LONGEST_GAP_S:
                    self._energy_j += (self._power_w + power) / 2 * passed
                else:
                    self._uncovered_s += passed
            self._when, self._power_w = now, power
        if self._looked is None or now - self._looked >= TEMPERATURE_EVERY_S:
            self._look_at_temperatures(now)

    def _look_at_temperatures(self, now: float) -> Any:
        """Return the rounded temperatures and update the peak."""
        found = [round(value, 1) for value in self._sensors.temperatures().values()]
        self._looked = now
        self._peak_c = max(found + ([] if self._peak_c is None else [self._peak_c]), default=None)
        return found

    def _sample(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self.take(self._clock())


def _rounded(value: Optional[float], digits: int) -> Optional[float]:
    return None if value is None else round(value, digits)
