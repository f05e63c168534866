"""Who takes part: the master's record of a worker, and of a round.

Only the master's machine changes these records.
"""

import math
from typing import Dict, List, Optional, Set, Tuple

from ..core.codecs import Payload
from .messages import Answer, Outcome
from .traffic import Traffic

UPLOADED, SKIPPED, REFUSED, LATE, LOST = STATUSES = ("uploaded", "skipped", "refused", "late", "lost")
MOST_KEPT = 64  # earlier sessions of a worker: the first ones and the last ones


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
    is_forgotten : bool
        Memory mirror: its mirror has left the weights, so its memories are of no use any more.
    passed_over : int
        Rounds in a row in which its offer was refused.
    last_until : int
        The last round in which its offers come last, because it did not use a grant.
    closed_seq, closed_outcome, closed_round
        Its last final verdict, so that a repeated answer gets it again.
    codings : tuple of str
        How payloads to and from it may be coded.
    blocked : int
        How many of its updates were refused by something between it and the master.
    planned : tuple
        Round, epoch and version of the last plan that it was sent: the same again is a repeat.
    """

    def __init__(self, worker_id: int) -> None:
        self.worker_id = worker_id
        self.holder = self.instance = self.session = ""
        self.earlier_sessions: List[str] = []
        self.n_sessions = 0
        self.is_contested = False
        self.is_heard = False  # whether its process was heard since the master's began
        self.warned_at = -math.inf  # when the operator was last told that others use its identity
        self.epoch = 0
        self.n_samples = 0
        self.lease_until = 0.0
        self.last_seen = 0.0
        self.is_forgotten = False
        self.passed_over = self.last_until = 0
        self.closed_seq = 0
        self.closed_outcome = Outcome.NOTED
        self.closed_round = 0
        self.codings: Tuple[str, ...] = ()
        self.blocked = 0
        self.planned = (0, 0, 0)
        self.heard_end = False
        self.missed_end = False  # its lease ended after the run did
        self.gone = True
        self.tally: Dict[str, int] = dict.fromkeys(STATUSES, 0)
        self.traffic = Traffic()
        self.training_s = 0.0
        self.waiting_s = 0.0
        self.last_loss: Optional[float] = None
        self.last_round = 0

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

    def leave(self) -> None:
        """Note that the lease has ended."""
        self.gone, self.holder, self.earlier_sessions, self.is_contested = True, "", [], False

    def rejoin(self, instance: str, n_samples: int) -> None:
        """Begin a new epoch; what the worker has uploaded before still counts until it uploads again."""
        self.instance = instance
        self.epoch += 1
        self.n_samples = n_samples
        self.is_forgotten = False
        self.passed_over = 0
        self.closed_seq = 0
        self.closed_round = 0
        self.gone = False


class OpenRound:
    """The round that is going on.

    Attributes
    ----------
    n_samples : dict
        Worker id -> samples, over the workers leased when the round opened: its members.
    status : dict
        Worker id -> one of ``STATUSES``, for the members whose part is decided.
    uploads : dict
        Worker id -> payload; with memory mirror the mirrors hold them and this stays empty.
    offers, granted
        Two-phase rounds: worker id -> what is on offer, and who may upload (None until decided).
    is_due, offers_are_due : bool
        The deadline of the round, or of its offers, has come; until then it is a time, where there is one.
    """

    def __init__(
        self,
        index: int,
        n_samples: Dict[int, int],
        now: float,
        deadline: Optional[float],
        offer_deadline: Optional[float],
    ) -> None:
        self.index = index
        self.n_samples = n_samples
        self.opened = now
        self.deadline = deadline
        self.offer_deadline = offer_deadline
        self.is_due = self.offers_are_due = False
        self.status: Dict[int, str] = {}
        self.uploads: Dict[int, Payload] = {}
        self.offers: Dict[int, Answer] = {}
        self.granted: Optional[Set[int]] = None
        self.answers: Dict[int, Answer] = {}

    def has_begun(self) -> bool:
        """Return whether anything has come of it yet."""
        return bool(self.status or self.offers or self.is_due or self.offers_are_due)

    def undecided(self) -> List[int]:
        """Return the members whose part is open, ascending."""
        return [worker_id for worker_id in sorted(self.n_samples) if worker_id not in self.status]

    def is_undecided(self, worker_id: int) -> bool:
        """Return whether a worker is a member whose part is open."""
        return worker_id in self.n_samples and worker_id not in self.status

    def unused_grants(self) -> List[int]:
        """Return the members that were granted an upload and sent none, ascending."""
        return [worker_id for worker_id in sorted(self.granted or ()) if self.status[worker_id] != UPLOADED]

    def n_answered(self) -> int:
        """Return how many members have answered: uploaded, skipped or been refused."""
        return sum(status in (UPLOADED, SKIPPED, REFUSED) for status in self.status.values())
