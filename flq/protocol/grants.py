"""Rounds with offers: when the grants are decided, and who gets one."""

from typing import Mapping, Optional, Set

from ..core import upload_selection
from ..core.rng import GRANTS, stream
from ..core.settings import Rules
from .messages import Answer
from .records import Member, OpenRound


def decide(going: OpenRound, members: Mapping[int, Member], rules: Rules, seed: int) -> Optional[Set[int]]:
    """Return who may upload; None while it is too early to say.

    It is too early while a member may still offer. After the offers' deadline it is as soon as somebody has offered,
    unless one who is missing has been passed over so often that it comes first.
    """
    missing = [members[worker_id] for worker_id in going.undecided() if worker_id not in going.offers]
    is_due = going.offers_are_due and going.offers
    if missing and not (is_due and all(member.passed_over < rules.max_silence for member in missing)):
        return None
    passed_over = {worker_id: members[worker_id].passed_over for worker_id in going.offers}
    last = {worker_id for worker_id in going.offers if members[worker_id].last_until >= going.index}
    offers = [_offer(answer) for answer in going.offers.values()]
    return set(upload_selection.grant(offers, passed_over, rules, stream(seed, GRANTS, going.index), last))


def is_left_for(answer: Answer, going: OpenRound, rules: Rules) -> bool:
    """Return whether an offer that comes after the grants fits into what they have left."""
    spent = sum(going.offers[worker_id].cost_bits for worker_id in going.granted)
    return upload_selection.fits(len(going.granted), spent, _offer(answer), rules)


def _offer(answer: Answer) -> upload_selection.Offer:
    return upload_selection.Offer(answer.worker_id, answer.energy, answer.cost_bits)
