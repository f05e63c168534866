"""The master's state machine: events in, effects out. No socket, thread, clock or file.

Rules
-----
1. Everything that affects the run goes through :meth:`MasterMachine.handle`; time is an argument.
   Expired leases and deadlines are events too, which the machine makes when they are due.
2. An event that changes the run is Journalled before any other of its effects. The same events
   in the same order make the same run (:meth:`MasterMachine.replay`), at any time and with any waiting requests.
   A rejected event changes nothing but the sender's lease: its ticket gets the error
   as its reply.
3. The machine dispatches events, keeps the time and decides what is journalled. Five parts, which do not know each
   other, do everything else: membership.py, data_agreement.py, round_machine.py, global_model.py, delivery.py.

States: LOBBY (no round: too few workers) -> OPEN (a round is in progress) -> ... -> CLOSING (the
run has ended, its results are being saved) -> FINISHED. docs/states.md has the picture.
"""

from enum import Enum
from typing import AbstractSet, Any, Callable, Dict, Iterator, List, Mapping, Optional, Union

from ..core.codecs import Payload, lossless
from ..core.layout import Vector
from ..core.settings import Rules, for_workers
from ..core.statuses import LATE, REFUSED
from ..errors import BadValues, Conflict, FlqError
from . import notes
from .claims import Claim
from .data_agreement import DataAgreement
from .delivery import Delivery, PendingPoll
from .events import (
    REQUESTS,
    Answered,
    Effect,
    Effects,
    Encoded,
    Event,
    Heartbeat,
    Journalled,
    Lasting,
    LeaseEnded,
    OffersDue,
    Poll,
    Register,
    ResultsSaved,
    RoundClosed,
    RoundDue,
    RunEnded,
    Stop,
)
from .global_model import GlobalModel
from .member import Member
from .membership import Membership
from .messages import FINAL, Answer, Kind, Outcome, Plan, Verdict
from .options import RunOptions
from .roll_call import OpenRound, trouble_of
from .round_machine import RoundMachine, Ruling
from .wire import VERSION, Link, link_of

POLL_S = 25.0  # a waiting request is answered "nothing new" after this time, or after half a lease


class State(Enum):
    """The state of the run."""

    LOBBY = "LOBBY"
    OPEN = "OPEN"
    CLOSING = "CLOSING"
    FINISHED = "FINISHED"


class MasterMachine:
    """One run, from the lobby to the end.

    Parameters
    ----------
    options : RunOptions
    start : ndarray of shape (n_params,), float32
        x^0 = w^0.
    model : callable(start, link, rules) -> GlobalModel, optional
        Makes the model, or a set of models with the same methods.
    rounds : callable(options) -> RoundMachine, optional
        Makes the rounds, of this or another kind.
    """

    def __init__(
        self,
        options: RunOptions,
        start: Vector,
        model: Callable[[Vector, Link, Rules], GlobalModel] = GlobalModel,
        rounds: Callable[[RunOptions], RoundMachine] = RoundMachine,
    ) -> None:
        self.options = options
        self.link = link_of(options.run_id, options.layout)
        self.state = State.LOBBY
        system = options.settings.system
        self.membership = Membership(system.total_workers, options.layout.crc, system.lease_s, system.max_samples)
        self.data = DataAgreement(options.settings, self._emit)
        self.rounds = rounds(options)
        self.model = model(start, self.link, options.rules)
        self.delivery = Delivery(self.link, min(POLL_S, system.lease_s / 2), self._emit)
        self._known: Mapping[int, Payload] = {}  # during a replay: round -> the delta that was encoded then
        self._effects: List[Effect] = []
        self._handlers: Dict[type, Callable[[Any, float], None]] = {
            Register: self._register,
            Poll: self._poll,
            Answered: self._answered,
            Heartbeat: self._heartbeat,
            Stop: self._stop,
            ResultsSaved: self._results_saved,
            LeaseEnded: self._lease_ended,
            OffersDue: self._offers_due,
            RoundDue: self._round_due,
        }

    # -- the outside ---------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> Effects:
        """Take in one event at time ``now`` (seconds, monotonic); return its effects."""
        self._effects = []
        for due in self._due(now):
            self._take(due, now)
        self._release(now)
        self._take(event, now)
        return self.effects

    def replay(self, event: Lasting, encoded: Mapping[int, Payload]) -> Effects:
        """Take in an event of the journal again.

        ``encoded`` holds the deltas that were sent, by round. Leases and deadlines do not run meanwhile: they are
        events of the journal themselves. Call :meth:`restart_clocks` after the last one.
        """
        self._effects, self._known = [], encoded
        try:
            self._take(event, 0.0)
        finally:
            self._known = {}
        return self.effects

    def restart_clocks(self, now: float) -> None:
        """Restart the leases and the deadlines of the open round."""
        self.membership.restart_clocks(now)
        self.rounds.restart_clocks(now)

    def _take(self, event: Event, now: float) -> None:
        try:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event, now)
        except FlqError as error:
            assert isinstance(event, REQUESTS)  # no other event is rejected
            self.delivery.reply(event.ticket, error)
        self._advance(now)

    def _due(self, now: float) -> Iterator[Lasting]:
        """Yield the events that are due; each is handled before the next is made."""
        for worker_id in self.membership.silent(now):
            yield LeaseEnded(worker_id)
        yield from self.rounds.due(now)

    def _release(self, now: float) -> None:
        """Answer the requests that have waited long enough."""
        self.delivery.release_polls(now)
        for worker_id in self.delivery.expired_offers(now):
            self._answer_offer(worker_id, Outcome.WAIT)

    @property
    def effects(self) -> Effects:
        """The effects of the last event; if :meth:`handle` failed, those until then."""
        return tuple(self._effects)

    @property
    def members(self) -> Dict[int, Member]:
        """Worker id -> Member, of all workers that have ever registered."""
        return self.membership.members

    @property
    def round_index(self) -> int:
        """The open round, or the last one; 0 before the first."""
        return self.rounds.index

    @property
    def open_round(self) -> Optional[OpenRound]:
        """The round in progress."""
        return self.rounds.open_round

    def next_deadline(self, now: float) -> Optional[float]:
        """Return the time after ``now`` at which a Tick is due, or None."""
        due = self.delivery.deadlines() + self.membership.deadlines() + self.rounds.deadlines()
        return min((at for at in due if at > now), default=None)

    def everyone_heard(self) -> bool:
        """Return whether every leased worker knows that the run has ended."""
        return all(
            not member.has_lease or member.missed_end or worker_id in self.delivery.heard_end
            for worker_id, member in self.members.items()
        )

    # -- registrations -------------------------------------------------------------------

    def _register(self, event: Register, now: float) -> None:
        options = self.options
        claim = self.membership.judge(event, self.round_index)
        if claim is Claim.BARRED:
            self._warn(event.worker_id, now)
        member = self.membership.register(event, claim, now)
        joined = False
        if self._has_ended():
            self.delivery.heard_end.add(member.worker_id)
        elif event.n_samples is not None:
            joined = self._join(member, event, claim, now)
        self.delivery.reply(
            event.ticket,
            {
                "wire": VERSION,
                "run_id": options.run_id,
                "ended": self._has_ended(),
                "epoch": member.epoch,
                "joined": joined,
                "resumed": joined and claim is Claim.RESUMED,
                "n_sessions": member.n_sessions,
                "lease_s": options.settings.system.lease_s,
                "start_crc": self.model.start_crc,
                "codings": list(member.codings),
                "layout": options.layout.to_json(),
                "settings": for_workers(
                    self.data.settings if joined else self.data.settings_for(event.worker_id, self._leased_in_lobby())
                ),
                "warning": self.data.warning(event.data) if joined else None,
            },
        )

    def _join(self, member: Member, event: Register, claim: Claim, now: float) -> bool:
        """Let a worker take part, in the epoch that its claim gives it; return whether it does."""
        if claim is Claim.OVERTAKEN:
            raise Conflict("worker %d has joined with a later request" % member.worker_id)
        leased = self._leased_in_lobby()
        if claim is Claim.OUTDATED or not self.data.admits(member.worker_id, event.data, leased):
            return False
        assert event.n_samples is not None
        member.is_confirmed = True
        if claim is Claim.DUPLICATE:
            return True
        is_ahead = self.membership.is_ahead(event, self.round_index)
        resumes, is_taking_over = claim is Claim.RESUMED, event.session != member.session
        codings = lossless.common(self.options.rules.coding, event.codings)
        has_changed = self.data.has_changed(member.worker_id, event.data)
        if not resumes or not member.has_lease or codings != member.codings or is_taking_over or has_changed:
            self._emit(Journalled(event))
            self.data.take(member.worker_id, event.data, leased)
        member.codings = codings
        if is_taking_over:
            member.begin_session(event.session)
        if claim is Claim.CONTESTED:
            member.is_contested = True
            self._warn(member.worker_id, now)
        if resumes:
            member.has_lease = True
        else:
            self._withdraw(member.worker_id)
            self._begin_epoch(member, event.instance, event.n_samples)
        own = self.data.own_values(event.data)
        self._emit(notes.joined(member.worker_id, member.n_samples, member.epoch, resumes, is_ahead, own))
        return True

    def _leased_in_lobby(self) -> Optional[AbstractSet[int]]:
        """Return the workers with a lease; None after round 1 has begun."""
        return None if self.round_index else frozenset(self.membership.leased())

    def _begin_epoch(self, member: Member, instance: str, n_samples: int) -> None:
        """Begin a new epoch; the worker's earlier uploads count until it uploads again."""
        member.begin_epoch(instance, n_samples)
        self.model.begin_epoch(member.worker_id)
        self.rounds.begin_epoch(member.worker_id)

    # -- polls and heartbeats ------------------------------------------------------------

    def _sender(
        self, event: Union[Poll, Heartbeat, Answer], session: Optional[str], now: float, renews: bool = True
    ) -> Member:
        """Return the worker that a request comes from; warn the operator if its key has never joined."""
        if self.membership.has_unknown_key(event.worker_id, session):
            self._warn(event.worker_id, now)
        return self.membership.find(event.worker_id, event.epoch, session, now if renews else None)

    def _warn(self, worker_id: int, now: float) -> None:
        if self.membership.may_warn(worker_id, now):
            self._emit(notes.contested(worker_id))

    def _poll(self, event: Poll, now: float) -> None:
        worker_id = self._sender(event, event.session, now).worker_id
        if self.rounds.is_ahead(worker_id, event.answered):
            raise Conflict(
                "worker %d has answered round %d, which is not in the journal" % (worker_id, event.answered),
                "register again",
            )
        if not event.may_wait and self.delivery.has_poll(worker_id):  # there is nothing new
            return self.delivery.reply(event.ticket, None)
        self.delivery.begin(event.ticket, now)
        self.delivery.hold_poll(
            PendingPoll(event.ticket, worker_id, event.have, event.answered, event.may_wait, [], event.partial)
        )

    def _heartbeat(self, event: Heartbeat, now: float) -> None:
        self._sender(event, event.session, now, event.renews)
        self.delivery.reply(event.ticket, {"state": self.state.value, "round": self.round_index})

    # -- answers -------------------------------------------------------------------------

    def _answered(self, event: Answered, now: float) -> None:
        answer = event.answer
        member = self._sender(answer, event.session, now)
        self.delivery.begin(event.ticket, now)
        if self._has_ended():
            return self._send_verdict(event, Outcome.END)
        if answer.held_back is not None and self.options.settings.dataset.partition != "local":
            raise BadValues(
                "the answer reports on held-out data, expected none",
                "workers test on data of their own only with dataset.partition local",
            )
        if member.has_closed(answer):
            return self._send_verdict(event, member.closed_outcome, is_duplicate=True)
        member.check_next(answer, self.round_index)
        ruling = self.rounds.judge(answer)
        if ruling.outcome is Outcome.APPLIED and not self.model.receive(answer, self.rounds.n_members):
            return self._resync(event, member)
        if answer.kind is Kind.SKIP and ruling.status is not None:
            self._withdraw(answer.worker_id)
            trouble = trouble_of(answer)
            if trouble is not None and trouble != self.rounds.attendance_of(answer.worker_id).trouble:
                self._emit(notes.no_update(trouble, answer.worker_id, answer.round_index))
        if ruling.is_news:
            self._emit(Journalled(event))
        self.rounds.record(answer, ruling)
        if ruling.outcome is None:
            return self._hold_offer(event, ruling.is_duplicate)
        self._close_answer(answer, ruling.outcome)
        self._send_verdict(event, ruling.outcome, ruling.is_duplicate)

    def _hold_offer(self, event: Answered, is_duplicate: bool) -> None:
        """Let an offer wait for the grants; it replaces an older copy."""
        self._answer_offer(event.answer.worker_id, Outcome.WAIT)
        if not event.may_wait:
            return self._send_verdict(event, Outcome.WAIT, is_duplicate)
        self.delivery.receive(event, is_duplicate)
        self.delivery.hold_offer(event)

    def _resync(self, event: Answered, member: Member) -> None:
        """Begin a new epoch for a worker whose mirror differs from the master's."""
        self._emit(Journalled(event))
        self._begin_epoch(member, member.instance, member.n_samples)
        self._emit(notes.resync(member.worker_id, member.epoch))
        self.rounds.record(event.answer, Ruling(Outcome.RESYNC, REFUSED))
        self._send_verdict(event, Outcome.RESYNC)

    def _close_answer(self, answer: Answer, outcome: Outcome) -> None:
        """Remember a final verdict, which is repeated if the answer is."""
        if outcome not in FINAL:
            return
        if answer.blocked:
            self._emit(notes.blocked(answer))
        self.members[answer.worker_id].close(answer, outcome)

    def _withdraw(self, worker_id: int) -> None:
        """Drop an offer while the grants are undecided, and have its waiting request ask again."""
        if self.rounds.withdraw(worker_id):
            self._answer_offer(worker_id, Outcome.WAIT)

    def _send_verdict(self, event: Answered, outcome: Outcome, is_duplicate: bool = False) -> None:
        self.delivery.verdict(event, self._verdict(event.answer.worker_id, outcome), is_duplicate)

    def _answer_offer(self, worker_id: int, outcome: Outcome) -> None:
        self.delivery.answer_offer(worker_id, self._verdict(worker_id, outcome))

    def _verdict(self, worker_id: int, outcome: Outcome) -> Verdict:
        return Verdict(outcome, self.round_index, self.members[worker_id].epoch)

    # -- time and the end ----------------------------------------------------------------

    def _lease_ended(self, event: LeaseEnded, now: float) -> None:
        member = self.members[event.worker_id]
        if self._has_ended():
            return member.miss_end()
        self._emit(Journalled(event))
        self._emit(notes.lost(member.worker_id, now - member.last_seen))
        member.leave()
        self._withdraw(member.worker_id)
        self.rounds.lose(member.worker_id)

    def _offers_due(self, event: OffersDue, now: float) -> None:
        self._emit(Journalled(event))
        self.rounds.offers_due()

    def _round_due(self, event: RoundDue, now: float) -> None:
        self._emit(Journalled(event))
        self.rounds.round_due()

    def _stop(self, event: Stop, now: float) -> None:
        if not self._has_ended():
            self._emit(Journalled(event))
            self._end(event.reason)

    def _results_saved(self, event: ResultsSaved, now: float) -> None:
        if self._has_ended():
            self.state = State.FINISHED

    def _end(self, reason: str) -> None:
        self.state = State.CLOSING
        for worker_id in self.delivery.offers():
            self._answer_offer(worker_id, Outcome.END)
        self.rounds.abandon()
        self._emit(RunEnded(reason))

    def _has_ended(self) -> bool:
        return self.state in (State.CLOSING, State.FINISHED)

    # -- the round -----------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Do what is due: decide grants, close the round, open the next, answer waiting requests."""
        while self.state in (State.LOBBY, State.OPEN):
            if self.open_round is None:
                if not self._open_round(now):
                    break
            else:
                self._decide_grants()
                if not self.rounds.is_complete():
                    break
                self._close_round(now)
        for pending in self.delivery.polls():
            self._serve(pending)

    def _open_round(self, now: float) -> bool:
        """Open the next round if there are workers for it; return whether there are."""
        ready = self.membership.leased()
        if len(ready) < (self.options.settings.system.quorum if self.round_index == 0 else 1):
            self.state = State.LOBBY
            return False
        for member in self.members.values():
            if not member.has_lease:
                member.is_forgotten = self.model.forget(member.worker_id)
        self.state = State.OPEN
        self.rounds.open(ready, now)
        heavy = self.rounds.newly_heavy()
        if heavy is not None:
            self._emit(notes.heavy(heavy, ready[heavy], sum(ready.values()), len(ready)))
        return True

    def _decide_grants(self) -> None:
        """Decide the grants if it is time; a request that does not wait gets them when it is repeated."""
        for offer, is_granted in self.rounds.decide_grants() or ():
            outcome = Outcome.GRANTED if is_granted else Outcome.REFUSED
            if not is_granted:
                self.rounds.settle(offer, REFUSED)
                self._close_answer(offer, outcome)
            self._answer_offer(offer.worker_id, outcome)

    def _close_round(self, now: float) -> None:
        for worker_id in self.rounds.missing():
            self.rounds.miss(worker_id, LATE)
            self._answer_offer(worker_id, Outcome.LATE)
        closed = self.rounds.close()
        step = self.model.close_round(closed.index, closed.n_samples, closed.uploads, self._known.get(closed.index))
        state = self.model.state
        if step.problem:
            self._emit(notes.unchanged(closed.index, step.problem))
        if step.delta is not None:
            self._emit(Encoded(closed.index, state.version, step.delta))
        report = closed.report(self.delivery.close_round(), now)
        self._emit(RoundClosed(report, state.model, state.shared, state.mean, self.model.shared_crc))
        if closed.index >= self.options.settings.system.max_rounds:
            self._end("%d rounds are done" % closed.index)

    def _serve(self, pending: PendingPoll) -> None:
        """Answer a request that waits for the next round, if there is news for it."""
        if self._has_ended() or self.rounds.expects(pending.worker_id, pending.answered):
            self._send_plan(pending)
        elif not pending.may_wait:
            self.delivery.send_nothing_new(pending)

    def _send_plan(self, pending: PendingPoll) -> None:
        """Send the plan of the round, or of the end, with the model frames up to its version."""
        ended, member = self._has_ended(), self.members[pending.worker_id]
        model = self.model.plan(
            member.worker_id, None if ended else pending.have, member.codings, 1 if ended else self.rounds.n_members
        )
        plan = Plan(
            self.round_index,
            model.version,
            model.crc,
            model.threshold,
            self.options.rules.needs_offers and not ended,
            ended,
            len(model.frames),
            model.bytes_up,
        )
        self.delivery.send_plan(pending, plan, model.frames, model.payload_bits, member.epoch)

    # -- effects -------------------------------------------------------------------------

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)
