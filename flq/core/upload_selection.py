"""Grants: which workers may upload in a round whose budget does not admit all."""

from typing import Container, Iterable, List, Mapping, NamedTuple, Tuple

import numpy as np

from ..errors import ConfigError
from .settings import Rules

MOST_TIMES_MEDIAN = 10.0  # an offer's energy is capped at this multiple of the round's median
LAST_ROUNDS = 10  # rounds for which a worker comes last after a grant that it did not use


class Offer(NamedTuple):
    """An upload on offer: its energy |.|^2 and its exact cost in payload bits."""

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
    """Choose the workers that upload, in the order of ``rules.grant_by``.

    ====== ===========================================================================
    energy most energy per bit first
    age    longest passed over first, and among those most energy per bit
    both   most energy per bit, times (1 + rounds passed over)^2
    random random order
    ====== ===========================================================================

    Ties are broken by rounds passed over, then by worker id. A worker that has been passed over in C consecutive rounds
    precedes all others, longest first; if the limits do not admit all of these, some wait longer. If both limits are
    set, both hold. An offer that does not fit is left out and the next one is tried (greedy knapsack).

    An energy is a worker's claim, so it is capped at ten times the (lower) median of the round's offers. A worker that
    left a grant unused in the last ``LAST_ROUNDS`` rounds comes after all others.

    Departs from FLQ v3, which orders by energy, and in which ``sel_clients`` switches the budget off.

    Parameters
    ----------
    passed_over : mapping
        Worker id -> consecutive rounds in which its offer was refused; absent is 0.
    chance : Philox
        The raw integers of the round (``rng.GRANTS``), for the order random.
    last : container of int
        Ids of workers that come after all others.

    Returns
    -------
    list of int
        Ids of the workers that may upload, ascending.
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
    """Reject a budget that admits no upload at all.

    Raises
    ------
    ConfigError
        If an upload of ``cost_bits`` payload bits exceeds the budget.
    """
    if rules.up_budget_bits and cost_bits > rules.up_budget_bits:
        raise ConfigError(
            "an upload of this model takes %d payload bits, and up_budget_bits %d admits none"
            % (cost_bits, rules.up_budget_bits),
            "raise budget_selection.up_budget_bits or lower flq_algorithm.b_up",
        )


def fits(n_granted: int, spent_bits: int, offer: Offer, rules: Rules) -> bool:
    """Return whether one more offer fits beside the uploads that are granted already."""
    return (not rules.sel_clients or n_granted < rules.sel_clients) and (
        not rules.up_budget_bits or spent_bits + offer.cost_bits <= rules.up_budget_bits
    )
