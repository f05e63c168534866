"""What a round that closes has come to."""

import math
from typing import Optional, Sequence, Tuple

from .events import RoundReport
from .records import OpenRound
from .traffic import Traffic


def report_of(going: OpenRound, traffic: Traffic, now: float) -> RoundReport:
    """Return the report of a round, all of whose members have their part; means are weighted by samples."""
    answers = [(going.n_samples[worker_id], answer) for worker_id, answer in sorted(going.answers.items())]
    held_back = [answer.held_back for _, answer in answers if answer.held_back is not None]
    return RoundReport(
        going.index,
        dict(going.status),
        _mean([(n, answer.loss) for n, answer in answers if answer.loss == answer.loss]),
        _mean([(held.n_samples, held.loss) for held in held_back]),
        _mean([(held.n_samples, held.accuracy) for held in held_back]),
        *traffic,
        training_s=max((answer.training_s for answer in going.answers.values()), default=0.0),
        waiting_s=max((answer.waiting_s for answer in going.answers.values()), default=0.0),
        round_s=now - going.opened,
    )


def _mean(weighted: Sequence[Tuple[int, float]]) -> Optional[float]:
    """Return the mean of (weight, value) pairs; None of none, and where it is too large for a number."""
    mean = sum(n * value for n, value in weighted) / sum(n for n, _ in weighted) if weighted else math.nan
    return mean if math.isfinite(mean) else None
