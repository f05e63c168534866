"""The rounds of a run, one at a time: offers, grants, uploads, deadlines, quorum and roll call.

A member's first answer to the open round gets:

======== ======== ============= ===========================
phase    SKIP     OFFER         UPLOAD
======== ======== ============= ===========================
UPLOADS  NOTED    409           APPLIED
OFFERS   NOTED    waits         409
GRANTED  NOTED    GRANTED, or   APPLIED if it was granted,
                  REFUSED if it or else 409
                  does not fit
======== ======== ============= ===========================

UPLOADS is a round without a budget. With a budget, a round begins with OFFERS; the grants are decided once, when every
undecided member has made its offer, or, after the offers' deadline, as soon as one member has. Grants are not revoked;
the rest of the budget goes to later offers, first come first served. Any other answer is LATE.

A round closes when every member's part is decided, or at its deadline once a quorum has answered.

An answer is first judged, which changes nothing, and then recorded. Another kind of round is a subclass with its own
:meth:`RoundMachine.judge`, :meth:`RoundMachine.expects`, :meth:`RoundMachine.is_complete` and
:meth:`RoundMachine.missing`: these four hold the rules of a kind.
"""

from enum import Enum
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from ..core import upload_selection
from ..core.rng import GRANTS, stream
from ..core.statuses import LOST, REFUSED, SKIPPED, UPLOADED
from ..errors import BadValues, Conflict
from .events import OffersDue, RoundDue
from .messages import Answer, Kind, Outcome
from .options import RunOptions
from .roll_call import Attendance, OpenRound, trouble_of

HEAVY_SHARE, HEAVY_FACTOR = 0.5, 1.8  # of the weight, and of an equal share: one of two workers has about half anyway
SAVED = (
    "passed_over",
    "last_until",
    "blocked",
    "tally",
    "training_s",
    "waiting_s",
    "last_loss",
    "last_round",
    "trouble",
)


class Phase(Enum):
    """The answers that an open round admits; see the table above."""

    UPLOADS = "UPLOADS"
    OFFERS = "OFFERS"
    GRANTED = "GRANTED"


class Ruling(NamedTuple):
    """The decision on an answer.

    Attributes
    ----------
    outcome : Outcome or None
        None for an offer that waits for the grants.
    status : str or None
        The roll-call entry that ends the member's part; None if the part does not end.
    is_news : bool
        Whether the answer changes the run.
    is_duplicate : bool
        Whether it has come before.
    """

    outcome: Optional[Outcome]
    status: Optional[str] = None
    is_news: bool = True
    is_duplicate: bool = False


class RoundMachine:
    """Synchronous rounds.

    Parameters
    ----------
    options : RunOptions

    Attributes
    ----------
    index : int
        The open round, or the last one; 0 before the first.
    open_round : OpenRound or None
    attendance : dict
        Worker id -> Attendance, of all that have joined.
    quorum : int
        How many answers are enough at the deadline.
    """

    def __init__(self, options: RunOptions) -> None:
        self._system = options.settings.system
        self._rules = options.rules
        self.index = 0
        self.open_round: Optional[OpenRound] = None
        self.attendance: Dict[int, Attendance] = {}
        self.quorum = self._system.quorum
        self._heavy: Optional[int] = None  # the worker with most of the weight, as reported last

    @property
    def _current(self) -> OpenRound:
        """The open round; there must be one."""
        assert self.open_round is not None
        return self.open_round

    @property
    def n_members(self) -> int:
        """How many workers the open round has."""
        return len(self._current.n_samples)

    # -- workers -------------------------------------------------------------------------

    def attendance_of(self, worker_id: int) -> Attendance:
        """Return a worker's part in the rounds so far."""
        return self.attendance.get(worker_id) or Attendance()

    def begin_epoch(self, worker_id: int) -> None:
        """Note that a worker has joined, with a new epoch."""
        self.attendance.setdefault(worker_id, Attendance()).passed_over = 0

    def withdraw(self, worker_id: int) -> bool:
        """Drop a worker's offer if the grants are undecided; return whether they are."""
        if self.open_round is None or self.open_round.granted is not None:
            return False
        self.open_round.offers.pop(worker_id, None)
        return True

    def lose(self, worker_id: int) -> None:
        """Note that a worker has left."""
        if self.open_round is not None and self.open_round.is_undecided(worker_id):
            self.miss(worker_id, LOST)

    def expects(self, worker_id: int, answered: int) -> bool:
        """Return whether a worker whose last answered round is ``answered`` is to train in the open one."""
        current = self.open_round
        return current is not None and current.is_undecided(worker_id) and current.index > answered

    def is_ahead(self, worker_id: int, answered: int) -> bool:
        """Return whether a worker claims an answer to a round to come, or to one that still awaits it."""
        current = self.open_round
        return answered > self.index or (
            current is not None and answered == current.index and current.is_undecided(worker_id)
        )

    # -- a round, from open to close -----------------------------------------------------

    def open(self, n_samples: Dict[int, int], now: float) -> None:
        """Open the next round; its members are the workers in ``n_samples``, ascending."""
        self.index += 1
        self.open_round = OpenRound(self.index, n_samples, now, self._deadline(now), self._offer_deadline(now))

    def newly_heavy(self) -> Optional[int]:
        """Return the member that holds most of the weight, or None.

        A member is returned once, and again only after another one, or none, held most.
        """
        n_samples, before = self._current.n_samples, self._heavy
        worker_id = max(n_samples, key=n_samples.__getitem__)
        share = n_samples[worker_id] / sum(n_samples.values())
        self._heavy = worker_id if share > max(HEAVY_SHARE, HEAVY_FACTOR / len(n_samples)) else None
        return self._heavy if self._heavy != before else None

    def is_complete(self) -> bool:
        """Return whether the open round can close."""
        current = self._current
        return not current.undecided() or (current.is_due and current.n_answered() >= self.quorum)

    def missing(self) -> List[int]:
        """Return the members that are late if the open round closes now, ascending."""
        return self._current.undecided()

    def close(self) -> OpenRound:
        """Close the open round, in which every member's part is decided."""
        current, self.open_round = self._current, None
        for worker_id in current.unused_grants():
            self.attendance[worker_id].last_until = current.index + upload_selection.LAST_ROUNDS
        return current

    def abandon(self) -> None:
        """Drop the open round, if there is one."""
        self.open_round = None

    # -- answers -------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """The phase of the open round."""
        if not self._rules.needs_offers:
            return Phase.UPLOADS
        return Phase.OFFERS if self._current.granted is None else Phase.GRANTED

    def judge(self, answer: Answer) -> Ruling:
        """Return the ruling on an answer; change nothing.

        Raises
        ------
        BadValues
            If the upload has another codec, or is larger than its offer.
        Conflict
            If the open round does not admit such an answer.
        """
        current = self.open_round
        if (
            current is None
            or answer.round_index < current.index
            or answer.worker_id not in current.n_samples
            or current.status.get(answer.worker_id) == LOST
        ):  # it is back, but its part is decided
            return Ruling(Outcome.LATE)
        if answer.worker_id in current.status:
            raise Conflict("worker %d has answered round %d already" % (answer.worker_id, current.index))
        if answer.kind is Kind.SKIP:
            return Ruling(Outcome.NOTED, LOST if answer.blocked else SKIPPED)
        if answer.kind is Kind.OFFER:
            return self._judge_offer(answer, current)
        self._check_upload(answer, current)
        return Ruling(Outcome.APPLIED, UPLOADED)

    def _judge_offer(self, answer: Answer, current: OpenRound) -> Ruling:
        if self.phase is Phase.UPLOADS:
            raise Conflict("round %d has no budget and takes no offers" % current.index, "send the upload")
        before = current.offers.get(answer.worker_id)
        if self.phase is Phase.OFFERS:
            return Ruling(None, is_news=before != answer, is_duplicate=before is not None)
        if before is not None:
            return Ruling(Outcome.GRANTED, is_news=False, is_duplicate=True)
        granted = current.granted or ()
        spent = sum(current.offers[worker_id].cost_bits for worker_id in granted)
        if upload_selection.fits(len(granted), spent, _offer(answer), self._rules):
            return Ruling(Outcome.GRANTED)
        return Ruling(Outcome.REFUSED, REFUSED)

    def _check_upload(self, answer: Answer, current: OpenRound) -> None:
        """Reject an upload that the grants do not admit."""
        if answer.codec_id != self._rules.codec_up:
            raise BadValues("the upload has codec %d, expected %d" % (answer.codec_id, self._rules.codec_up))
        if self.phase is Phase.UPLOADS:
            return
        if answer.worker_id not in (current.granted or ()):
            raise Conflict(
                "round %d has not granted worker %d an upload" % (current.index, answer.worker_id),
                "send an offer first",
            )
        if answer.cost_bits > current.offers[answer.worker_id].cost_bits:
            raise BadValues(
                "the upload has %d payload bits, expected at most the %d of its offer"
                % (answer.cost_bits, current.offers[answer.worker_id].cost_bits)
            )

    def record(self, answer: Answer, ruling: Ruling) -> None:
        """Record an answer as it was judged."""
        if answer.kind is Kind.OFFER and ruling.outcome is not Outcome.LATE:
            self._record_offer(answer, ruling)
        if ruling.outcome is Outcome.APPLIED:
            self._current.uploads[answer.worker_id] = None if self._rules.has_mirrors else answer.payload
        self.settle(answer, ruling.status)

    def _record_offer(self, answer: Answer, ruling: Ruling) -> None:
        current = self._current
        if self.phase is Phase.GRANTED:
            if ruling.is_duplicate:
                return
            if ruling.outcome is Outcome.GRANTED:
                current.granted = (current.granted or set()) | {answer.worker_id}
            self._pass_over(answer.worker_id)
        current.offers[answer.worker_id] = answer

    def settle(self, answer: Answer, status: Optional[str]) -> None:
        """End a member's part with an answer; with ``status`` None it does not end."""
        attendance = self.attendance[answer.worker_id]
        if status is not None:
            self.miss(answer.worker_id, status)
            self._current.answers[answer.worker_id] = answer._replace(payload=None, coded=None)
            attendance.training_s += answer.training_s
            attendance.waiting_s += answer.waiting_s
            attendance.last_loss = answer.loss if answer.loss == answer.loss else None
            attendance.last_round = answer.round_index
            attendance.trouble = trouble_of(answer)
        attendance.blocked += bool(answer.blocked)

    def miss(self, worker_id: int, status: str) -> None:
        """End a member's part without an answer."""
        self._current.status[worker_id] = status
        self.attendance[worker_id].tally[status] += 1

    # -- grants --------------------------------------------------------------------------

    def decide_grants(self) -> Optional[List[Tuple[Answer, bool]]]:
        """Decide the grants if it is time; return (offer, whether it is granted) by worker id, or None.

        It is too early while a member may still offer. After the offers' deadline one offer is enough, unless a missing
        member has been passed over so often that it comes first.
        """
        if self.phase is not Phase.OFFERS:
            return None
        current = self._current
        missing = [worker_id for worker_id in current.undecided() if worker_id not in current.offers]
        is_due = current.offers_are_due and current.offers
        if missing and not (
            is_due and all(self.attendance[worker_id].passed_over < self._rules.max_silence for worker_id in missing)
        ):
            return None
        current.granted = set(
            upload_selection.grant(
                [_offer(answer) for answer in current.offers.values()],
                {worker_id: self.attendance[worker_id].passed_over for worker_id in current.offers},
                self._rules,
                stream(self._system.seed, GRANTS, current.index),
                {worker_id for worker_id in current.offers if self.attendance[worker_id].last_until >= current.index},
            )
        )
        for worker_id in current.offers:
            self._pass_over(worker_id)
        return [(answer, worker_id in current.granted) for worker_id, answer in sorted(current.offers.items())]

    def _pass_over(self, worker_id: int) -> None:
        attendance = self.attendance[worker_id]
        attendance.passed_over = 0 if worker_id in (self._current.granted or ()) else attendance.passed_over + 1

    # -- time ----------------------------------------------------------------------------

    def due(self, now: float) -> Iterator[Union[OffersDue, RoundDue]]:
        """Yield the events that are due; each must be handled before the next is made."""
        current = self.open_round
        if current is not None and current.offer_deadline is not None and current.offer_deadline <= now:
            yield OffersDue(current.index)
        current = self.open_round
        if current is not None and current.deadline is not None and current.deadline <= now:
            yield RoundDue(current.index)

    def offers_due(self) -> None:
        """Note that the deadline of the open round's offers has passed."""
        self._current.offers_are_due, self._current.offer_deadline = True, None

    def round_due(self) -> None:
        """Note that the deadline of the open round has passed."""
        self._current.is_due, self._current.deadline = True, None

    def deadlines(self) -> List[float]:
        """Return the times at which :meth:`due` has an event."""
        current = self.open_round
        return [] if current is None else [at for at in (current.deadline, current.offer_deadline) if at is not None]

    def restart_clocks(self, now: float) -> None:
        """Restart the deadlines of the open round."""
        current = self.open_round
        if current is not None:
            current.opened = now
            current.deadline = self._deadline(now) if not current.is_due else None
            current.offer_deadline = self._offer_deadline(now) if not current.offers_are_due else None

    def _deadline(self, now: float) -> Optional[float]:
        return now + self._system.round_deadline_s if self._system.round_deadline_s else None

    def _offer_deadline(self, now: float) -> Optional[float]:
        seconds = self._system.offer_deadline_s or self._system.round_deadline_s / 2
        return now + seconds if seconds and self._rules.needs_offers else None

    # -- snapshots -----------------------------------------------------------------------

    def is_between(self) -> bool:
        """Return whether the rounds can be captured: no part of an open one is decided."""
        return self.open_round is None or not self.open_round.has_begun()

    def capture(self) -> Dict[str, Any]:
        """Return the state as JSON values."""
        current = self.open_round
        members = None if current is None else [[worker_id, n] for worker_id, n in sorted(current.n_samples.items())]
        return {"round_index": self.index, "open_round": members}

    def capture_worker(self, worker_id: int) -> Dict[str, Any]:
        """Return a worker's part in the rounds as JSON values, a copy."""
        attendance = self.attendance_of(worker_id)
        return dict({name: getattr(attendance, name) for name in SAVED}, tally=dict(attendance.tally))

    def resume(self, meta: Mapping[str, Any], workers: Iterable[Mapping[str, Any]]) -> None:
        """Restore the captured state."""
        self.index = meta["round_index"]
        if meta["open_round"] is not None:
            self.open_round = OpenRound(self.index, dict(meta["open_round"]), 0.0, None, None)
        for body in workers:
            attendance = self.attendance[body["worker_id"]] = Attendance()
            for name in SAVED:
                setattr(attendance, name, body[name])


def _offer(answer: Answer) -> upload_selection.Offer:
    return upload_selection.Offer(answer.worker_id, answer.energy, answer.cost_bits)
