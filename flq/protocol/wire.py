"""Messages <-> bytes. docs/wire.md specifies the format; change both together.

Decoding reads no more than the header declares and the limit admits, and allocates nothing of that
size (payloads are views into the buffer). It returns a valid message, or raises one of the errors
of :func:`decode`.

>>> from flq.core.layout import Tensor
>>> link = Link(run_crc=1, layout=Layout((Tensor("w", (4,)),)))
>>> frame = encode(Verdict(Outcome.APPLIED, 3, 1), link)
>>> decode(frame[0], link, Verdict)
Verdict(outcome=<Outcome.APPLIED: 5>, round_index=3, epoch=1)
"""

import math
import struct
import zlib
from typing import Dict, List, NamedTuple, Optional, Tuple, Type, TypeVar, Union

import numpy as np

from ..core.codecs import QUANTIZERS
from ..core.codecs.lossless import Coded, uncode
from ..core.held_back import HeldBack
from ..core.layout import Layout
from ..errors import BadValues, Conflict, TooLarge, WireError
from .messages import Answer, Kind, ModelFrame, Outcome, Plan, Verdict

MAGIC = b"FLQf"
VERSION = 6
FIRST_NAMED = 5  # the first version that registrations carry
SAME_VERSION = "install the same version of FLQ on master and workers"
HEADER = struct.Struct("<4sBBBBIIIQ")  # magic, version, kind, codec, flags, run, layout, index, body length
CRC = struct.Struct("<I")  # of header and body, between the two
ANSWER = struct.Struct("<IIIIQddff")  # worker, epoch, seq, state crc, cost bits, loss, energy, training, waiting
HELD_BACK = struct.Struct("<ffI")  # loss, accuracy, samples; after the rest of an answer
BLOCKED = struct.Struct("<H")  # HTTP status; after the rest of a skip
VERDICT = struct.Struct("<BI")  # outcome, epoch
PLAN = struct.Struct("<IIdIBH")  # version, model crc, threshold, bytes up, flags, number of frames
PREFIX_SIZE = HEADER.size + CRC.size
MEDIA_TYPE = "application/x-flq"  # of frames in HTTP
CRC_HEADER = "X-FLQ-CRC32"  # of a request's query and JSON, which are in no frame
KEY_MARK = ":"  # between a worker's token and its session key
NEEDS_OFFER, ENDED = 1, 2  # flags of a plan
HAS_HELD_BACK = 1  # flag in the header of an answer
CODING_SHIFT, CODING = 1, 3 << 1  # flags of a payload: the number of its coding; core/codecs/lossless.py
IS_BLOCKED, IS_UNABLE = 8, 16  # flags in the header of a skip
HTTP_STATUSES = (100, 599)

Message = Union[Answer, Verdict, Plan, ModelFrame]
Expected = TypeVar("Expected")  # a type of message
Frame = Union[bytes, bytearray, memoryview]  # one frame, or a buffer that begins with one
Buffers = List[Union[bytes, memoryview]]  # consecutive pieces of one frame or stream


class Link(NamedTuple):
    """What both ends of a connection share: CRC32 of the run id, and the parameter layout."""

    run_crc: int
    layout: Layout


def link_of(run_id: str, layout: Layout) -> Link:
    """Return the link of a run."""
    return Link(zlib.crc32(run_id.encode("utf-8")), layout)


def text_crc(*texts: Union[bytes, bytearray]) -> str:
    """Return the header X-FLQ-CRC32 for a query and JSON, which are in no frame."""
    crc = 0
    for text in texts:
        crc = zlib.crc32(text, crc)
    return "%08x" % crc


def max_answer_size(layout: Layout, codec_id: int) -> int:
    """Return the size in bytes of the largest frame that a worker may send."""
    return PREFIX_SIZE + ANSWER.size + HELD_BACK.size + QUANTIZERS[codec_id].payload_size(layout)


def encode(message: Message, link: Link) -> Buffers:
    """Return the frame of a message as consecutive buffers; a payload is neither copied nor coded."""
    payload, codec_id, flags = memoryview(b""), 0, 0
    if isinstance(message, Answer):
        kind, index = message.kind, message.round_index
        fixed = ANSWER.pack(
            message.worker_id,
            message.epoch,
            message.seq,
            message.state_crc,
            message.cost_bits,
            message.loss,
            message.energy,
            message.training_s,
            message.waiting_s,
        )
        if message.held_back is not None:
            fixed, flags = fixed + HELD_BACK.pack(*message.held_back), HAS_HELD_BACK
        if message.blocked:
            fixed, flags = fixed + BLOCKED.pack(message.blocked), flags | IS_BLOCKED
        flags |= IS_UNABLE * message.is_unable
        if message.kind is Kind.UPLOAD:
            sent, codec_id = message.sent, message.codec_id
            assert sent is not None  # of an upload
            payload, flags = memoryview(sent), flags | _coding_flag(message.coded)
    elif isinstance(message, Verdict):
        kind, index = Kind.VERDICT, message.round_index
        fixed = VERDICT.pack(message.outcome, message.epoch)
    elif isinstance(message, Plan):
        kind, index = Kind.PLAN, message.round_index
        fixed = PLAN.pack(
            message.version,
            message.model_crc,
            message.threshold,
            message.bytes_up,
            NEEDS_OFFER * message.needs_offer | ENDED * message.ended,
            message.n_frames,
        )
    else:
        kind, index, fixed = message.kind, message.version, b""
        payload, codec_id, flags = memoryview(message.sent), message.codec_id, _coding_flag(message.coded)
    header = HEADER.pack(
        MAGIC, VERSION, kind, codec_id, flags, link.run_crc, link.layout.crc, index, len(fixed) + len(payload)
    )
    crc = zlib.crc32(payload, zlib.crc32(fixed, zlib.crc32(header)))
    head = header + CRC.pack(crc) + fixed
    return [head, payload] if len(payload) else [head]


def size_of(buffers: Buffers) -> int:
    """Return the size of a frame in bytes."""
    return sum(len(buffer) for buffer in buffers)


def decode(buffer: Frame, link: Link, expected: Type[Expected]) -> Expected:
    """Read exactly one frame, with an expected type of message.

    Raises
    ------
    WireError
        400: not a frame, truncated, corrupted, or bytes left over.
    TooLarge
        413: a body larger than the layout can need.
    BadValues, CodecError
        422: another type of message, or an invalid field or payload.
    Conflict
        409: a frame of another run or another parameter layout.
    """
    message, end = decode_at(buffer, 0, link, expected)
    if end != len(buffer):
        raise WireError("%d bytes follow the frame, expected none" % (len(buffer) - end))
    return message


def decode_stream(buffer: Frame, link: Link) -> Tuple[Plan, List[ModelFrame]]:
    """Read a plan and the model frames that follow it; errors as in :func:`decode`."""
    plan, end = decode_at(buffer, 0, link, Plan)
    frames = []
    for _ in range(plan.n_frames):
        frame, end = decode_at(buffer, end, link, ModelFrame)
        frames.append(frame)
    if end != len(buffer):
        raise WireError("%d bytes follow the last frame, expected none" % (len(buffer) - end))
    return plan, frames


def check_version(what: str, version: Optional[int]) -> None:
    """Raise WireError if ``what`` has another wire version than this program; None = from before version 5."""
    if version != VERSION:
        found = "%d or an older one" % (FIRST_NAMED - 1) if version is None else "%d" % version
        raise WireError("%s has wire version %s, expected %d" % (what, found, VERSION), SAME_VERSION)


def decode_at(buffer: Frame, start: int, link: Link, expected: Type[Expected]) -> Tuple[Expected, int]:
    """Read the frame that begins at ``start``; return its message, of the expected type, and where it ends."""
    view = memoryview(buffer)[start:]
    if len(view) < PREFIX_SIZE:
        raise WireError("the frame is truncated: got %d bytes, expected at least %d" % (len(view), PREFIX_SIZE))
    magic, version, kind, codec_id, flags, run, layout, index, length = HEADER.unpack_from(view)
    if magic != MAGIC:
        raise WireError("this is not an FLQ frame: it begins with %r, expected %r" % (bytes(magic), MAGIC))
    check_version("the frame", version)
    if kind not in _FIXED_SIZES or flags & ~_FLAGS[kind] or flags & CODING == CODING:
        raise WireError(
            "the frame's kind is %d with flags %d, expected 1..%d with known flags" % (kind, flags, len(Kind))
        )
    n_fixed = _FIXED_SIZES[kind] + sum(part.size for flag, part in _PARTS.items() if flags & flag)
    limit = n_fixed + _max_payload(Kind(kind), codec_id, link.layout)
    if length > limit:
        raise TooLarge("the frame declares a body of %d bytes, expected at most %d" % (length, limit))
    body = view[PREFIX_SIZE : PREFIX_SIZE + length]
    if len(body) < length or length < n_fixed:
        raise WireError(
            "the frame is truncated: its body has %d bytes, expected %d" % (len(body), max(length, n_fixed))
        )
    (crc,) = CRC.unpack_from(view, HEADER.size)
    if crc != zlib.crc32(body, zlib.crc32(view[: HEADER.size])):
        raise WireError("the frame is corrupted: its CRC32 does not match", "send it again")
    if run != link.run_crc:
        raise Conflict("the frame belongs to another run", "register again")
    if layout != link.layout.crc:
        raise Conflict(
            "the frame has another parameter layout (CRC32 %08x), expected %08x" % (layout, link.layout.crc),
            "use the model and data set that the master names",
        )
    message = _message(Kind(kind), codec_id, flags, index, body[:n_fixed], body[n_fixed:], link.layout)
    if not isinstance(message, expected):
        raise BadValues("expected %s, got %s" % (_NAMES[expected], _NAMES[type(message)]))
    return message, start + PREFIX_SIZE + length


_NAMES: Dict[type, str] = {
    Answer: "a skip, an offer or an upload",
    Verdict: "a verdict",
    Plan: "a plan",
    ModelFrame: "a model frame",
}
_FIXED_SIZES = {
    Kind.SKIP: ANSWER.size,
    Kind.OFFER: ANSWER.size,
    Kind.UPLOAD: ANSWER.size,
    Kind.VERDICT: VERDICT.size,
    Kind.PLAN: PLAN.size,
    Kind.DELTA: 0,
    Kind.KEYFRAME: 0,
}
_PARTS = {HAS_HELD_BACK: HELD_BACK, IS_BLOCKED: BLOCKED}
_WITH_PAYLOAD = (Kind.UPLOAD, Kind.DELTA, Kind.KEYFRAME)
_FLAGS = {
    kind: (
        HAS_HELD_BACK * (kind in (Kind.SKIP, Kind.OFFER, Kind.UPLOAD))
        | CODING * (kind in _WITH_PAYLOAD)
        | (IS_BLOCKED | IS_UNABLE) * (kind is Kind.SKIP)
    )
    for kind in Kind
}


def _coding_flag(coded: Optional[Coded]) -> int:
    return 0 if coded is None else coded.coding << CODING_SHIFT


def _max_payload(kind: Kind, codec_id: int, layout: Layout) -> int:
    """Return the size of a kind's largest payload; raise BadValues if it cannot have the codec."""
    if kind not in _WITH_PAYLOAD:
        if codec_id != 0:
            raise BadValues("a %s has no payload, got codec %d" % (kind.name.lower(), codec_id))
        return 0
    if codec_id not in QUANTIZERS:
        raise BadValues("the codec must be one of %s, got %d" % (sorted(QUANTIZERS), codec_id))
    return QUANTIZERS[codec_id].payload_size(layout)


def _message(
    kind: Kind, codec_id: int, flags: int, index: int, body: memoryview, rest: memoryview, layout: Layout
) -> Message:
    """Build the message from its fixed part and the rest, whose CRC32 is right; check every field."""
    payload = coded = None
    if kind in _WITH_PAYLOAD:
        payload, codec = np.frombuffer(rest, np.uint8), QUANTIZERS[codec_id]
        if flags & CODING:
            coded = Coded((flags & CODING) >> CODING_SHIFT, payload)
            payload = uncode(coded, codec.payload_size(layout), codec.bits)
        codec.check(payload, layout)
    if kind is Kind.VERDICT:
        outcome, epoch = VERDICT.unpack(body)
        if outcome not in _OUTCOMES:
            raise BadValues("the outcome must be in 1..%d, got %d" % (len(Outcome), outcome))
        return Verdict(Outcome(outcome), index, epoch)
    if kind is Kind.PLAN:
        version, model_crc, threshold, bytes_up, flags, n_frames = PLAN.unpack(body)
        if not (math.isfinite(threshold) and threshold >= 0) or flags > NEEDS_OFFER | ENDED:
            raise BadValues(
                "the plan has threshold %r and flags %d, expected at least 0 and at most %d"
                % (threshold, flags, NEEDS_OFFER | ENDED)
            )
        return Plan(
            index, version, model_crc, threshold, bool(flags & NEEDS_OFFER), bool(flags & ENDED), n_frames, bytes_up
        )
    if kind in (Kind.DELTA, Kind.KEYFRAME):
        assert payload is not None  # of such a frame
        return ModelFrame(kind, index, codec_id, payload, coded)
    worker_id, epoch, seq, state_crc, cost_bits, loss, energy, training_s, waiting_s = ANSWER.unpack_from(body)
    if math.isinf(loss):
        raise BadValues("the loss is infinite, expected a finite one, or NaN for none")
    for name, value in (("energy", energy), ("training time", training_s), ("waiting time", waiting_s)):
        if not (math.isfinite(value) and value >= 0):
            raise BadValues("the %s must be finite and at least 0, got %r" % (name, value))
    if kind is Kind.UPLOAD and cost_bits != 8 * len(rest):
        raise BadValues("the upload declares %d payload bits, got %d" % (cost_bits, 8 * len(rest)))
    held_back = _held_back(body[ANSWER.size :]) if flags & HAS_HELD_BACK else None
    blocked = _blocked(body[-BLOCKED.size :]) if flags & IS_BLOCKED else 0
    return Answer(
        kind,
        worker_id,
        epoch,
        seq,
        index,
        loss,
        energy,
        cost_bits,
        state_crc,
        training_s,
        waiting_s,
        codec_id,
        payload,
        held_back,
        coded,
        blocked,
        bool(flags & IS_UNABLE),
    )


def _blocked(body: memoryview) -> int:
    (status,) = BLOCKED.unpack(body)
    if not HTTP_STATUSES[0] <= status <= HTTP_STATUSES[1]:
        raise BadValues(
            "the status with which an answer was blocked must be in %d..%d, got %d" % (HTTP_STATUSES + (status,))
        )
    return status


def _held_back(body: memoryview) -> HeldBack:
    held_back = HeldBack(*HELD_BACK.unpack_from(body))
    if not (math.isfinite(held_back.loss) and 0 <= held_back.accuracy <= 1 and held_back.n_samples >= 1):
        raise BadValues(
            "the held-out data have loss %r and accuracy %r on %d samples, expected a finite "
            "loss, an accuracy in 0..1 and at least 1 sample" % held_back
        )
    return held_back


_OUTCOMES = frozenset(int(outcome) for outcome in Outcome)
