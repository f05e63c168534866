"""Who belongs to the run: registrations, epochs, leases.

An id belongs to one instance while its lease lasts. Whoever registers begins a new epoch
with empty memories, unless it is the same instance and still has the memories of the epoch that
is known here; an answer of an older epoch is refused.
"""

from typing import Dict, List, Optional

from ..errors import BadValues, Conflict
from .events import Register
from .members import Member


class Registry:
    """The members of a run, by worker id; only the master's machine changes them.

    Parameters
    ----------
    total_workers : int
        Ids are 0 .. total_workers-1.
    layout_crc : int
        What a worker's parameter layout must be.
    lease_s : float
        How long a silent worker counts as alive.
    """

    def __init__(self, total_workers: int, layout_crc: int, lease_s: float) -> None:
        self.members: Dict[int, Member] = {}
        self._total_workers = total_workers
        self._layout_crc = layout_crc
        self._lease_s = lease_s

    def register(self, event: Register, now: float) -> Member:
        """Give the id to the instance that asks, and renew its lease.

        Raises
        ------
        BadValues
            If the id or the number of samples is out of range.
        Conflict
            If another instance has the id, or the parameter layouts differ.
        """
        if not 0 <= event.worker_id < self._total_workers:
            raise BadValues("worker id must be in 0..%d, got %d" % (self._total_workers - 1, event.worker_id),
                            "use another --worker_id, or raise system.total_workers on the master")
        member = self.members.get(event.worker_id) or Member(event.worker_id)
        if member.holder not in ("", event.instance) and member.lease_until > now:
            raise Conflict("worker %d is alive elsewhere" % event.worker_id,
                           "use another --worker_id, or wait %d s until its lease ends" % (member.lease_until - now))
        if event.n_samples is not None:
            if event.layout_crc != self._layout_crc:
                raise Conflict("the worker's parameter layout is %08x, the master's is %08x"
                               % (event.layout_crc or 0, self._layout_crc),
                               "use the same version of FLQ on master and workers")
            if event.n_samples < 1:
                raise BadValues("the number of samples must be at least 1, got %d" % event.n_samples)
        self.members[event.worker_id] = member
        member.holder = event.instance
        self._renew(member, now)
        return member

    def is_copy(self, member: Member, event: Register) -> bool:
        """Return whether a worker has joined with this very request before.

        Raises
        ------
        Conflict
            If it has also answered since: nobody waits for a reply any more.
        """
        is_copy = (event.known_epoch not in (None, member.epoch) and not member.gone
                   and event.instance == member.instance and event.n_samples == member.n_samples)
        if is_copy and member.closed_seq:
            raise Conflict("worker %d has joined with a later request" % member.worker_id)
        return is_copy

    def takes_up(self, member: Member, event: Register) -> bool:
        """Return whether a worker that joins goes on with its epoch, whose memories it claims to have."""
        if event.claimed_epoch is None or event.claimed_seq is None or member.is_forgotten:
            return False
        return (event.instance == member.instance and event.claimed_epoch == member.epoch > 0
                and event.claimed_seq >= member.closed_seq and event.n_samples == member.n_samples)

    def find(self, worker_id: int, epoch: int, now: Optional[float]) -> Member:
        """Return the worker that a request comes from, and renew its lease; not if ``now`` is None.

        Raises
        ------
        Conflict
            If it has not joined, its lease has ended, or it has joined again since.
        """
        member = self.members.get(worker_id)
        if member is None or member.gone or member.epoch != epoch:
            raise Conflict("worker %d with epoch %d is not part of the run" % (worker_id, epoch), "register again")
        if now is not None:
            self._renew(member, now)
        return member

    def leased(self) -> Dict[int, int]:
        """Return worker id -> samples of those that take part, ascending."""
        return {worker_id: member.n_samples for worker_id, member in sorted(self.members.items())
                if not member.gone}

    def silent(self, now: float) -> List[int]:
        """Return whose lease has run out, ascending."""
        return [worker_id for worker_id, member in sorted(self.members.items())
                if not member.gone and member.lease_until <= now]

    def renew_all(self, now: float) -> None:
        """Let the leases of all that take part begin anew."""
        for member in self.members.values():
            if not member.gone:
                self._renew(member, now)

    def _renew(self, member: Member, now: float) -> None:
        member.last_seen = now
        member.lease_until = now + self._lease_s
