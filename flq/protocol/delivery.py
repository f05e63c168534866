"""The replies of the master: waiting requests, duplicates, and traffic. The run does not depend on them.

Every request gets one reply. A request that is not answered at once waits, at most for ``longest_s``:

============== =========================================== ===============================================
waits for      until                                       and is answered with
============== =========================================== ===============================================
the next round :meth:`Delivery.send_plan`                  its verdict, if it has one, and the plan
the next round a newer request of the same worker          its verdict, or nothing new
the next round its time is over                            its verdict, or nothing new
the grants     :meth:`Delivery.answer_offer`               the verdict on its offer
the grants     its time is over: see ``expired_offers``    WAIT: ask again
============== =========================================== ===============================================

A frame that is sent or received again counts as retransmitted.
"""

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple, Union

from ..errors import FlqError
from .events import Answered, Reply, Ticket
from .messages import FINAL, Kind, Outcome, Plan, Verdict
from .resumable import PartialReply, n_received
from .traffic import Traffic, received, sent
from .wire import Buffers, Link, encode, size_of


class PendingPoll(NamedTuple):
    """A request that waits for the next round: a poll, or an answer that has its final verdict.

    Attributes
    ----------
    have : int
        The worker's version of the shared copy, -1 for none.
    answered : int
        The last round that it has answered.
    may_wait : bool
    verdict : list of buffers
        Sent in any case; empty for a poll.
    partial : PartialReply or None
        The beginning of an earlier reply that the worker already has.
    """

    ticket: Ticket
    worker_id: int
    have: int
    answered: int
    may_wait: bool
    verdict: Buffers
    partial: Optional[PartialReply] = None


class Delivery:
    """The replies of a master.

    Parameters
    ----------
    link : Link
    longest_s : float
        How long a request may wait.
    emit : callable(Reply)
        Sends a reply.

    Attributes
    ----------
    totals, round_traffic : Traffic
        Of the whole run, and since the last round closed.
    traffic : dict
        Worker id -> Traffic.
    heard_end : set of int
        Workers that know that the run has ended.
    """

    def __init__(self, link: Link, longest_s: float, emit: Callable[[Reply], None]) -> None:
        self.totals = self.round_traffic = Traffic()
        self.traffic: Dict[int, Traffic] = {}
        self.heard_end: Set[int] = set()
        self._link = link
        self._longest_s = longest_s
        self._emit = emit
        self._for_round: Dict[int, PendingPoll] = {}
        self._for_grants: Dict[int, Answered] = {}
        self._until: Dict[Ticket, float] = {}
        self._planned: Dict[int, Tuple[int, int, int]] = {}  # worker id -> round, epoch and version of its last plan

    # -- requests ------------------------------------------------------------------------

    def begin(self, ticket: Ticket, now: float) -> None:
        """Note that a request has come, which may have to wait."""
        self._until[ticket] = now + self._longest_s

    def reply(self, ticket: Ticket, body: Union[Dict[str, Any], Buffers, None, FlqError]) -> None:
        """Answer a request."""
        self._until.pop(ticket, None)
        self._emit(Reply(ticket, body))

    def verdict(self, event: Answered, verdict: Verdict, is_duplicate: bool = False) -> None:
        """Count a worker's answer, and send it the verdict."""
        self.receive(event, is_duplicate)
        self._tell(event, verdict, is_duplicate)

    def receive(self, event: Answered, is_duplicate: bool) -> None:
        """Count a worker's answer."""
        payload_bits = event.answer.cost_bits if event.answer.kind is Kind.UPLOAD else 0
        self._count(event.answer.worker_id, received(len(event.frame), payload_bits, is_duplicate))

    def _tell(self, event: Answered, verdict: Verdict, is_duplicate: bool) -> None:
        """Send a verdict at once; a final one with the next round, if the worker would wait."""
        answer, frame = event.answer, encode(verdict, self._link)
        if verdict.outcome is Outcome.END:
            self.heard_end.add(answer.worker_id)
        self._count(answer.worker_id, sent(size_of(frame), 0, is_duplicate))
        if event.have is None or verdict.outcome not in FINAL:
            self.reply(event.ticket, frame)
        else:
            self.hold_poll(
                PendingPoll(event.ticket, answer.worker_id, event.have, answer.round_index, event.may_wait, frame)
            )

    # -- requests that wait for the next round -------------------------------------------

    def hold_poll(self, pending: PendingPoll) -> None:
        """Let a request wait for the next round; it replaces the worker's older one."""
        before = self._for_round.get(pending.worker_id)
        if before is not None:
            self.send_nothing_new(before)
        self._for_round[pending.worker_id] = pending

    def polls(self) -> List[PendingPoll]:
        """Return the requests that wait for the next round, by worker id."""
        return [pending for _, pending in sorted(self._for_round.items())]

    def has_poll(self, worker_id: int) -> bool:
        """Return whether a request of a worker waits for the next round."""
        return worker_id in self._for_round

    def send_plan(
        self, pending: PendingPoll, plan: Plan, frames: Iterable[Buffers], payload_bits: int, epoch: int
    ) -> None:
        """Answer a request with a plan and its model frames, possibly resuming a reply that broke off.

        Parameters
        ----------
        payload_bits : int
            Of the model frames.
        epoch : int
            Of the worker.
        """
        stream = encode(plan, self._link)
        for frame in frames:
            stream = stream + frame
        key, n_come = (plan.round_index, epoch, pending.have), n_received(stream, pending.partial)
        is_duplicate = n_come > 0 or not plan.ended and self._planned.get(pending.worker_id) == key
        self._planned[pending.worker_id] = key
        if plan.ended:
            self.heard_end.add(pending.worker_id)
        self._count(pending.worker_id, sent(size_of(stream) - n_come, payload_bits, is_duplicate))
        del self._for_round[pending.worker_id]
        self.reply(pending.ticket, pending.verdict + stream)

    def send_nothing_new(self, pending: PendingPoll) -> None:
        """Answer a request for the next round without a plan."""
        del self._for_round[pending.worker_id]
        self.reply(pending.ticket, pending.verdict or None)

    # -- requests that wait for the grants -----------------------------------------------

    def hold_offer(self, event: Answered) -> None:
        """Let the request with a worker's offer wait for the grants."""
        self._for_grants[event.answer.worker_id] = event

    def offers(self) -> List[int]:
        """Return the workers whose offers wait for the grants, ascending."""
        return sorted(self._for_grants)

    def answer_offer(self, worker_id: int, verdict: Verdict) -> None:
        """Answer the request with a worker's offer, if one waits; its frame is counted already."""
        event = self._for_grants.pop(worker_id, None)
        if event is not None:
            self._tell(event, verdict, False)

    # -- time ----------------------------------------------------------------------------

    def deadlines(self) -> List[float]:
        """Return the times until which the requests may wait."""
        return list(self._until.values())

    def release_polls(self, now: float) -> None:
        """Answer the requests that have waited long enough for the next round."""
        for pending in [pending for pending in self._for_round.values() if self._until[pending.ticket] <= now]:
            self.send_nothing_new(pending)

    def expired_offers(self, now: float) -> List[int]:
        """Return the workers whose offers have waited long enough for the grants."""
        return [worker_id for worker_id, event in self._for_grants.items() if self._until[event.ticket] <= now]

    # -- counts --------------------------------------------------------------------------

    def close_round(self) -> Traffic:
        """Return the traffic since the last round closed, and reset its count."""
        traffic, self.round_traffic = self.round_traffic, Traffic()
        return traffic

    def traffic_of(self, worker_id: int) -> Traffic:
        """Return the traffic of a worker."""
        return self.traffic.get(worker_id) or Traffic()

    def capture(self) -> Dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "totals": self.totals,
            "round": self.round_traffic,
            "members": [[worker_id, traffic] for worker_id, traffic in sorted(self.traffic.items())],
        }

    def resume(self, counted: Dict[str, Any]) -> None:
        """Continue the captured counts."""
        self.totals, self.round_traffic = Traffic(*counted["totals"]), Traffic(*counted["round"])
        self.traffic = {worker_id: Traffic(*traffic) for worker_id, traffic in counted["members"]}

    def _count(self, worker_id: int, traffic: Traffic) -> None:
        self.totals = self.totals.plus(traffic)
        self.round_traffic = self.round_traffic.plus(traffic)
        self.traffic[worker_id] = self.traffic_of(worker_id).plus(traffic)
