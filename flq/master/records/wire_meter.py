"""Counting wire bytes: so many of each worker, so many of everybody else.

Headers, polls, retries and bodies that break off are all in it, because the count is taken
from what the sockets' recv and send return (connection.py), not from what a request should
have been.
"""

import threading
from typing import Dict, NamedTuple, Optional


class Wire(NamedTuple):
    """Bytes from the peer (up) and to the peer (down)."""

    up: int = 0
    down: int = 0

    def plus(self, other: "Wire") -> "Wire":
        """Return the sum of two counts."""
        return Wire(self.up + other.up, self.down + other.down)


class Meter:
    """The counts of one server, by worker. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_worker: Dict[Optional[int], Wire] = {}

    def add(self, worker_id: Optional[int], wire: Wire) -> None:
        """Count bytes of a worker; None is a peer that has not said who it is."""
        with self._lock:
            self._by_worker[worker_id] = self._by_worker.get(worker_id, Wire()).plus(wire)

    def of_worker(self, worker_id: int) -> Wire:
        """Return what a worker's connections have carried."""
        with self._lock:
            return self._by_worker.get(worker_id, Wire())

    def of_workers(self) -> Wire:
        """Return the sum over all workers."""
        with self._lock:
            total = Wire()
            for worker_id, wire in self._by_worker.items():
                total = total if worker_id is None else total.plus(wire)
            return total

    def of_others(self) -> Wire:
        """Return what was carried for anybody else: people, dashboards, strangers."""
        with self._lock:
            return self._by_worker.get(None, Wire())

    def snapshot(self) -> Dict[Optional[int], Wire]:
        """Return all counts of one moment: by worker, and under None those of anybody else."""
        with self._lock:
            return dict(self._by_worker)


class Peer:
    """The other end of one connection: counts for nobody until it says which worker it is."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._worker_id: Optional[int] = None
        self._before = Wire()

    def count(self, wire: Wire) -> None:
        """Count bytes of this connection."""
        if self._worker_id is None:
            self._before = self._before.plus(wire)
        self._meter.add(self._worker_id, wire)

    def is_worker(self, worker_id: int) -> None:
        """Give this connection, and what it has carried so far, to a worker."""
        if self._worker_id is None:
            self._meter.add(None, Wire(-self._before.up, -self._before.down))
            self._meter.add(worker_id, self._before)
        self._worker_id = worker_id
