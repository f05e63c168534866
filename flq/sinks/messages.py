"""Messages of the master to its sinks, one line of JSON each.

A stream begins with :class:`Began`, which has all earlier rounds, and ends with :class:`Ended`, unless it was cut off.
A round is sent once its model has been evaluated, perhaps some rounds later or after the end. It may be sent again.

Example
-------
>>> message, = read([line_of(Happened("lost", "worker 3 is lost", 3, 7, 1.5))])
>>> message.worker_id
3
"""

import json
import math
import sys
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Union

from ..core.settings import Settings, public, settings_from_json, to_json
from ..errors import WireError
from ..report.rows import RoundRow, WorkerRow


class Round(NamedTuple):
    """A closed round with its known values; ``roll_call``: worker id -> uploaded, skipped, refused, late or lost."""

    row: RoundRow
    roll_call: Dict[int, str]


class Began(NamedTuple):
    """The run starts or resumes.

    Attributes
    ----------
    run_id : str
    settings : Settings
        Without addresses.
    figures_dir : str
        Folder for figures of this run.
    rounds : list of Round
        The rounds closed so far.
    """

    run_id: str
    settings: Settings
    figures_dir: str
    rounds: List[Round]


class Happened(NamedTuple):
    """A news item, with the fields of ``flq.master.live.news.Item``. Its text is untrusted."""

    kind: str
    text: str
    worker_id: Optional[int]
    round_index: int
    at: float


class Ended(NamedTuple):
    """The run has ended, or is interrupted and can be resumed.

    Attributes
    ----------
    reason : str
    is_interrupted, has_failed : bool
    workers : list of WorkerRow
    """

    reason: str
    is_interrupted: bool
    has_failed: bool
    workers: List[WorkerRow]


Message = Union[Began, Round, Happened, Ended]
KINDS = {kind.__name__: kind for kind in (Began, Round, Happened, Ended)}


def line_of(message: Message) -> bytes:
    """Return a message as a line; non-finite numbers become null."""
    head = message._replace(rounds=[]) if isinstance(message, Began) else message
    fields = {"is": type(message).__name__, **_plain(head)}
    if isinstance(message, Began):
        fields["settings"] = public(to_json(message.settings))
    text = json.dumps(fields, allow_nan=False)
    if isinstance(message, Began):  # a round at a time: json blocks other threads, and 10,000 rounds take long
        rounds = ", ".join(json.dumps(_plain(a_round), allow_nan=False) for a_round in message.rounds)
        text = "%s[%s]}" % (text[: -len("[]}")], rounds)
    return text.encode("ascii") + b"\n"


def read(lines: Iterable[bytes]) -> Iterator[Message]:
    """Yield the messages of a stream as they arrive, ignoring an incomplete last line.

    Raises
    ------
    WireError
        If a line is not a message.
    """
    for line in lines:
        if not line.endswith(b"\n"):
            return
        try:
            fields = json.loads(line)
            yield _message(KINDS[fields.pop("is")], fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WireError("a line is not a message: %s: %s" % (type(error).__name__, error)) from None


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(field) for name, field in value._asdict().items()}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _message(kind: Any, fields: Dict[str, Any]) -> Message:
    if kind is Round:
        return _round(fields)
    if kind is Began:
        fields["settings"] = settings_from_json(fields["settings"])
        fields["rounds"] = [_round(item) for item in fields["rounds"]]
    elif kind is Ended:
        fields["workers"] = [WorkerRow(**row) for row in fields["workers"]]
    return kind(**fields)


def _round(fields: Dict[str, Any]) -> Round:
    roll_call = {
        int(key): sys.intern(status) for key, status in fields["roll_call"].items()
    }  # share equal strings: there may be millions
    return Round(RoundRow(**fields["row"]), roll_call)
