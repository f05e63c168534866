"""The master's state machine: events in, effects out. No socket, thread, clock or file.

Rules
-----
1. Everything that affects the run goes through :meth:`MasterMachine.handle`; time is an argument.
   An end of a lease and a deadline are events too, which the machine makes when their time has come.
2. An event that changes the run is Journalled, before any of its effects is done; the same events
   in the same order make the same run (:meth:`MasterMachine.replay`), whatever time it is and whoever waits.
   An event that is refused changes nothing but the sender's lease: its ticket gets the error
   as its reply.
3. A round has as members the workers leased when it opens. It closes when the part of every
   member is decided, or at its deadline once a quorum has answered.
4. With offers, grants are decided once per round: when every undecided member has made its
   offer, or, after the offers' deadline, as soon as somebody has. None is taken back; what is
   left of the budget goes to later offers, first come first served.

States: LOBBY (no round: too few workers) -> OPEN (a round is going on) -> ... -> CLOSING (the
run has ended, its results are being saved) -> FINISHED. docs/states.md has the picture.
"""

from enum import Enum
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Union

from ..core import upload_selection
from ..core.codecs import Payload, lossless
from ..core.layout import Vector
from ..core.settings import Rules
from ..errors import BadValues, Conflict, FlqError
from . import grants
from .events import (
    BACK,
    BLOCKED,
    GONE,
    HEAVY,
    JOINED,
    RESYNC,
    SHARED,
    UNABLE,
    UNCHANGED,
    Answered,
    Effect,
    Effects,
    Encoded,
    Event,
    Heartbeat,
    Journalled,
    Lasting,
    LeaseEnded,
    Note,
    OffersDue,
    Poll,
    Register,
    Reply,
    RoundClosed,
    RoundDue,
    RunEnded,
    Saved,
    Stop,
    Ticket,
)
from .global_model import GlobalModel
from .long_poll import Asked, Waiting
from .membership import Registry
from .messages import FINAL, Answer, Kind, Outcome, Plan, Verdict
from .options import RunOptions
from .records import LATE, LOST, REFUSED, SKIPPED, UPLOADED, Member, OpenRound
from .reports import report_of
from .resumable import n_kept
from .traffic import Traffic, received, sent
from .uploads import check_upload
from .wire import VERSION, Buffers, Link, encode, link_of, size_of

HEAVY_SHARE, HEAVY_FACTOR = 0.5, 1.8  # of the weight, and of an equal share: one of two workers has about half anyway
WARN_S = 60.0  # between two notes that two processes use a worker's identity
POLL_S = 25.0  # a request that waits is answered "nothing new" after this time, or after half a lease


class State(Enum):
    """Where the run is."""

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
        Makes the model, or what keeps several and has the same methods.
    """

    def __init__(
        self, options: RunOptions, start: Vector, model: Callable[[Vector, Link, Rules], GlobalModel] = GlobalModel
    ) -> None:
        self.options = options
        self.link = link_of(options.run_id, options.layout)
        self.state = State.LOBBY
        self.round_index = 0
        self.model = model(start, self.link, options.rules)
        self.registry = Registry(options.total_workers, options.layout.crc, options.lease_s, options.max_samples)
        self.totals = Traffic()
        self.open_round: Optional[OpenRound] = None
        self._known: Mapping[int, Payload] = {}  # while replaying: round -> what was encoded then
        self.round_traffic = Traffic()
        self.waiting = Waiting(min(POLL_S, options.lease_s / 2))
        self._heavy: Optional[int] = None  # the worker with most of the weight, as the operator was told last
        self._effects: List[Effect] = []
        self._handlers = {
            Register: self._register,
            Poll: self._poll,
            Answered: self._answered,
            Heartbeat: self._heartbeat,
            Stop: self._stop,
            Saved: self._saved,
            LeaseEnded: self._lease_ended,
            OffersDue: self._offers_due,
            RoundDue: self._round_due,
        }

    # -- the outside ---------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> Effects:
        """Take in one event at time ``now`` (seconds, monotonic) and say what is to be done."""
        self._effects = []
        for due in self._due(now):
            self._take(due, now)
        self._release(now)
        self._take(event, now)
        return self.effects

    def replay(self, event: Lasting, encoded: Mapping[int, Payload]) -> Effects:
        """Take in an event of the journal once more; ``encoded`` holds, by round, what was sent then.

        Leases and deadlines do not run meanwhile: they are events of the journal themselves. After the last
        one comes :meth:`go_on`.
        """
        self._effects, self._known = [], encoded
        try:
            self._take(event, 0.0)
        finally:
            self._known = {}
        return self.effects

    def go_on(self, now: float) -> None:
        """Begin the time of the run anew: leases and the deadlines of the open round start in full."""
        self.registry.renew_all(now)
        going = self.open_round
        if going is not None:
            going.opened = now
            going.deadline = self._deadline(now) if not going.is_due else None
            going.offer_deadline = self._offer_deadline(now) if not going.offers_are_due else None

    def _take(self, event: Event, now: float) -> None:
        try:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event, now)
        except FlqError as error:
            self._reply(event.ticket, error)
        self._advance(now)

    def _due(self, now: float) -> Iterator[Lasting]:
        """Make the events whose time has come; each is taken before the next is made."""
        for worker_id in self.registry.silent(now):
            yield LeaseEnded(worker_id)
        going = self.open_round
        if going is not None and going.offer_deadline is not None and going.offer_deadline <= now:
            yield OffersDue(going.index)
        going = self.open_round
        if going is not None and going.deadline is not None and going.deadline <= now:
            yield RoundDue(going.index)

    @property
    def effects(self) -> Effects:
        """What the last event has led to: all of it, or, if :meth:`handle` failed, what was decided before."""
        return tuple(self._effects)

    @property
    def members(self) -> Dict[int, Member]:
        """Worker id -> everybody who has ever registered."""
        return self.registry.members

    def next_deadline(self, now: float) -> Optional[float]:
        """Return the time after ``now`` at which a Tick is due, or None."""
        due = self.waiting.deadlines()
        due += [member.lease_until for member in self.members.values() if not member.gone]
        if self.open_round is not None:
            due += [at for at in (self.open_round.deadline, self.open_round.offer_deadline) if at is not None]
        return min((at for at in due if at > now), default=None)

    def everyone_heard(self) -> bool:
        """Return whether every leased worker knows that the run has ended."""
        return all(member.gone or member.heard_end or member.missed_end for member in self.members.values())

    # -- events --------------------------------------------------------------------------

    def _register(self, event: Register, now: float) -> None:
        options, registry = self.options, self.registry
        if registry.is_barred(event):
            self._warn(registry.members[event.worker_id], now)
        member = registry.register(event, now)
        member.heard_end = member.heard_end or self._has_ended()
        joined = resumed = False
        if event.n_samples is not None and not self._has_ended():
            if registry.is_copy(member, event):
                joined = True
            elif not registry.is_outdated(member, event):
                joined, resumed = True, self._join(member, event, now)
            member.is_heard = member.is_heard or joined
        self._reply(
            event.ticket,
            {
                "wire": VERSION,
                "run_id": options.run_id,
                "ended": self._has_ended(),
                "epoch": member.epoch,
                "joined": joined,
                "resumed": resumed,
                "n_sessions": member.n_sessions,
                "lease_s": options.lease_s,
                "start_crc": self.model.start_crc,
                "codings": list(member.codings),
                "layout": options.layout.to_json(),
                "settings": options.settings,
            },
        )

    def _join(self, member: Member, event: Register, now: float) -> bool:
        """Let a worker take part; return whether it goes on with the epoch that it claims."""
        is_shared = self.registry.is_shared(member, event)
        resumed = not is_shared and self.registry.takes_up(member, event, self.round_index)
        is_ahead = self.registry.is_ahead(member, event, self.round_index)
        codings = lossless.common(self.options.rules.coding, event.codings)
        if not resumed or member.gone or codings != member.codings or event.session != member.session:
            self._journal(event)
        member.codings = codings
        if event.session != member.session:
            member.begin_session(event.session)
        if is_shared:
            member.is_contested = True
            self._warn(member, now)
        if resumed:
            verb, kind, member.gone = "is back", BACK, False
        else:
            verb, kind = "joined", JOINED
            self._withdraw(member)
            member.rejoin(event.instance, event.n_samples)
            self.model.begin_epoch(member.worker_id)
        self._effects.append(
            Note(
                "worker %d %s with %d samples (epoch %d)%s"
                % (
                    member.worker_id,
                    verb,
                    member.n_samples,
                    member.epoch,
                    "; it was ahead of the journal, whose end is lost" if is_ahead else "",
                ),
                kind,
                member.worker_id,
            )
        )
        return resumed

    def _member_of(
        self, event: Union[Poll, Heartbeat, Answer], session: Optional[str], now: float, renews: bool = True
    ) -> Member:
        """Return the worker that a request comes from; tell the operator if its key has never joined.

        If the worker's own process was not heard either, the journal may have lost the join that had this key.

        Raises
        ------
        Conflict
            If it is not part of the run, or another process has joined in its place.
        """
        member = self.members.get(event.worker_id)
        if (
            member is not None
            and member.is_heard
            and not member.gone
            and session not in (None, member.session, *member.earlier_sessions)
        ):
            self._warn(member, now)
        return self.registry.find(event.worker_id, event.epoch, session, now if renews else None)

    def _warn(self, member: Member, now: float) -> None:
        """Tell the operator, at most once a minute, that two processes use a worker's identity."""
        if now - member.warned_at >= WARN_S:
            member.warned_at = now
            self._effects.append(
                Note(
                    "two processes answer as worker %d; only one is heard: stop the other. If you did not start it, "
                    "its token or state folder was copied (docs/security.md)" % member.worker_id,
                    SHARED,
                    member.worker_id,
                )
            )

    def _poll(self, event: Poll, now: float) -> None:
        member = self._member_of(event, event.session, now)
        if self._is_ahead(member, event.answered):
            raise Conflict(
                "worker %d has answered round %d, which the journal does not know" % (member.worker_id, event.answered),
                "register again",
            )
        if not event.may_wait and member.worker_id in self.waiting.for_round:  # because there is nothing new
            return self._reply(event.ticket, None)
        self.waiting.begin(event.ticket, now)
        self._ask(Asked(event.ticket, member.worker_id, event.have, event.answered, event.may_wait, [], event.kept))

    def _is_ahead(self, member: Member, answered: int) -> bool:
        """Return whether a worker has answered a round that is to come, or one in which its answer is still awaited."""
        going = self.open_round
        return answered > self.round_index or (
            going is not None and answered == going.index and going.is_undecided(member.worker_id)
        )

    def _heartbeat(self, event: Heartbeat, now: float) -> None:
        self._member_of(event, event.session, now, event.renews)
        self._reply(event.ticket, {"state": self.state.value, "round": self.round_index})

    def _answered(self, event: Answered, now: float) -> None:
        answer, going = event.answer, self.open_round
        member = self._member_of(answer, event.session, now)
        self.waiting.begin(event.ticket, now)
        if self._has_ended():
            return self._verdict(event, member, Outcome.END)
        if answer.held_back is not None and not self.options.is_local:
            raise BadValues(
                "the answer tells of held-back data, expected none",
                "only with dataset.partition local do workers test on data of their own",
            )
        if answer.seq == member.closed_seq and answer.round_index == member.closed_round:
            return self._verdict(event, member, member.closed_outcome, repeated=True)
        if answer.seq != member.closed_seq + 1 or answer.round_index > self.round_index:
            raise Conflict(
                "the answer has number %d of round %d, expected number %d of round %d at most"
                % (answer.seq, answer.round_index, member.closed_seq + 1, self.round_index),
                "register again",
            )
        if (
            going is None
            or answer.round_index < going.index
            or member.worker_id not in going.n_samples
            or going.status.get(member.worker_id) == LOST
        ):  # it is back, but its part is decided
            return self._close_answer(event, member, Outcome.LATE, None)
        if member.worker_id in going.status:
            raise Conflict("worker %d has answered round %d already" % (member.worker_id, going.index))
        {Kind.SKIP: self._skip, Kind.OFFER: self._offer, Kind.UPLOAD: self._upload}[answer.kind](
            event, member, going, now
        )

    def _skip(self, event: Answered, member: Member, going: OpenRound, now: float) -> None:
        self._withdraw(member)
        if event.answer.blocked:
            return self._close_answer(event, member, Outcome.NOTED, LOST)
        if event.answer.loss != event.answer.loss:
            self._effects.append(
                Note(
                    "worker %d has nothing to send in round %d: its update was not finite; "
                    "lower model.lr" % (member.worker_id, going.index),
                    UNABLE,
                    member.worker_id,
                )
            )
        self._close_answer(event, member, Outcome.NOTED, SKIPPED)

    def _offer(self, event: Answered, member: Member, going: OpenRound, now: float) -> None:
        if not self.options.rules.needs_offers:
            raise Conflict("round %d has no budget and takes no offers" % going.index, "send the upload")
        answer, repeated = event.answer, member.worker_id in going.offers
        if going.granted is not None:
            return self._offer_after_the_grants(event, member, going, repeated)
        if going.offers.get(member.worker_id) != answer:
            self._journal(event)
        going.offers[member.worker_id] = answer
        self._answer_waiting(member, Outcome.WAIT)
        if not event.may_wait:
            return self._verdict(event, member, Outcome.WAIT, repeated)
        self._count(member, received(event.frame_bytes, 0, repeated))
        self.waiting.for_grants[member.worker_id] = event

    def _offer_after_the_grants(self, event: Answered, member: Member, going: OpenRound, repeated: bool) -> None:
        """Answer an offer that comes, or comes again, after the grants are decided: what is left goes to the first."""
        if not repeated:
            self._journal(event)
            if grants.is_left_for(event.answer, going, self.options.rules):
                going.granted.add(member.worker_id)
            self._pass_over(member, going)
            going.offers[member.worker_id] = event.answer
            if member.worker_id not in going.granted:
                self._settle(event.answer, member, Outcome.REFUSED, REFUSED)
                return self._verdict(event, member, Outcome.REFUSED)
        self._verdict(event, member, Outcome.GRANTED, repeated)

    def _upload(self, event: Answered, member: Member, going: OpenRound, now: float) -> None:
        answer, rules = event.answer, self.options.rules
        check_upload(answer, going, rules)
        if not self.model.receive(answer, len(going.n_samples)):
            self._journal(event)
            member.rejoin(member.instance, member.n_samples)
            self.model.begin_epoch(member.worker_id)
            self._effects.append(
                Note(
                    "the mirrors of worker %d differ: it begins afresh (epoch %d)" % (member.worker_id, member.epoch),
                    RESYNC,
                    member.worker_id,
                )
            )
            self._settle(answer, member, Outcome.RESYNC, REFUSED)
            return self._verdict(event, member, Outcome.RESYNC)
        if not rules.has_mirrors:
            going.uploads[member.worker_id] = answer.payload
        self._close_answer(event, member, Outcome.APPLIED, UPLOADED)

    def _lease_ended(self, event: LeaseEnded, now: float) -> None:
        member, going = self.members[event.worker_id], self.open_round
        if self._has_ended():  # the results must not depend on it
            member.missed_end, member.holder = True, ""
            return
        self._journal(event)
        self._effects.append(
            Note(
                "worker %d is lost: silent for %.0f s" % (member.worker_id, now - member.last_seen),
                GONE,
                member.worker_id,
            )
        )
        member.leave()
        self._withdraw(member)
        if going is not None and going.is_undecided(member.worker_id):
            self._decide(member.worker_id, LOST)

    def _offers_due(self, event: OffersDue, now: float) -> None:
        self._journal(event)
        self.open_round.offers_are_due, self.open_round.offer_deadline = True, None

    def _round_due(self, event: RoundDue, now: float) -> None:
        self._journal(event)
        self.open_round.is_due, self.open_round.deadline = True, None

    def _stop(self, event: Stop, now: float) -> None:
        if not self._has_ended():
            self._journal(event)
            self._end(event.reason)

    def _saved(self, event: Saved, now: float) -> None:
        if self._has_ended():
            self.state = State.FINISHED

    # -- the round -----------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Do whatever has become due: grants, the end of a round, the next round, who waits for it."""
        while self.state in (State.LOBBY, State.OPEN):
            going = self.open_round
            if going is None:
                if not self._open_round(now):
                    break
            else:
                self._decide_grants(going)
                if not self._is_complete(going):
                    break
                self._close_round(going, now)
        for worker_id in sorted(self.waiting.for_round):
            self._serve(self.waiting.for_round[worker_id])

    def _open_round(self, now: float) -> bool:
        """Open the next round if there are workers for it; return whether there are."""
        ready = self.registry.leased()
        if len(ready) < (self.options.min_workers if self.round_index == 0 else 1):
            self.state = State.LOBBY
            return False
        for member in self.members.values():
            if member.gone:
                member.is_forgotten = self.model.forget(member.worker_id)
        self.round_index += 1
        self.state = State.OPEN
        self.open_round = OpenRound(self.round_index, ready, now, self._deadline(now), self._offer_deadline(now))
        self._note_a_heavy_worker(ready)
        return True

    def _note_a_heavy_worker(self, n_samples: Mapping[int, int]) -> None:
        """Name a worker that holds most of the weight, once; again only after another did, or none."""
        before, worker_id = self._heavy, max(n_samples, key=n_samples.__getitem__)
        share = n_samples[worker_id] / sum(n_samples.values())
        self._heavy = worker_id if share > max(HEAVY_SHARE, HEAVY_FACTOR / len(n_samples)) else None
        if self._heavy not in (None, before):
            self._effects.append(
                Note(
                    "worker %d holds %.0f %% of the weight of %d workers: with %d samples it decides "
                    "what the model becomes" % (worker_id, 100 * share, len(n_samples), n_samples[worker_id]),
                    HEAVY,
                    worker_id,
                )
            )

    def _deadline(self, now: float) -> Optional[float]:
        return now + self.options.round_deadline_s if self.options.round_deadline_s else None

    def _offer_deadline(self, now: float) -> Optional[float]:
        has_one = self.options.offer_deadline_s and self.options.rules.needs_offers
        return now + self.options.offer_deadline_s if has_one else None

    def _decide_grants(self, going: OpenRound) -> None:
        if not self.options.rules.needs_offers or going.granted is not None:
            return
        going.granted = grants.decide(going, self.members, self.options.rules, self.options.settings["system"]["seed"])
        if going.granted is None:
            return
        for worker_id, offer in sorted(going.offers.items()):  # who does not wait hears it on asking again
            member = self.members[worker_id]
            self._pass_over(member, going)
            if worker_id in going.granted:
                self._answer_waiting(member, Outcome.GRANTED)
            else:
                self._settle(offer, member, Outcome.REFUSED, REFUSED)
                self._answer_waiting(member, Outcome.REFUSED)

    def _pass_over(self, member: Member, going: OpenRound) -> None:
        member.passed_over = 0 if member.worker_id in going.granted else member.passed_over + 1

    def _is_complete(self, going: OpenRound) -> bool:
        return not going.undecided() or (going.is_due and going.n_answered() >= self.options.min_workers)

    def _close_round(self, going: OpenRound, now: float) -> None:
        for worker_id in going.undecided():
            self._decide(worker_id, LATE)
            self._answer_waiting(self.members[worker_id], Outcome.LATE)
        for worker_id in going.unused_grants():
            self.members[worker_id].last_until = going.index + upload_selection.LAST_ROUNDS
        uploads = {
            worker_id: going.uploads.get(worker_id) for worker_id, status in going.status.items() if status == UPLOADED
        }
        self.open_round = None
        step = self.model.close_round(going.index, going.n_samples, uploads, self._known.get(going.index))
        if step.problem:
            self._effects.append(
                Note(
                    "round %d leaves the model as it was: %s; lower model.lr or model.server_lr"
                    % (going.index, step.problem),
                    UNCHANGED,
                )
            )
        state = self.model.state
        if step.delta is not None:
            self._effects.append(Encoded(going.index, state.version, step.delta))
        traffic, self.round_traffic = self.round_traffic, Traffic()
        self._effects.append(RoundClosed(report_of(going, traffic, now), state.model, state.shared, state.mean))
        if going.index >= self.options.max_rounds:
            self._end("%d rounds are done" % going.index)

    def _end(self, reason: str) -> None:
        self.state = State.CLOSING
        if self.open_round is not None:
            for worker_id in sorted(self.waiting.for_grants):
                self._answer_waiting(self.members[worker_id], Outcome.END)
        self.open_round = None
        self._effects.append(RunEnded(reason))

    # -- members and replies -------------------------------------------------------------

    def _has_ended(self) -> bool:
        return self.state in (State.CLOSING, State.FINISHED)

    def _release(self, now: float) -> None:
        """Let waiting requests run out."""
        for asked in self.waiting.run_out(now):
            del self.waiting.for_round[asked.worker_id]
            self._reply(asked.ticket, asked.reply(None))
        for event in self.waiting.offers_run_out(now):
            self._answer_waiting(self.members[event.answer.worker_id], Outcome.WAIT)

    def _decide(self, worker_id: int, status: str) -> None:
        self.open_round.status[worker_id] = status
        self.members[worker_id].tally[status] += 1

    def _journal(self, event: Lasting) -> None:
        self._effects.append(Journalled(event))

    def _close_answer(self, event: Answered, member: Member, outcome: Outcome, status: Optional[str]) -> None:
        """Give a worker's answer its final verdict, and the member its part in the round."""
        self._journal(event)
        self._settle(event.answer, member, outcome, status)
        self._verdict(event, member, outcome)

    def _settle(self, answer: Answer, member: Member, outcome: Outcome, status: Optional[str]) -> None:
        """Put on record what has become of a worker's answer."""
        if status is not None:
            self._decide(member.worker_id, status)
            self.open_round.answers[member.worker_id] = answer._replace(payload=None, coded=None)
            member.training_s += answer.training_s
            member.waiting_s += answer.waiting_s
            member.last_loss = answer.loss if answer.loss == answer.loss else None
            member.last_round = answer.round_index
        if answer.blocked:
            member.blocked += 1
            self._effects.append(Note(_blocked(member.worker_id, answer), BLOCKED, member.worker_id))
        if outcome is not Outcome.RESYNC:  # which has begun a new epoch, with new numbers
            member.closed_seq, member.closed_round, member.closed_outcome = answer.seq, answer.round_index, outcome

    def _answer_waiting(self, member: Member, outcome: Outcome) -> None:
        """Answer the request that holds a worker's offer, if there is one; its frame was counted when it came."""
        event = self.waiting.for_grants.pop(member.worker_id, None)
        if event is not None:
            self._tell(event, member, outcome)

    def _withdraw(self, member: Member) -> None:
        """Forget an offer while the grants are open; the request that waits with it is told to ask again."""
        going = self.open_round
        if going is None or going.granted is not None:
            return
        going.offers.pop(member.worker_id, None)
        self._answer_waiting(member, Outcome.WAIT)

    def _verdict(self, event: Answered, member: Member, outcome: Outcome, repeated: bool = False) -> None:
        """Count a frame that has arrived, and say what becomes of it."""
        payload_bits = event.answer.cost_bits if event.answer.kind is Kind.UPLOAD else 0
        self._count(member, received(event.frame_bytes, payload_bits, repeated))
        self._tell(event, member, outcome, repeated)

    def _tell(self, event: Answered, member: Member, outcome: Outcome, repeated: bool = False) -> None:
        """Send a verdict: at once, or, if it is final and the worker would wait for that, with the next round."""
        frame = encode(Verdict(outcome, self.round_index, member.epoch), self.link)
        member.heard_end = member.heard_end or outcome is Outcome.END
        self._count(member, sent(size_of(frame), 0, repeated))
        if event.have is None or outcome not in FINAL:
            self._reply(event.ticket, frame)
        else:
            self._ask(
                Asked(event.ticket, member.worker_id, event.have, event.answer.round_index, event.may_wait, frame)
            )

    def _ask(self, asked: Asked) -> None:
        """Let a request wait for the next round, which may be there already, in place of the worker's older one."""
        before = self.waiting.for_round.pop(asked.worker_id, None)
        if before is not None:
            self._reply(before.ticket, before.reply(None))
        self.waiting.for_round[asked.worker_id] = asked

    def _serve(self, asked: Asked) -> None:
        """Answer a request that waits for the next round, if there is something new for it."""
        member, going = self.members[asked.worker_id], self.open_round
        if self._has_ended():
            member.heard_end = True
            plan = self._plan(member, asked, ended=True)
        elif going is not None and going.is_undecided(asked.worker_id) and going.index > asked.answered:
            plan = self._plan(member, asked, ended=False)
        elif asked.may_wait:
            return
        else:
            plan = None
        del self.waiting.for_round[asked.worker_id]
        self._reply(asked.ticket, asked.reply(plan))

    def _plan(self, member: Member, asked: Asked, ended: bool) -> Buffers:
        """Return the plan of the round, and the model frames that lead from the worker's version to its own."""
        model = self.model.plan(
            member.worker_id,
            None if ended else asked.have,
            member.codings,
            1 if ended else len(self.open_round.n_samples),
        )
        buffers = encode(
            Plan(
                self.round_index,
                model.version,
                model.crc,
                model.threshold,
                self.options.rules.needs_offers and not ended,
                ended,
                len(model.frames),
                model.bytes_up,
            ),
            self.link,
        )
        for frame in model.frames:
            buffers = buffers + frame
        plan, n_come = (self.round_index, member.epoch, asked.have), n_kept(buffers, asked.kept)
        repeated, member.planned = n_come > 0 or not ended and member.planned == plan, plan
        self._count(member, sent(size_of(buffers) - n_come, model.payload_bits, repeated))
        return buffers

    def _reply(self, ticket: Ticket, body: Union[Dict[str, Any], Buffers, None, FlqError]) -> None:
        self.waiting.end(ticket)
        self._effects.append(Reply(ticket, body))

    def _count(self, member: Member, traffic: Traffic) -> None:
        self.totals = self.totals.plus(traffic)
        self.round_traffic = self.round_traffic.plus(traffic)
        member.traffic = member.traffic.plus(traffic)


def _blocked(worker_id: int, answer: Answer) -> str:
    """Return a sentence on an update that was refused on its way."""
    fix = (
        "raise the limit for request bodies there (nginx: client_max_body_size)"
        if answer.blocked == 413
        else ("have it let the requests of workers pass")
    )
    return (
        "the update of worker %d in round %d did not arrive: something between it and the master answered %d; %s, "
        "or let the worker connect directly" % (worker_id, answer.round_index, answer.blocked, fix)
    )
