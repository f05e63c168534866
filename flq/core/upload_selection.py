"""Grants: who may upload in a round whose budget does not admit everyone."""

from typing import Container, Iterable, List, Mapping, NamedTuple, Tuple

import numpy as np

from ..errors import ConfigError
from .settings import Rules

MOST_TIMES_MEDIAN = 10.0  # an offer's energy counts for at most so many times the median of its round
LAST_ROUNDS = 10  # rounds for which a worker's offers come last after a grant that it did not use


class Offer(NamedTuple):
    """What a worker would send: energy |.|^2 and exact cost in payload bits."""

    worker_id: int
    energy: float
    cost_bits: int


def grant(
    offers: Iterable[Offer],
    passed_over: Mapping[int, int],
    rules: Rules,
    chance: np.random.Philox,
    last: Container[int] = (),
) -> List[int]:
    """Choose who uploads, in the order of ``rules.grant_by``; ties by rounds passed over, then by worker id.

    ====== ===========================================================================
    energy most energy per bit first
    age    longest passed over first, and among those most energy per bit
    both   most energy per bit, times one more than the rounds passed over, squared
    random any order
    ====== ===========================================================================

    A worker that has been passed over C rounds in a row comes before all others, longest first; where the
    limits admit fewer than there are of those, some wait longer. Both
    limits hold where both are set; an offer that does not fit is left out and the next one is
    tried (greedy knapsack).

    An energy is a worker's claim: it counts for at most ten times the (lower) median of the round's offers. A worker
    that has left a grant unused in the last ``LAST_ROUNDS`` rounds comes after all others.

    Departs from FLQ v3, which goes by energy, and in which ``sel_clients`` switches the budget off.

    Parameters
    ----------
    passed_over : mapping
        Worker id -> rounds in a row in which its offer was refused; absent is 0.
    chance : Philox
        The raw integers of the round (``draws.GRANTS``); only random draws from it.
    last : container of int
        Ids of workers that come after all others.

    Returns
    -------
    list of int
        The worker ids that are granted, ascending.
    """
    waiting = sorted(offers)
    energies = sorted(offer.energy for offer in waiting)
    most = MOST_TIMES_MEDIAN * energies[(len(energies) - 1) // 2] if energies else 0.0
    drawn = chance.random_raw(len(waiting)).tolist() if rules.grant_by == "random" else [0] * len(waiting)

    def urgency(ticket: Tuple[Offer, int]) -> Tuple[float, ...]:
        offer, number = ticket
        waited = passed_over.get(offer.worker_id, 0)
        worth = min(offer.energy, most) / max(offer.cost_bits, 1)
        first = {"energy": 0, "age": -waited, "both": -worth * (1 + waited) ** 2, "random": number}[rules.grant_by]
        overdue = -waited if waited >= rules.max_silence else 0
        return offer.worker_id in last, overdue, first, -worth, -waited, offer.worker_id

    granted: List[int] = []
    spent = 0
    for offer, _ in sorted(zip(waiting, drawn), key=urgency):
        if fits(len(granted), spent, offer, rules):
            granted.append(offer.worker_id)
            spent += offer.cost_bits
    return sorted(granted)


def check_admits(cost_bits: int, rules: Rules) -> None:
    """Refuse a budget that no upload would ever fit into.

    Raises
    ------
    ConfigError
        If an upload of ``cost_bits`` payload bits is over the budget.
    """
    if rules.up_budget_bits and cost_bits > rules.up_budget_bits:
        raise ConfigError(
            "an upload of this model takes %d payload bits, and up_budget_bits %d admits none"
            % (cost_bits, rules.up_budget_bits),
            "raise budget_selection.up_budget_bits or lower flq_algorithm.b_up",
        )


def fits(n_granted: int, spent_bits: int, offer: Offer, rules: Rules) -> bool:
    """Return whether one more offer fits beside what is granted already."""
    return (not rules.sel_clients or n_granted < rules.sel_clients) and (
        not rules.up_budget_bits or spent_bits + offer.cost_bits <= rules.up_budget_bits
    )
