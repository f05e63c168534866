"""The workers of a run: registrations, epochs, sessions, leases.

While its lease lasts an id belongs to one instance, and there to one session: the process that has joined last, whose
requests carry its key. A worker that joins begins a new epoch with empty memories, unless it is the same instance and
still has the memories of the epoch that is known here. Requests of an older epoch or session are refused.

A restarted worker takes over at once. If the process before it then proves that it is still alive, by joining with a
number that it can only have learned since, two processes share the identity (the state folder was copied): the earlier
one gets it back, and no other takes over while its lease lasts.
"""

from typing import Dict, List, Optional

from ..errors import BadValues, Conflict
from .events import Register
from .records import Member


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
    max_samples : int
        How many samples one worker may have.
    """

    def __init__(self, total_workers: int, layout_crc: int, lease_s: float, max_samples: int) -> None:
        self.members: Dict[int, Member] = {}
        self._total_workers = total_workers
        self._layout_crc = layout_crc
        self._lease_s = lease_s
        self._max_samples = max_samples

    def register(self, event: Register, now: float) -> Member:
        """Give the id to the instance that asks, and renew its lease.

        Raises
        ------
        BadValues
            If the id or the number of samples is out of range.
        Conflict
            If another instance has the id, two processes share it, or the parameter layouts differ.
        """
        if not 0 <= event.worker_id < self._total_workers:
            raise BadValues(
                "worker id must be in 0..%d, got %d" % (self._total_workers - 1, event.worker_id),
                "use another --worker_id, or raise system.total_workers on the master",
            )
        member = self.members.get(event.worker_id) or Member(event.worker_id)
        left_s = member.lease_until - now
        if left_s > 0:
            if member.holder not in ("", event.instance):
                raise Conflict(
                    "worker %d is alive elsewhere" % event.worker_id,
                    "use another --worker_id, or wait %d s until its lease ends" % left_s,
                )
            if self.is_barred(event):
                raise Conflict(
                    "another process runs as worker %d, with a copy of this state folder" % event.worker_id,
                    "use another --worker_id and --state_dir, or stop the other one and wait %d s until its "
                    "lease ends" % left_s,
                )
        if event.n_samples is not None:
            if event.layout_crc != self._layout_crc:
                raise Conflict(
                    "the worker's parameter layout is %08x, the master's is %08x"
                    % (event.layout_crc or 0, self._layout_crc),
                    "use the same version of FLQ on master and workers",
                )
            if not 1 <= event.n_samples <= self._max_samples:
                raise BadValues(
                    "the number of samples must be in 1..%d, got %d" % (self._max_samples, event.n_samples),
                    "raise system.max_samples on the master if the worker has so many",
                )
        self.members[event.worker_id] = member
        member.holder = event.instance
        self._renew(member, now)
        return member

    def is_barred(self, event: Register) -> bool:
        """Return whether a process may not take over because another one with its identity is alive."""
        member = self.members.get(event.worker_id)
        return (
            member is not None
            and member.is_contested
            and event.instance == member.instance
            and event.session != member.session
        )

    def is_copy(self, member: Member, event: Register) -> bool:
        """Return whether a worker has joined with this very request before.

        Raises
        ------
        Conflict
            If it has also answered since: nobody waits for a reply any more.
        """
        is_copy = (
            event.known_epoch not in (None, member.epoch)
            and not member.gone
            and event.instance == member.instance
            and event.n_samples == member.n_samples
            and event.session == member.session
        )
        has_answered_since = (
            event.session == member.session != ""
            and event.claimed_epoch == member.epoch
            and (event.claimed_seq or 0) < member.closed_seq
        )  # a process never claims less again
        if is_copy and member.closed_seq or has_answered_since:
            raise Conflict("worker %d has joined with a later request" % member.worker_id)
        return is_copy

    def is_outdated(self, member: Member, event: Register) -> bool:
        """Return whether another process has joined since this one was told the number of sessions."""
        return event.session != member.session and event.known_sessions not in (None, member.n_sessions)

    def is_shared(self, member: Member, event: Register) -> bool:
        """Return whether a process that was taken over from joins again, and knows the take-over: both are alive."""
        return event.session in member.earlier_sessions and event.known_sessions == member.n_sessions

    def is_ahead(self, member: Member, event: Register, round_index: int) -> bool:
        """Return whether a worker remembers more of this run than the journal, whose end is lost then."""
        if event.claimed_epoch is None or event.claimed_seq is None:
            return False
        if member.instance not in ("", event.instance):
            return False
        if event.claimed_epoch != member.epoch:
            return event.claimed_epoch > member.epoch
        return event.claimed_seq - event.undecided > member.closed_seq or (event.claimed_round or 0) > round_index

    def takes_up(self, member: Member, event: Register, round_index: int) -> bool:
        """Return whether a worker that joins goes on with its epoch, whose memories it claims to have.

        Its last answer must be the last one that is decided here; or the next one, while it does not know the verdict.
        """
        if event.claimed_epoch is None or event.claimed_seq is None or member.is_forgotten:
            return False
        is_same = (
            event.instance == member.instance
            and event.claimed_epoch == member.epoch > 0
            and event.n_samples == member.n_samples
        )
        if event.claimed_seq == member.closed_seq:
            return is_same and event.claimed_round in (None, member.closed_round)
        is_next = event.undecided and event.claimed_seq == member.closed_seq + 1
        return is_same and is_next and (event.claimed_round or 0) <= round_index

    def find(self, worker_id: int, epoch: int, session: Optional[str], now: Optional[float]) -> Member:
        """Return the worker that a request comes from, and renew its lease; not if ``now`` is None.

        Raises
        ------
        Conflict
            If it has not joined, its lease has ended, or it has joined again since, by this process or another.
        """
        member = self.members.get(worker_id)
        if member is None or member.gone or member.epoch != epoch:
            raise Conflict("worker %d with epoch %d is not part of the run" % (worker_id, epoch), "register again")
        if session not in (None, member.session):
            raise Conflict("another process has joined as worker %d" % worker_id, "register again")
        if now is not None:
            self._renew(member, now)
        member.is_heard = True
        return member

    def leased(self) -> Dict[int, int]:
        """Return worker id -> samples of those that take part, ascending."""
        return {worker_id: member.n_samples for worker_id, member in sorted(self.members.items()) if not member.gone}

    def silent(self, now: float) -> List[int]:
        """Return whose lease has run out, ascending."""
        return [
            worker_id
            for worker_id, member in sorted(self.members.items())
            if not (member.gone or member.missed_end) and member.lease_until <= now
        ]

    def renew_all(self, now: float) -> None:
        """Let the leases of all that take part begin anew; nobody has been heard yet."""
        for member in self.members.values():
            member.is_heard = False
            if not member.gone:
                self._renew(member, now)

    def _renew(self, member: Member, now: float) -> None:
        member.last_seen = now
        member.lease_until = now + self._lease_s
