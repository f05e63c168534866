"""Heartbeats: they keep a worker's lease while it trains, and report its device.

One thread sends them for as long as the program runs, so that no round waits for it.
"""

import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional

from ..device.telemetry import Telemetry
from ..systemd import Watchdog

SHORTEST_BEAT_S, LONGEST_BEAT_S = 0.01, 600.0  # between two heartbeats, whatever the master's lease
LEAST_REPORT_S = 1.0  # between two reports, whatever the master asks for
NEVER, NOT_DUE = float("-inf"), float("inf")
LAST_BEAT_S = 2.0  # how long a round's answer waits for a heartbeat before it opens a connection of its own


def beat_s(lease_s: float) -> float:
    """Return the seconds between two heartbeats: a third of the lease, within limits."""
    # Compared in this order, NaN becomes the longest; divided last, a huge integer does not overflow.
    return max(3 * SHORTEST_BEAT_S, min(3 * LONGEST_BEAT_S, lease_s)) / 3


class HeartbeatThread:
    """Sends heartbeats when they are due, and feeds the watchdog during a long training or transfer.

    Parameters
    ----------
    beat : callable(epoch, report, renews)
        Sends one; report is a dict, or None; renews: it keeps the lease. Outside of a training only the run's own
        requests do: a worker that makes no progress is lost, with telemetry and without. Must not raise. Returns a
        sentence on what rejected it on its way, or None.
    telemetry : Telemetry
    watchdog : Watchdog

    Attributes
    ----------
    report_s : float
        Seconds between two reports of the device; 0 = none. May change at any time.
    n_samples : int
        Samples trained on so far.
    problem : str
        What is wrong with this worker; empty if nothing.
    notes : list of str
        For the log; the reader empties the list.
    """

    def __init__(
        self,
        beat: Callable[[int, Optional[Dict[str, Any]], bool], Any],
        telemetry: Telemetry,
        watchdog: Watchdog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.report_s, self.n_samples, self.problem = 0.0, 0, ""
        self.notes: List[str] = []
        self._refused = ""  # the last reason that was logged
        self._beat, self._telemetry, self._watchdog, self._clock = beat, telemetry, watchdog, clock
        self._epoch, self._lease_s = 0, 0.0
        self._is_training, self._last_beat, self._last_feed = False, 0.0, 0.0
        self._feed = None  # type: Optional[Callable[[], None]]
        self._last_report = NEVER
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._woken, self._is_closing = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._telemetry.start()
        self._thread.start()

    def close(self) -> None:
        """Stop the thread; wait briefly for a heartbeat in flight."""
        self._is_closing = True
        self._woken.set()
        self._thread.join(LAST_BEAT_S)
        self._telemetry.close()

    def follow(self, epoch: int, lease_s: float) -> None:
        """Take the epoch and lease that the master named last; epoch 0 = none."""
        if (epoch, lease_s) == (self._epoch, self._lease_s):
            return
        with self._lock:
            if epoch != self._epoch:
                self._last_report = NEVER  # report the device at once
            self._epoch, self._lease_s = epoch, lease_s
        self._woken.set()

    def tell(self) -> None:
        """Send a report now, for example after the last round."""
        with self._lock:
            self._last_report = NEVER
        self._woken.set()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Return a context in which the watchdog is fed: a transfer has its own time limits."""
        self._begin_to_feed(self._watchdog.feed)
        try:
            yield
        finally:
            with self._lock:
                self._feed = None

    @contextmanager
    def training(self) -> Iterator[None]:
        """Return a context in which the lease is kept.

        At its end it waits for a heartbeat in flight, which occupies the connection.
        """
        with self._lock:
            self._is_training, self._last_beat = True, self._clock()
        self._begin_to_feed(self._watchdog.feed_if_busy)
        try:
            yield
        finally:
            with self._lock:
                self._is_training, self._feed = False, None
            if self._sending.acquire(timeout=LAST_BEAT_S):
                self._sending.release()

    def step(self, now: float) -> Optional[float]:
        """Do what is due at ``now``; return the seconds until the next step, None = not scheduled."""
        with self._lock:
            if self._feed_due() <= now:
                self._last_feed = now
                self._feed()
            tells = self._report_due() <= now
            if not tells and self._lease_due() > now:
                due = min(self._feed_due(), self._report_due(), self._lease_due())
                return None if due == NOT_DUE else due - now
            self._last_beat = now
            if tells:
                self._last_report = now
            epoch, renews = self._epoch, self._is_training
            self._sending.acquire()
        try:
            refused = self._beat(epoch, self._telemetry.report(self.n_samples, self.problem) if tells else None, renews)
        finally:
            self._sending.release()
        if refused and refused != self._refused:  # log it once
            self._refused = refused
            self.notes.append(
                "heartbeats do not arrive, and a worker that trains longer than its lease of %g s is "
                "lost: %s" % (self._lease_s, refused)
            )
        return 0.0

    def _begin_to_feed(self, feed: Callable[[], None]) -> None:
        with self._lock:
            self._feed, self._last_feed = feed, self._clock()
        self._woken.set()

    def _feed_due(self) -> float:
        is_watched = self._feed is not None and self._watchdog.period_s is not None
        return self._last_feed + self._watchdog.period_s if is_watched else NOT_DUE

    def _lease_due(self) -> float:
        return self._last_beat + beat_s(self._lease_s) if self._is_training and self._epoch else NOT_DUE

    def _report_due(self) -> float:
        return self._last_report + max(LEAST_REPORT_S, self.report_s) if self.report_s and self._epoch else NOT_DUE

    def _run(self) -> None:
        while not self._is_closing:
            self._woken.clear()
            pause = self.step(self._clock())
            if pause != 0.0 and not self._is_closing:
                self._woken.wait(pause)
