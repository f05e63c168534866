"""How the master judges the claim of a worker that joins.

The worker claims the epoch that its memories belong to, with the number and the round of its last answer, and repeats
the epoch and the number of sessions of the last reply. The first row of :data:`CLAIMS` that holds applies.
"""

from enum import Enum
from typing import Callable, Tuple

from .events import Register
from .member import Member


class Claim(Enum):
    """The judgement of a worker that joins, and its consequence."""

    BARRED = "two processes with its identity were alive, and the other holds it: rejected while that lease lasts"
    OVERTAKEN = "a duplicate of a request that joined, and the worker has answered since: rejected"
    DUPLICATE = "a duplicate of the request that joined: the same reply again"
    OUTDATED = "another process has joined since it learned the number of sessions: the reply contains the new number"
    CONTESTED = "another process took over from it, and it knows that: both are alive; a new epoch"
    RESUMED = "it has the memories of the current epoch: it resumes that epoch"
    NEW = "otherwise: a new epoch"


def is_ahead(member: Member, event: Register, round_index: int) -> bool:
    """Return whether a worker is ahead of the journal, whose end is then lost."""
    if event.claimed_epoch is None or event.claimed_seq is None:
        return False
    if member.instance not in ("", event.instance):
        return False
    if event.claimed_epoch != member.epoch:
        return event.claimed_epoch > member.epoch
    return event.claimed_seq - event.undecided > member.closed_seq or (event.claimed_round or 0) > round_index


def _is_barred(member: Member, event: Register, round_index: int) -> bool:
    return member.is_contested and event.instance == member.instance and event.session != member.session


def _is_overtaken(member: Member, event: Register, round_index: int) -> bool:
    has_answered_since = (
        event.session == member.session != ""
        and event.claimed_epoch == member.epoch
        and (event.claimed_seq or 0) < member.closed_seq
    )  # the claims of a process never decrease
    return has_answered_since or (member.closed_seq > 0 and _is_duplicate(member, event, round_index))


def _is_duplicate(member: Member, event: Register, round_index: int) -> bool:
    return (
        event.known_epoch not in (None, member.epoch)
        and member.has_lease
        and event.instance == member.instance
        and event.n_samples == member.n_samples
        and event.session == member.session
    )


def _is_outdated(member: Member, event: Register, round_index: int) -> bool:
    return event.session != member.session and event.known_sessions not in (None, member.n_sessions)


def _is_contested(member: Member, event: Register, round_index: int) -> bool:
    return event.session in member.earlier_sessions and event.known_sessions == member.n_sessions


def _is_resumed(member: Member, event: Register, round_index: int) -> bool:
    """Return whether its last answer is the last decided one, or the next, with a verdict unknown to it."""
    if event.claimed_epoch is None or event.claimed_seq is None or member.is_forgotten:
        return False
    is_same = (
        event.instance == member.instance
        and event.claimed_epoch == member.epoch > 0
        and event.n_samples == member.n_samples
    )
    if event.claimed_seq == member.closed_seq:
        return is_same and event.claimed_round in (None, member.closed_round)
    is_next = event.undecided and event.claimed_seq == member.closed_seq + 1
    return is_same and is_next and (event.claimed_round or 0) <= round_index


CLAIMS: Tuple[Tuple[Claim, Callable[[Member, Register, int], bool]], ...] = (
    (Claim.BARRED, _is_barred),
    (Claim.OVERTAKEN, _is_overtaken),
    (Claim.DUPLICATE, _is_duplicate),
    (Claim.OUTDATED, _is_outdated),
    (Claim.CONTESTED, _is_contested),
    (Claim.RESUMED, _is_resumed),
    (Claim.NEW, lambda member, event, round_index: True),
)  # the first that holds
