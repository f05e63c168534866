"""The workers of a run: registrations, epochs, sessions, leases.

========= ============= =========== ============ =======================
a worker  asks for the  joins       its lease    its requests
is        settings                  ends
========= ============= =========== ============ =======================
unknown   reserved      leased      -            refused
reserved  reserved      leased      reserved     refused
leased    leased        leased      lost         renew the lease
lost      lost          leased      lost         refused
========= ============= =========== ============ =======================

While its lease lasts an id belongs to one instance, and there to one session: the process that has joined last, whose
requests carry its key. A worker that joins begins a new epoch with empty memories, unless it is the same instance and
still has the memories of the epoch that is known here: :data:`CLAIMS` says how its claim is judged. Requests of an
older epoch or session are refused.

A restarted worker takes over at once. If the process before it then proves that it is still alive, by joining with a
number that it can only have learned since, two processes share the identity (the state folder was copied): the earlier
one gets it back, and no other takes over while its lease lasts.
"""

import math
from enum import Enum
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from ..core.codecs.lossless import common
from ..errors import BadValues, Conflict
from .events import Register
from .messages import Answer, Outcome

MOST_KEPT = 64  # earlier sessions of a worker: the first ones and the last ones
WARN_S = 60.0  # between two notes that two processes use a worker's identity
SAVED = (
    "worker_id",
    "instance",
    "session",
    "earlier_sessions",
    "n_sessions",
    "is_contested",
    "epoch",
    "n_samples",
    "is_forgotten",
    "closed_seq",
    "closed_round",
    "gone",
)


class Claim(Enum):
    """What a worker that joins is, by its claim and by what is known of it."""

    BARRED = "another process with its identity is alive, and two have been before: refused while that lease lasts"
    OVERTAKEN = "a copy of a request that has joined, and it has answered since: refused, nobody waits for a reply"
    DUPLICATE = "a copy of the request that has joined: gets the same reply"
    OUTDATED = "another process has joined since it was told the number of sessions: is told the number again"
    SHARED = "a process that was taken over from, and knows it: both are alive; joins with a new epoch"
    RESUMED = "has the memories of the epoch that is known here: goes on with it"
    NEW = "anything else: joins with a new epoch"


class Presence(Enum):
    """Where a worker stands."""

    RESERVED = "RESERVED"
    LEASED = "LEASED"
    LOST = "LOST"


class Member:
    """A worker, as the master knows it.

    Attributes
    ----------
    holder : str
        Which instance the id belongs to while the lease lasts.
    instance : str
        Which instance has joined last: the epoch's memories are in its state folder.
    epoch : int
        Counts its registrations; 0 while it has only asked for the settings.
    n_samples : int
        Fixed when it joins; 0 before.
    lease_until : float
    session : str
        Hash of the key that the requests of its process carry.
    earlier_sessions : list of str
        Those that later processes have taken over from while the lease lasted.
    n_sessions : int
        How many sessions have begun.
    is_contested : bool
        Whether two processes were alive at the same time: while the lease lasts, no other takes over.
    is_heard : bool
        Whether its process was heard since the master's began.
    warned_at : float
        When the operator was last told that others use its identity.
    is_forgotten : bool
        Its memories are of no use any more: the model has dropped its mirror.
    closed_seq, closed_outcome, closed_round
        Its last final verdict, so that a repeated answer gets it again.
    codings : tuple of str
        How payloads to and from it may be coded.
    gone : bool
        It has not joined, or its lease has ended.
    missed_end : bool
        Its lease ended after the run did.
    """

    def __init__(self, worker_id: int) -> None:
        self.worker_id = worker_id
        self.holder = self.instance = self.session = ""
        self.earlier_sessions: List[str] = []
        self.n_sessions = 0
        self.is_contested = self.is_heard = self.is_forgotten = self.missed_end = False
        self.warned_at = -math.inf
        self.epoch = 0
        self.n_samples = 0
        self.lease_until = self.last_seen = 0.0
        self.closed_seq = self.closed_round = 0
        self.closed_outcome = Outcome.NOTED
        self.codings: Tuple[str, ...] = ()
        self.gone = True

    @property
    def presence(self) -> Presence:
        """Where it stands."""
        if self.epoch == 0:
            return Presence.RESERVED
        return Presence.LOST if self.gone else Presence.LEASED

    def is_leased(self, now: float) -> bool:
        """Return whether it has joined and its lease lasts."""
        return not self.gone and self.lease_until > now

    def begin_session(self, session: str) -> None:
        """Let another process take over."""
        earlier = [] if self.gone else [*self.earlier_sessions, self.session]
        self.earlier_sessions = [key for key in earlier if key != session]
        del self.earlier_sessions[MOST_KEPT // 2 : -MOST_KEPT // 2]  # many joins do not make it forget the first
        self.session = session
        self.n_sessions += 1

    def begin_epoch(self, instance: str, n_samples: int) -> None:
        """Begin a new epoch, with empty memories."""
        self.instance = instance
        self.epoch += 1
        self.n_samples = n_samples
        self.closed_seq = self.closed_round = 0
        self.is_forgotten = self.gone = False

    def leave(self) -> None:
        """Note that the lease has ended."""
        self.gone, self.holder, self.earlier_sessions, self.is_contested = True, "", [], False

    def miss_end(self) -> None:
        """Note that the lease has ended after the run, whose results must not depend on it."""
        self.missed_end, self.holder = True, ""

    def close(self, answer: Answer, outcome: Outcome) -> None:
        """Remember the final verdict on an answer."""
        self.closed_seq, self.closed_round, self.closed_outcome = answer.seq, answer.round_index, outcome

    def has_closed(self, answer: Answer) -> bool:
        """Return whether an answer has got its final verdict, and none has come since."""
        return answer.seq == self.closed_seq and answer.round_index == self.closed_round

    def check_next(self, answer: Answer, round_index: int) -> None:
        """Refuse an answer that is not the next one, or one to a round after ``round_index``.

        Raises
        ------
        Conflict
        """
        if answer.seq != self.closed_seq + 1 or answer.round_index > round_index:
            raise Conflict(
                "the answer has number %d of round %d, expected number %d of round %d at most"
                % (answer.seq, answer.round_index, self.closed_seq + 1, round_index),
                "register again",
            )


# -- how a claim is judged ---------------------------------------------------------------


def _is_barred(member: Member, event: Register, round_index: int) -> bool:
    return member.is_contested and event.instance == member.instance and event.session != member.session


def _is_overtaken(member: Member, event: Register, round_index: int) -> bool:
    has_answered_since = (
        event.session == member.session != ""
        and event.claimed_epoch == member.epoch
        and (event.claimed_seq or 0) < member.closed_seq
    )  # a process never claims less again
    return has_answered_since or (member.closed_seq > 0 and _is_duplicate(member, event, round_index))


def _is_duplicate(member: Member, event: Register, round_index: int) -> bool:
    return (
        event.known_epoch not in (None, member.epoch)
        and not member.gone
        and event.instance == member.instance
        and event.n_samples == member.n_samples
        and event.session == member.session
    )


def _is_outdated(member: Member, event: Register, round_index: int) -> bool:
    return event.session != member.session and event.known_sessions not in (None, member.n_sessions)


def _is_shared(member: Member, event: Register, round_index: int) -> bool:
    return event.session in member.earlier_sessions and event.known_sessions == member.n_sessions


def _is_resumed(member: Member, event: Register, round_index: int) -> bool:
    """Its last answer must be the last one that is decided here; or the next, while it does not know the verdict."""
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


CLAIMS: Tuple[Tuple[Claim, Callable[[Member, Register, int], bool]], ...] = (
    (Claim.BARRED, _is_barred),
    (Claim.OVERTAKEN, _is_overtaken),
    (Claim.DUPLICATE, _is_duplicate),
    (Claim.OUTDATED, _is_outdated),
    (Claim.SHARED, _is_shared),
    (Claim.RESUMED, _is_resumed),
    (Claim.NEW, lambda member, event, round_index: True),
)  # the first that holds


class Membership:
    """The members of a run, by worker id.

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

    # -- registrations -------------------------------------------------------------------

    def judge(self, event: Register, round_index: int) -> Claim:
        """Say what a worker that registers in round ``round_index`` is."""
        member = self.members.get(event.worker_id) or Member(event.worker_id)
        return next(claim for claim, holds in CLAIMS if holds(member, event, round_index))

    def is_ahead(self, event: Register, round_index: int) -> bool:
        """Return whether a worker remembers more of this run than the journal, whose end is lost then."""
        member = self.members[event.worker_id]
        if event.claimed_epoch is None or event.claimed_seq is None:
            return False
        if member.instance not in ("", event.instance):
            return False
        if event.claimed_epoch != member.epoch:
            return event.claimed_epoch > member.epoch
        return event.claimed_seq - event.undecided > member.closed_seq or (event.claimed_round or 0) > round_index

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
                    "raise system.max_samples on the master if the worker has so many",
                )
        self.members[event.worker_id] = member
        member.holder = event.instance
        self._renew(member, now)
        return member

    # -- requests ------------------------------------------------------------------------

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

    def is_strange(self, worker_id: int, session: Optional[str]) -> bool:
        """Return whether a request carries a key that has never joined.

        If the worker's own process was not heard either, the journal may have lost the join that had this key.
        """
        member = self.members.get(worker_id)
        return (
            member is not None
            and member.is_heard
            and not member.gone
            and session not in (None, member.session, *member.earlier_sessions)
        )

    def may_warn(self, worker_id: int, now: float) -> bool:
        """Return whether to tell the operator that two processes use a worker's identity: at most once a minute."""
        member = self.members[worker_id]
        if now - member.warned_at < WARN_S:
            return False
        member.warned_at = now
        return True

    # -- leases --------------------------------------------------------------------------

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

    def deadlines(self) -> List[float]:
        """Return when the leases run out."""
        return [member.lease_until for member in self.members.values() if not member.gone]

    def restart_clocks(self, now: float) -> None:
        """Let the leases of all that take part start in full; nobody has been heard yet."""
        for member in self.members.values():
            member.is_heard = False
            if not member.gone:
                self._renew(member, now)

    def _renew(self, member: Member, now: float) -> None:
        member.last_seen = now
        member.lease_until = now + self._lease_s

    # -- snapshots -----------------------------------------------------------------------

    def capture_worker(self, worker_id: int) -> Dict[str, Any]:
        """Return what is known of a worker, as JSON values."""
        member = self.members[worker_id]
        return dict(
            {name: getattr(member, name) for name in SAVED},
            earlier_sessions=list(member.earlier_sessions),
            closed_outcome=int(member.closed_outcome),
            codings=list(member.codings),
        )

    def resume(self, workers: Iterable[Mapping[str, Any]], coding: str) -> None:
        """Take up what was captured, with the codings of a rule that this master knows."""
        for body in workers:
            member = self.members[body["worker_id"]] = Member(body["worker_id"])
            for name in SAVED:
                setattr(member, name, body[name])
            member.closed_outcome = Outcome(body["closed_outcome"])
            member.codings = common(coding, body["codings"])
            member.holder = member.instance if not member.gone else ""
