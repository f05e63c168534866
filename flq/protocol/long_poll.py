"""The requests that wait: who for the next round, and whose offer for the grants.

Nothing of the run depends on them; they only say when a reply is sent. None waits for longer than ``longest_s``
in all, and of each worker only the newest waits for the next round.
"""

from typing import Dict, List, NamedTuple, Optional

from .events import Answered, Ticket
from .resumable import Kept
from .wire import Buffers


class Asked(NamedTuple):
    """A worker that would hear of the next round: it polls, or its answer has got its final verdict.

    Attributes
    ----------
    have : int
        Its version of the shared copy, -1 for none.
    answered : int
        The last round that it has answered.
    may_wait : bool
    verdict : list of buffers
        What it is told in any case; empty for a poll.
    kept : Kept or None
        What has come of the plan and its frames before.
    """

    ticket: Ticket
    worker_id: int
    have: int
    answered: int
    may_wait: bool
    verdict: Buffers
    kept: Optional[Kept] = None

    def reply(self, plan: Optional[Buffers]) -> Optional[Buffers]:
        """Return what it is answered with a plan, or without one."""
        return self.verdict + (plan or []) or None


class Waiting:
    """Who waits, by worker id; only the master's machine changes it.

    Attributes
    ----------
    for_round : dict
        Worker id -> Asked.
    for_grants : dict
        Worker id -> the request that holds its offer.
    """

    def __init__(self, longest_s: float) -> None:
        self.for_round: Dict[int, Asked] = {}
        self.for_grants: Dict[int, Answered] = {}
        self._longest_s = longest_s
        self._until: Dict[Ticket, float] = {}

    def begin(self, ticket: Ticket, now: float) -> None:
        """Note that a request has come, which may have to wait."""
        self._until[ticket] = now + self._longest_s

    def end(self, ticket: Ticket) -> None:
        """Note that a request is answered."""
        self._until.pop(ticket, None)

    def deadlines(self) -> List[float]:
        """Return when the requests that are not answered run out."""
        return list(self._until.values())

    def run_out(self, now: float) -> List[Asked]:
        """Return who has waited long enough for the next round."""
        return [asked for asked in self.for_round.values() if self._until[asked.ticket] <= now]

    def offers_run_out(self, now: float) -> List[Answered]:
        """Return whose offer has waited long enough for the grants."""
        return [event for event in self.for_grants.values() if self._until[event.ticket] <= now]
