"""The workers of a run: registrations, epochs, sessions, leases.

========= ============= =========== ============ =======================
a worker  asks for the  joins       its lease    its requests
is        settings                  ends
========= ============= =========== ============ =======================
unknown   reserved      leased      -            rejected
reserved  reserved      leased      reserved     rejected
leased    leased        leased      lost         renew the lease
lost      lost          leased      lost         rejected
========= ============= =========== ============ =======================

While its lease lasts, an id belongs to one instance, and to one session of it: the process that joined last, whose
requests carry its key. A worker that joins begins a new epoch with empty memories, unless it is the same instance and
still has the memories of the current epoch: claims.py judges its claim. Requests of an older epoch or session are
rejected.

A restarted worker takes over at once. If the process before it then proves that it is still alive, by joining with a
number that it can only have learned since, two processes share the identity (the state folder was copied): the earlier
one gets it back, and no other takes over while its lease lasts.
"""

from typing import Any, Dict, Iterable, List, Mapping, Optional

from ..core.codecs.lossless import common
from ..errors import BadValues, Conflict
from .claims import CLAIMS, Claim, is_ahead
from .events import Register
from .member import SAVED, Member
from .messages import Outcome

WARN_S = 60.0  # between two warnings that two processes use a worker's identity


class Membership:
    """The members of a run, by worker id.

    Parameters
    ----------
    total_workers : int
        Ids are 0 .. total_workers-1.
    layout_crc : int
        The CRC32 that a worker's parameter layout must have.
    lease_s : float
        How long a silent worker counts as alive.
    max_samples : int
        Most samples that one worker may have.
    """

    def __init__(self, total_workers: int, layout_crc: int, lease_s: float, max_samples: int) -> None:
        self.members: Dict[int, Member] = {}
        self._total_workers = total_workers
        self._layout_crc = layout_crc
        self._lease_s = lease_s
        self._max_samples = max_samples

    # -- registrations -------------------------------------------------------------------

    def judge(self, event: Register, round_index: int) -> Claim:
        """Return the claim of a worker that registers in round ``round_index``, as judged by :data:`CLAIMS`."""
        member = self.members.get(event.worker_id) or Member(event.worker_id)
        return next(claim for claim, holds in CLAIMS if holds(member, event, round_index))

    def is_ahead(self, event: Register, round_index: int) -> bool:
        """Return whether a worker is ahead of the journal, whose end is then lost."""
        return is_ahead(self.members[event.worker_id], event, round_index)

    def register(self, event: Register, claim: Claim, now: float) -> Member:
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
            if claim is Claim.BARRED:
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
                    "raise system.max_samples on the master if the worker has that many",
                )
        self.members[event.worker_id] = member
        member.holder = event.instance
        self._renew(member, now)
        return member

    # -- requests ------------------------------------------------------------------------

    def find(self, worker_id: int, epoch: int, session: Optional[str], now: Optional[float]) -> Member:
        """Return the worker that a request comes from; renew its lease unless ``now`` is None.

        Raises
        ------
        Conflict
            If it has not joined, its lease has ended, or this or another process has joined again since.
        """
        member = self.members.get(worker_id)
        if member is None or not member.has_lease or member.epoch != epoch:
            raise Conflict("worker %d with epoch %d is not part of the run" % (worker_id, epoch), "register again")
        if session not in (None, member.session):
            raise Conflict("another process has joined as worker %d" % worker_id, "register again")
        if now is not None:
            self._renew(member, now)
        member.is_confirmed = True
        return member

    def has_unknown_key(self, worker_id: int, session: Optional[str]) -> bool:
        """Return whether a request carries a key that has never joined.

        If the worker's own process is not confirmed either, the journal may have lost the join with this key.
        """
        member = self.members.get(worker_id)
        return (
            member is not None
            and member.is_confirmed
            and member.has_lease
            and session not in (None, member.session, *member.earlier_sessions)
        )

    def may_warn(self, worker_id: int, now: float) -> bool:
        """Return whether to warn that two processes use a worker's identity: at most once a minute."""
        member = self.members[worker_id]
        if now - member.warned_at < WARN_S:
            return False
        member.warned_at = now
        return True

    # -- leases --------------------------------------------------------------------------

    def leased(self) -> Dict[int, int]:
        """Return worker id -> samples of the workers with a lease, ascending."""
        return {worker_id: member.n_samples for worker_id, member in sorted(self.members.items()) if member.has_lease}

    def silent(self, now: float) -> List[int]:
        """Return the workers whose lease has run out, ascending."""
        return [
            worker_id
            for worker_id, member in sorted(self.members.items())
            if member.has_lease and not member.missed_end and member.lease_until <= now
        ]

    def deadlines(self) -> List[float]:
        """Return when the leases run out."""
        return [member.lease_until for member in self.members.values() if member.has_lease]

    def restart_clocks(self, now: float) -> None:
        """Restart all leases; no process is confirmed yet."""
        for member in self.members.values():
            member.is_confirmed = False
            if member.has_lease:
                self._renew(member, now)

    def _renew(self, member: Member, now: float) -> None:
        member.last_seen = now
        member.lease_until = now + self._lease_s

    # -- snapshots -----------------------------------------------------------------------

    def capture_worker(self, worker_id: int) -> Dict[str, Any]:
        """Return the record of a worker as JSON values."""
        member = self.members[worker_id]
        return dict(
            {name: getattr(member, name) for name in SAVED},
            earlier_sessions=list(member.earlier_sessions),
            closed_outcome=int(member.closed_outcome),
            codings=list(member.codings),
            gone=not member.has_lease,
        )

    def resume(self, workers: Iterable[Mapping[str, Any]], coding: str) -> None:
        """Restore the captured records, with the codings that this master knows."""
        for body in workers:
            member = self.members[body["worker_id"]] = Member(body["worker_id"])
            for name in SAVED:
                setattr(member, name, body[name])
            member.closed_outcome = Outcome(body["closed_outcome"])
            member.codings = common(coding, body["codings"])
            member.has_lease = not body["gone"]
            member.holder = member.instance if member.has_lease else ""
