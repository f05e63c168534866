"""Events <-> entries of the journal: a kind, JSON values, and the frame of an answer.

An answer is stored as the frame in which it came, so that reading it checks its CRC32 again.
"""

from typing import Any, Dict, NamedTuple, Optional, Type

from ..core.data_report import optional_report, to_json
from ..errors import FlqError
from . import events
from .messages import Answer
from .wire import Frame, Link, decode

ANSWERED = "answered"
PLAIN: Dict[str, Type[events.Lasting]] = {
    "joined": events.Register,
    "lease_ended": events.LeaseEnded,
    "offers_due": events.OffersDue,
    "round_due": events.RoundDue,
    "stopped": events.Stop,
}
NAMES = {kind: name for name, kind in PLAIN.items()}


class JournalEntry(NamedTuple):
    """One event; only an answer has a ``frame``."""

    kind: str
    body: Dict[str, Any]
    frame: Optional[Frame] = None


def to_entry(event: events.Lasting) -> JournalEntry:
    """Return the entry of an event."""
    if isinstance(event, events.Answered):
        return JournalEntry(ANSWERED, {}, event.frame)
    body = {name: value for name, value in event._asdict().items() if name != "ticket"}
    if body.get("data") is not None:
        body["data"] = to_json(body["data"])
    return JournalEntry(NAMES[type(event)], body)


def from_entry(
    kind: str, body: Dict[str, Any], frame: Optional[Frame], link: Link, ticket: events.Ticket
) -> events.Lasting:
    """Return the event of an entry; ``ticket`` identifies no request, since that is long gone.

    Raises
    ------
    FlqError
        If the entry is invalid.
    """
    if kind == ANSWERED:
        if frame is None:
            raise FlqError("an answer in the journal has lost its frame")
        return events.Answered(ticket, decode(frame, link, Answer), frame, may_wait=False, session=None)
    if kind not in PLAIN:
        raise FlqError(
            "the journal has an entry of unknown kind %.40r" % kind, "resume with the version of FLQ that began the run"
        )
    if kind == "joined":
        body = dict(body, ticket=ticket)
    try:
        if "codings" in body:
            body = dict(body, codings=tuple(body["codings"]))
        if "data" in body:
            body = dict(body, data=optional_report(body["data"]))
        return PLAIN[kind](**body)
    except TypeError as error:
        raise FlqError("an entry in the journal (%s) cannot be read: %s" % (kind, error)) from None
