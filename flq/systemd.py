"""Notifies systemd of a service's state (Type=notify, WatchdogSec); does nothing if systemd did not start it.

Source: the manual pages sd_notify(3) and sd_watchdog_enabled(3) of systemd.
"""

import os
import socket
import time
from typing import Callable, Mapping, Optional

BUSY_SHARE = 0.02  # of one core: a program that computes takes more, one that hangs takes less


class Watchdog:
    """Tells systemd that this program is ready, and that it is alive.

    Parameters
    ----------
    environment : mapping
        With NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID if systemd started the program.
    clock, cpu_clock : callable()
        Monotonic seconds, and CPU seconds of this process.

    Attributes
    ----------
    period_s : float or None
        Seconds between two calls of :meth:`feed`, a third of systemd's timeout; None = no watchdog.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._clock, self._cpu_clock = clock, cpu_clock
        self._looked = clock(), cpu_clock()
        is_meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        said = environment.get("WATCHDOG_USEC", "")
        is_watched = bool(self._address) and is_meant and said.isdecimal() and int(said) > 0
        self.period_s: Optional[float] = int(said) / 3e6 if is_watched else None

    def ready(self) -> None:
        """Say that the program is ready."""
        self._tell("READY=1")

    def feed(self) -> None:
        """Say that the program is alive."""
        if self.period_s is not None:
            self._looked = self._clock(), self._cpu_clock()
            self._tell("WATCHDOG=1")

    def feed_if_busy(self) -> None:
        """Say so if it has used CPU time since the last call: a program that hangs uses none."""
        now, cpu = self._clock(), self._cpu_clock()
        if cpu - self._looked[1] >= BUSY_SHARE * (now - self._looked[0]):
            self.feed()

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(text.encode("ascii"), address)
            except OSError:
                pass  # systemd is restarting or not listening; it gets the next notification
