"""The open round, its report, and each worker's part in all rounds."""

import math
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ..core.codecs import Payload
from ..core.statuses import REFUSED, SKIPPED, STATUSES, UPLOADED
from .events import NONFINITE, UNABLE, RoundReport
from .messages import Answer, Kind
from .traffic import Traffic


class Attendance:
    """A worker's part in the rounds so far.

    Attributes
    ----------
    tally : dict
        One of ``STATUSES`` -> number of rounds.
    passed_over : int
        Consecutive rounds in which its offer was refused.
    last_until : int
        The last round in which its offers come last, because it did not use a grant.
    blocked : int
        How many of its updates something between it and the master rejected.
    trouble : str or None
        Of its last answer; see :func:`trouble_of`.
    training_s, waiting_s : float
    last_loss, last_round
        Of its last answer; the loss is None if the answer had none.
    """

    def __init__(self) -> None:
        self.tally: Dict[str, int] = dict.fromkeys(STATUSES, 0)
        self.passed_over = self.last_until = self.blocked = 0
        self.training_s = self.waiting_s = 0.0
        self.last_loss: Optional[float] = None
        self.last_round = 0
        self.trouble: Optional[str] = None


class OpenRound:
    """The round in progress.

    Attributes
    ----------
    n_samples : dict
        Worker id -> samples, over the workers leased when the round opened: its members.
    status : dict
        Worker id -> one of ``STATUSES``, for the members whose part is decided.
    uploads : dict
        Worker id -> payload, of those that have uploaded; None if the mirror holds it.
    offers, granted
        With a budget: worker id -> its offer, and the workers that may upload (None until decided).
    is_due, offers_are_due : bool
        Whether the deadline of the round, or of its offers, has passed; until then it is a time, if there is one.
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
        self.uploads: Dict[int, Optional[Payload]] = {}
        self.offers: Dict[int, Answer] = {}
        self.granted: Optional[Set[int]] = None
        self.answers: Dict[int, Answer] = {}

    def has_begun(self) -> bool:
        """Return whether anything has happened in it yet."""
        return bool(self.status or self.offers or self.is_due or self.offers_are_due)

    def undecided(self) -> List[int]:
        """Return the members whose part is undecided, ascending."""
        return [worker_id for worker_id in sorted(self.n_samples) if worker_id not in self.status]

    def is_undecided(self, worker_id: int) -> bool:
        """Return whether a worker is a member whose part is undecided."""
        return worker_id in self.n_samples and worker_id not in self.status

    def unused_grants(self) -> List[int]:
        """Return the members that were granted an upload and sent none, ascending."""
        return [worker_id for worker_id in sorted(self.granted or ()) if self.status[worker_id] != UPLOADED]

    def n_answered(self) -> int:
        """Return how many members have uploaded, skipped or been refused."""
        return sum(status in (UPLOADED, SKIPPED, REFUSED) for status in self.status.values())

    def report(self, traffic: Traffic, now: float) -> RoundReport:
        """Return the report of the round; means are weighted by samples."""
        answers = [(self.n_samples[worker_id], answer) for worker_id, answer in sorted(self.answers.items())]
        held_back = [answer.held_back for _, answer in answers if answer.held_back is not None]
        return RoundReport(
            self.index,
            dict(self.status),
            _mean([(n, answer.loss) for n, answer in answers if answer.loss == answer.loss]),
            _mean([(held.n_samples, held.loss) for held in held_back]),
            _mean([(held.n_samples, held.accuracy) for held in held_back]),
            *traffic,
            training_s=max((answer.training_s for answer in self.answers.values()), default=0.0),
            waiting_s=max((answer.waiting_s for answer in self.answers.values()), default=0.0),
            round_s=now - self.opened,
            n_nonfinite=sum(trouble_of(answer) == NONFINITE for answer in self.answers.values()),
        )


def trouble_of(answer: Answer) -> Optional[str]:
    """Return the kind of the note on a worker that has no update: UNABLE or NONFINITE; None if it has trained."""
    if answer.is_unable:
        return UNABLE
    has_no_loss = answer.kind is Kind.SKIP and answer.loss != answer.loss
    return NONFINITE if has_no_loss and not answer.blocked else None


def _mean(weighted: Sequence[Tuple[int, float]]) -> Optional[float]:
    """Return the mean of (weight, value) pairs; None if there is no finite one."""
    mean = sum(n * value for n, value in weighted) / sum(n for n, _ in weighted) if weighted else math.nan
    return mean if math.isfinite(mean) else None
