"""Limits each peer's rate of requests and its number of concurrent requests.

A peer with a valid token is identified by the token's name, others by their address.
"""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from typing import Callable, Dict, Hashable, Union

from ...errors import TooManyRequests, Unavailable
from .server import STREAM_THREADS
from .token_bucket import Bucket, Rate

STREAMS_OF_ONE = STREAM_THREADS // 2  # event streams per address
MOST_KEPT = 4096  # peers whose buckets are kept; a new bucket is full


class Buckets:
    """A token bucket for each of many peers. Safe to use from any thread."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._lock = threading.Lock()
        self._buckets: "OrderedDict[Hashable, Bucket]" = OrderedDict()  # least recently used first

    def take(self, key: Hashable) -> None:
        """Count a request.

        Raises
        ------
        TooManyRequests
            If the rate is exceeded; this request is not counted.
        """
        if not self._rate.per_s:
            return
        with self._lock:
            now = self._clock()
            bucket = self._buckets.pop(key, None) or Bucket(self._rate, now)
            self._buckets[key] = bucket
            wait_s = bucket.wait_s(now)
            if not wait_s:
                bucket.take()
            if len(self._buckets) > MOST_KEPT:
                self._buckets.popitem(last=False)
        if wait_s:
            raise TooManyRequests(
                "more than %g requests per second from this client" % self._rate.per_s,
                "send fewer requests",
                math.ceil(wait_s),
            )


class Places:
    """Limits the concurrent requests of each group of peers. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Dict[Hashable, int] = {}

    def enter(self, key: Hashable, n_places: int) -> Callable[[], None]:
        """Take one of a group's places; return the function that releases it.

        Raises
        ------
        TooManyRequests
            If all places are taken.
        """
        with self._lock:
            taken = self._taken.get(key, 0)
            if taken >= n_places:
                raise TooManyRequests(
                    "%d requests of this kind are in progress, the maximum" % taken, "wait for their responses"
                )
            self._taken[key] = taken + 1
        return lambda: self._leave(key)

    def _leave(self, key: Hashable) -> None:
        with self._lock:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]


class StreamPlaces:
    """Limits the concurrent event streams, and those of one address to half of them."""

    def __init__(self) -> None:
        self._all = threading.BoundedSemaphore(STREAM_THREADS)
        self._places = Places()

    def enter(self, address: str) -> Callable[[], None]:
        """Take a place; return the function that releases it.

        Raises
        ------
        Unavailable
            If there is none.
        """
        if self._all.acquire(blocking=False):
            try:
                leave = self._places.enter(group_of(address), STREAMS_OF_ONE)
            except TooManyRequests:
                self._all.release()
            else:

                def leave_both() -> None:
                    leave()
                    self._all.release()

                return leave_both
        raise Unavailable("too many event streams are open", "poll GET /feed instead")


class All:
    """Acquires one place of each of several semaphores, or none."""

    def __init__(self, *semaphores: "Union[threading.Semaphore, All]") -> None:
        self._semaphores = semaphores

    def acquire(self, blocking: bool = False) -> bool:
        """Take one place of each if all have one, without waiting; return whether it did."""
        for n_taken, semaphore in enumerate(self._semaphores):
            if not semaphore.acquire(blocking=False):
                for taken in self._semaphores[:n_taken]:
                    taken.release()
                return False
        return True

    def release(self) -> None:
        """Release them."""
        for semaphore in self._semaphores:
            semaphore.release()


def group_of(address: str) -> str:
    """Return the group of a peer's address: the address, or the /64 network of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))
