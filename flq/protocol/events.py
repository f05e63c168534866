"""The events of the master's machine, and its effects. Plain values; no I/O."""

from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple, Union

from ..core.codecs import Payload
from ..core.data_report import DataReport
from ..core.layout import Vector
from ..errors import FlqError
from .messages import Answer
from .resumable import PartialReply
from .wire import Buffers, Frame

Ticket = int  # identifies a request that waits for its reply


class Register(NamedTuple):
    """A worker wants to join.

    First it asks for the settings (``n_samples`` None); with its data and model ready
    it joins, and claims the epoch that its memories belong to.

    Attributes
    ----------
    claimed_epoch, claimed_seq, claimed_round : int or None
        The epoch of its memories, and number and round of its last answer.
    undecided : bool
        Whether it does not know the verdict on that answer.
    known_epoch, known_sessions : int or None
        The numbers in the last reply: they distinguish a duplicate of an old request from a new request.
    codings : sequence of str
        The payload codings that it can read.
    session : str
        Hash of the key that this process of the worker sends with every request.
    data : DataReport or None
        What it has seen of its data; None for a task without data.
    """

    ticket: Ticket
    worker_id: int
    instance: str
    n_samples: Optional[int] = None
    layout_crc: Optional[int] = None
    claimed_epoch: Optional[int] = None
    claimed_seq: Optional[int] = None
    known_epoch: Optional[int] = None
    codings: Sequence[str] = ()
    claimed_round: Optional[int] = None
    undecided: bool = False
    known_sessions: Optional[int] = None
    session: str = ""
    data: Optional[DataReport] = None


class Poll(NamedTuple):
    """A worker asks for the next round; ``have`` is its version of the shared copy, -1 for none.

    A poll that may not wait is answered at once, with "nothing new" if there is nothing. ``partial`` is the
    beginning of an earlier reply that broke off: if the reply is still the same, only the rest is sent.
    """

    ticket: Ticket
    worker_id: int
    epoch: int
    have: int
    answered: int
    may_wait: bool = True
    partial: Optional[PartialReply] = None
    session: str = ""


class Answered(NamedTuple):
    """A skip, an offer or an upload has arrived; the journal stores its frame as it is.

    An offer that may not wait is answered WAIT at once instead of when the grants are decided. With ``have``,
    the worker's version of the shared copy, a final verdict waits for the next round and is sent with it, unless the
    request may not wait. ``session`` is None for an answer from the journal, whose sender was checked before.
    """

    ticket: Ticket
    answer: Answer
    frame: Frame
    may_wait: bool = True
    have: Optional[int] = None
    session: Optional[str] = ""


class Heartbeat(NamedTuple):
    """A worker is alive; without ``renews`` it only reports, and its lease is not renewed."""

    ticket: Ticket
    worker_id: int
    epoch: int
    renews: bool = True
    session: str = ""


class Tick(NamedTuple):
    """Time has passed."""


class LeaseEnded(NamedTuple):
    """A worker has been silent for too long. The machine makes this event and the next two."""

    worker_id: int


class OffersDue(NamedTuple):
    """The deadline of a round's offers has passed."""

    round_index: int


class RoundDue(NamedTuple):
    """The deadline of a round has passed."""

    round_index: int


class Stop(NamedTuple):
    """The run is to end now."""

    reason: str


class ResultsSaved(NamedTuple):
    """The results of the ended run are on disk."""


Lasting = Union[Register, Answered, LeaseEnded, OffersDue, RoundDue, Stop]  # can change the run: stored in the journal
REQUESTS = (Register, Poll, Answered, Heartbeat)  # have a ticket, and get a reply
Event = Union[Lasting, Poll, Heartbeat, Tick, ResultsSaved]


class Journalled(NamedTuple):
    """The event has changed the run: it must be on disk before its other effects are carried out."""

    event: Lasting


class Encoded(NamedTuple):
    """The payload moved the shared copy to ``version``; it goes to disk with the causing event."""

    round_index: int
    version: int
    payload: Payload


class Reply(NamedTuple):
    """Answer a request: a JSON object, the buffers of frames, None (nothing new), or an error."""

    ticket: Ticket
    body: Union[Dict[str, Any], Buffers, None, FlqError]


class RoundReport(NamedTuple):
    """The outcome of a round, when it has closed.

    Attributes
    ----------
    roll_call : dict
        Worker id -> uploaded, skipped, refused, late or lost.
    training_loss : float or None
        Mean over the answers, by samples.
    own_loss, own_accuracy : float or None
        Mean over the workers' held-out samples, of the shared copy with which the round began.
    payload_bits_up, payload_bits_down, frame_bytes_up, frame_bytes_down, retransmitted_bytes : int
        Counted on real frames since the last round closed; repeated frames only in the last.
    training_s, waiting_s : float
        The longest of any worker.
    round_s : float
        From open to close.
    n_nonfinite : int
        Members whose update was not finite.
    """

    round_index: int
    roll_call: Dict[int, str]
    training_loss: Optional[float]
    own_loss: Optional[float]
    own_accuracy: Optional[float]
    payload_bits_up: int
    payload_bits_down: int
    frame_bytes_up: int
    frame_bytes_down: int
    retransmitted_bytes: int
    training_s: float
    waiting_s: float
    round_s: float
    n_nonfinite: int = 0  # since format 6 of the journal


class RoundClosed(NamedTuple):
    """A round has closed: report it, and evaluate x, w and the average of x.

    Attributes
    ----------
    mean : ndarray of shape (n_params,), float32, or None
        None if no average is kept.
    shared_crc : int
        Fingerprint of w.
    """

    report: RoundReport
    model: Vector
    shared: Vector
    mean: Optional[Vector]
    shared_crc: int

    @property
    def result(self) -> Vector:
        """The result if the run ends here."""
        return self.model if self.mean is None else self.mean


class RunEnded(NamedTuple):
    """The run has ended: save the results, then send :class:`ResultsSaved`."""

    reason: str


JOINED, BACK, GONE, RESYNC, UNABLE, NONFINITE, UNCHANGED, BLOCKED, CONTESTED, HEAVY, DATA = NOTE_KINDS = (
    "joined",
    "back",
    "lost",
    "resync",
    "unable",
    "nonfinite",
    "unchanged",
    "blocked",
    "shared",
    "heavy",
    "data",
)


class Note(NamedTuple):
    """A sentence for the operator's log.

    Attributes
    ----------
    kind : str
        One of ``NOTE_KINDS``: a worker joined, is back, is lost, starts over because its mirror differs, could not
        train, or got an update that is not finite; a round left the model unchanged; something between a worker and
        the master rejected the worker's update; two processes use one worker's identity; one worker holds most of the
        weight; or data differ that should not.
    worker_id : int or None
        The worker that it is about; None = no particular one.
    """

    text: str
    kind: str
    worker_id: Optional[int] = None


Effect = Union[Journalled, Encoded, Reply, RoundClosed, RunEnded, Note]
Effects = Tuple[Effect, ...]
