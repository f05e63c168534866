"""Counts wire bytes, of each worker and of all other peers.

The counts include headers, polls, retries and incomplete bodies, because they come from the
return values of the sockets' recv and send (connection.py).
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
        """Count bytes of a worker; None = a peer that is not known to be a worker."""
        with self._lock:
            self._by_worker[worker_id] = self._by_worker.get(worker_id, Wire()).plus(wire)

    def of_worker(self, worker_id: int) -> Wire:
        """Return the bytes of a worker's connections."""
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
        """Return the bytes of all other peers: people, dashboards, strangers."""
        with self._lock:
            return self._by_worker.get(None, Wire())

    def snapshot(self) -> Dict[Optional[int], Wire]:
        """Return all counts at one moment, by worker id; None = all other peers."""
        with self._lock:
            return dict(self._by_worker)


class Peer:
    """The peer of one connection; its bytes count for a worker once it is known to be one."""

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
        """Count this connection, including its bytes so far, for a worker."""
        if self._worker_id is None:
            self._meter.add(None, Wire(-self._before.up, -self._before.down))
            self._meter.add(worker_id, self._before)
        self._worker_id = worker_id
