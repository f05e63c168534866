"""The messages of a round, as values; wire.py turns them into bytes (docs/wire.md)."""

from enum import IntEnum
from typing import NamedTuple, Optional

from ..core.codecs import Payload
from ..core.codecs.lossless import Coded
from ..core.held_back import HeldBack


class Kind(IntEnum):
    """The kind of a frame."""

    SKIP = 1  # worker -> master: nothing to send this round
    OFFER = 2  # worker -> master: announces an update, before its bytes are sent
    UPLOAD = 3  # worker -> master: the update
    VERDICT = 4  # master -> worker: the decision on one of these
    PLAN = 5  # master -> worker: the round, followed by model frames
    DELTA = 6  # master -> worker: from one version of the shared copy to the next
    KEYFRAME = 7  # master -> worker: the whole shared copy


class Outcome(IntEnum):
    """The outcome that a verdict states."""

    NOTED = 1  # the skip is recorded
    WAIT = 2  # the grants are not decided yet: send the same offer again after a pause
    GRANTED = 3  # send the upload
    REFUSED = 4  # not this round
    APPLIED = 5  # the upload counts: commit
    LATE = 6  # the round is over: the upload does not count
    RESYNC = 7  # the mirrors differ: start over with the new epoch
    END = 8  # the run has ended


FINAL = (Outcome.NOTED, Outcome.REFUSED, Outcome.APPLIED, Outcome.LATE)  # they end a worker's part in a round


class Answer(NamedTuple):
    """A worker's skip, offer or upload.

    Attributes
    ----------
    kind : Kind
        SKIP, OFFER or UPLOAD.
    worker_id, epoch, seq : int
        The epoch counts the worker's registrations, seq its answers in the epoch. An offer and the
        upload that follows it have the same seq.
    round_index : int
        Counts from 1.
    loss : float
        Mean training loss of the local steps; NaN if there is none.
    energy : float
        |input of the quantizer|^2.
    held_back : HeldBack or None
        With partition local: of the shared copy with which the round began.
    cost_bits : int
        Bits of the payload that is, or would be, uploaded, as it is sent; 0 for a skip.
    state_crc : int
        With mirrors: fingerprint of the mirror after this upload; otherwise 0.
    training_s, waiting_s : float
        Seconds of local training, and between the last answer and this round's plan.
    codec_id : int
        Of the payload; 0 for skip and offer.
    payload : ndarray of uint8, or None
        Only in an upload; None once the worker has coded it.
    coded : Coded or None
        Sent in place of the payload.
    blocked : int
        Only in a skip that replaces an upload: the HTTP status with which something between worker and master rejected
        the upload; 0 = none.
    is_unable : bool
        Only in a skip: the device had too little memory to train.
    """

    kind: Kind
    worker_id: int
    epoch: int
    seq: int
    round_index: int
    loss: float
    energy: float
    cost_bits: int = 0
    state_crc: int = 0
    training_s: float = 0.0
    waiting_s: float = 0.0
    codec_id: int = 0
    payload: Optional[Payload] = None
    held_back: Optional[HeldBack] = None
    coded: Optional[Coded] = None
    blocked: int = 0
    is_unable: bool = False

    @property
    def sent(self) -> Optional[Payload]:
        """The payload as it is sent."""
        return self.payload if self.coded is None else self.coded.data

    def without_payload(self, kind: Kind) -> "Answer":
        """Return the same answer as another kind, without its payload."""
        return self._replace(kind=kind, codec_id=0, payload=None, coded=None)


class Verdict(NamedTuple):
    """The master's decision on an answer in round ``round_index``; ``epoch`` is the worker's from now on."""

    outcome: Outcome
    round_index: int
    epoch: int


class Plan(NamedTuple):
    """A round, as a worker needs to know it.

    Attributes
    ----------
    round_index : int
    version, model_crc : int
        Version and fingerprint of the shared copy to train on, after the model frames that follow.
    threshold : float
        S of the lazy rule.
    needs_offer, ended : bool
        Whether offers come first; whether there is no round because the run has ended.
    n_frames : int
        Number of model frames that follow.
    bytes_up : int
        Mode lowrank: largest payload of an upload, in bytes; otherwise 0.
    """

    round_index: int
    version: int
    model_crc: int
    threshold: float
    needs_offer: bool
    ended: bool
    n_frames: int
    bytes_up: int = 0


class ModelFrame(NamedTuple):
    """One step of the shared copy, to ``version``: DELTA from the version before, or KEYFRAME.

    ``coded``, if there is one, is sent in place of the payload.
    """

    kind: Kind
    version: int
    codec_id: int
    payload: Payload
    coded: Optional[Coded] = None

    @property
    def sent(self) -> Payload:
        """The payload as it is sent."""
        return self.payload if self.coded is None else self.coded.data
