"""The master's record of a worker: epoch, session, lease, last verdict."""

import math
from enum import Enum
from typing import List, Tuple

from ..errors import Conflict
from .messages import Answer, Outcome

MOST_KEPT = 64  # earlier sessions of a worker that are kept: the first ones and the last ones
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
)  # stored in a snapshot as they are


class Presence(Enum):
    """Whether a worker has joined and is alive."""

    RESERVED = "RESERVED"
    LEASED = "LEASED"
    LOST = "LOST"


class Member:
    """The record of a worker.

    Attributes
    ----------
    holder : str
        The instance to which the id belongs while the lease lasts.
    instance : str
        The instance that joined last: its state folder holds the epoch's memories.
    epoch : int
        Counts its registrations; 0 while it has only asked for the settings.
    n_samples : int
        Fixed when it joins; 0 before.
    lease_until : float
    session : str
        Hash of the key in the requests of its process.
    earlier_sessions : list of str
        Those from which later processes took over while the lease lasted.
    n_sessions : int
        Number of sessions so far.
    is_contested : bool
        Whether two processes were alive at the same time: while the lease lasts, no other takes over.
    is_confirmed : bool
        Whether its process has sent a request since the master's process started.
    warned_at : float
        When the operator was last warned that other processes use its identity.
    is_forgotten : bool
        Whether its memories are useless, because the model has dropped its mirror.
    closed_seq, closed_outcome, closed_round
        Its last final verdict, to be repeated for a repeated answer.
    codings : tuple of str
        The codings of payloads to and from it.
    has_lease : bool
        It has joined, and its lease has not ended.
    missed_end : bool
        Its lease ended after the run did.
    """

    def __init__(self, worker_id: int) -> None:
        self.worker_id = worker_id
        self.holder = self.instance = self.session = ""
        self.earlier_sessions: List[str] = []
        self.n_sessions = 0
        self.is_contested = self.is_confirmed = self.is_forgotten = self.missed_end = self.has_lease = False
        self.warned_at = -math.inf
        self.epoch = 0
        self.n_samples = 0
        self.lease_until = self.last_seen = 0.0
        self.closed_seq = self.closed_round = 0
        self.closed_outcome = Outcome.NOTED
        self.codings: Tuple[str, ...] = ()

    @property
    def presence(self) -> Presence:
        """Whether it has joined and is alive."""
        if self.epoch == 0:
            return Presence.RESERVED
        return Presence.LEASED if self.has_lease else Presence.LOST

    def is_leased(self, now: float) -> bool:
        """Return whether it has joined and its lease lasts."""
        return self.has_lease and self.lease_until > now

    def begin_session(self, session: str) -> None:
        """Let another process take over."""
        earlier = [*self.earlier_sessions, self.session] if self.has_lease else []
        self.earlier_sessions = [key for key in earlier if key != session]
        del self.earlier_sessions[MOST_KEPT // 2 : -MOST_KEPT // 2]  # keeps the first ones, however many follow
        self.session = session
        self.n_sessions += 1

    def begin_epoch(self, instance: str, n_samples: int) -> None:
        """Begin a new epoch, with empty memories."""
        self.instance = instance
        self.epoch += 1
        self.n_samples = n_samples
        self.closed_seq = self.closed_round = 0
        self.is_forgotten, self.has_lease = False, True

    def leave(self) -> None:
        """Note that the lease has ended."""
        self.has_lease, self.holder, self.earlier_sessions, self.is_contested = False, "", [], False

    def miss_end(self) -> None:
        """Note that the lease has ended after the run, whose results do not depend on it."""
        self.missed_end, self.holder = True, ""

    def close(self, answer: Answer, outcome: Outcome) -> None:
        """Remember the final verdict on an answer."""
        self.closed_seq, self.closed_round, self.closed_outcome = answer.seq, answer.round_index, outcome

    def has_closed(self, answer: Answer) -> bool:
        """Return whether its last final verdict was on this answer."""
        return answer.seq == self.closed_seq and answer.round_index == self.closed_round

    def check_next(self, answer: Answer, round_index: int) -> None:
        """Reject an answer that is not the next one, or is for a round after ``round_index``.

        Raises
        ------
        Conflict
        """
        if answer.seq != self.closed_seq + 1 or answer.round_index > round_index:
            raise Conflict(
                "the answer has number %d of round %d, expected number %d of a round up to %d"
                % (answer.seq, answer.round_index, self.closed_seq + 1, round_index),
                "register again",
            )
