"""Frames that are valid, nearly valid and not valid at all; and what must become of them.

Most damage is done to a field, after which the CRC32 is made right again: such a frame gets past the checksum, to the
checks behind it. Everything here is a function of the generator: a seed says which frames there were.
"""

import struct
import zlib

import numpy as np

from flq.core.params import Layout, Tensor
from flq.core.quantize import QUANTIZERS
from flq.core.quantize import decode as decoded
from flq.errors import FlqError
from flq.protocol.messages import Answer, HeldBack, Kind, ModelFrame, Outcome, Plan, Verdict
from flq.protocol.wire import (
    ANSWER,
    CRC,
    HEADER,
    HELD_BACK,
    PLAN,
    PREFIX_SIZE,
    VERDICT,
    decode,
    decode_stream,
    encode,
    link_of,
)

LAYOUTS = (
    Layout((Tensor("w", (3,)), Tensor("b", (1,)))),
    Layout((Tensor("scalar", ()),)),
    Layout((Tensor("kernel", (5, 3)), Tensor("bias", (3,)), Tensor("mean", (2,)), Tensor("variance", (2,))), 2),
)
LINKS = tuple(link_of("fuzzed%d" % number, layout) for number, layout in enumerate(LAYOUTS))

U8, U16, U32, U64, F32, F64 = "<B", "<H", "<I", "<Q", "<f", "<d"
# Where the fields stand; docs/wire.md.
HEADER_FIELDS = ((0, U32), (4, U8), (5, U8), (6, U8), (7, U8), (8, U32), (12, U32), (16, U32), (20, U64))
ANSWER_FIELDS = ((0, U32), (4, U32), (8, U32), (12, U32), (16, U64), (24, F64), (32, F64), (40, F32), (44, F32))
HELD_BACK_FIELDS = ((48, F32), (52, F32), (56, U32))
VERDICT_FIELDS = ((0, U8), (1, U32))
PLAN_FIELDS = ((0, U32), (4, U32), (8, F64), (16, U8), (17, U16))
WORKER, EPOCH, SEQ = ((PREFIX_SIZE + offset, U32) for offset in (0, 4, 8))
ROUND = 16, U32
INTEGERS = (0, 1, 2, 3, 4, 7, 8, 9, 32, 127, 128, 255)
FLOATS = (0.0, -0.0, 1.0, -1.0, float("nan"), float("inf"), -float("inf"), 5e-324, 1e-40, 3.4e38, 1.7e308, 0.5)


def valid_message(random, link):
    """Return a message that the sender may mean."""
    kind = random.choice(list(Kind))
    codec_id = random.choice(list(QUANTIZERS))
    number = random.randrange(2 ** 32)
    if kind is Kind.VERDICT:
        return Verdict(random.choice(list(Outcome)), number, random.randrange(9))
    if kind is Kind.PLAN:
        return Plan(number, random.randrange(9), random.randrange(2 ** 32), random.random(), random.random() < 0.5,
                    random.random() < 0.5, random.randrange(3))
    if kind in (Kind.DELTA, Kind.KEYFRAME):
        return ModelFrame(kind, number, codec_id, valid_payload(random, codec_id, link.layout))
    held_back = HeldBack(random.random(), random.randrange(5) / 4, random.randrange(1, 99)) if number % 2 else None
    answer = Answer(kind, random.randrange(6), random.randrange(4), random.randrange(9), random.randrange(9),
                    random.choice((random.random(), float("nan"))), random.random(), random.randrange(2 ** 40),
                    random.randrange(2 ** 32), held_back=held_back)
    if kind is not Kind.UPLOAD:
        return answer
    payload = valid_payload(random, codec_id, link.layout)
    return answer._replace(codec_id=codec_id, payload=payload, cost_bits=8 * payload.size)


class RawDraws:
    """What stochastic rounding draws from."""

    def __init__(self, random):
        self._random = random

    def random_raw(self, size):
        return np.array([self._random.getrandbits(64) for _ in range(size)], np.uint64)


def valid_payload(random, codec_id, layout):
    """Return the payload of some vector."""
    vector = np.array([random.gauss(0, 1) for _ in range(layout.n_params)], np.float32)
    return QUANTIZERS[codec_id].encode(vector, layout, RawDraws(random))


def made(message, link):
    """Return the frame of a message, in one piece that can be changed."""
    return bytearray().join(encode(message, link))


class Frames:
    """Makes frames; keeps some valid ones for each layout, of which most are made.

    Parameters
    ----------
    random : random.Random
    links : sequence of Link
    """

    N_KEPT = 100

    def __init__(self, random, links=LINKS):
        self._random, self._links = random, links
        self._kept = {link: [made(valid_message(random, link), link) for _ in range(self.N_KEPT)] for link in links}

    def valid(self, link):
        """Return a valid frame."""
        place = self._random.randrange(self.N_KEPT)
        if self._random.random() < 0.02:
            self._kept[link][place] = made(valid_message(self._random, link), link)
        return bytearray(self._kept[link][place])

    def damaged(self, link, frame):
        """Do something to a frame; return it, mostly with a right CRC, and often with a right length."""
        random = self._random
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            random.choice(DAMAGE)(random, frame, self._kept[link][random.randrange(self.N_KEPT)])
        if random.random() < 0.6:
            fix_length(random, frame)
        return seal(frame) if random.random() < 0.9 else frame

    def stream(self, link):
        """Return a plan and frames behind it, as many as it says or not."""
        random = self._random
        frames = [self.valid(link) for _ in range(random.randrange(4))]
        if random.random() < 0.8:
            count = random.choice((len(frames), len(frames), 0, 65535))
            frames.insert(0, made(Plan(1, 2, 3, 0.5, False, False, count), link))
        return bytearray().join(self.damaged(link, frame) if random.random() < 0.2 else frame for frame in frames)

    def fuzzed(self):
        """Return a link, bytes and whether they are a stream; one in ten is as it should be."""
        link = self._random.choice(self._links)
        if self._random.random() < 0.15:
            return link, self.stream(link), True
        frame = self.valid(link)
        return link, frame if self._random.random() < 0.1 else self.damaged(link, frame), False


def seal(frame):
    """Make the CRC32 of a frame right, in place; return the frame."""
    if len(frame) >= PREFIX_SIZE:
        CRC.pack_into(frame, HEADER.size, zlib.crc32(frame[PREFIX_SIZE:], zlib.crc32(frame[:HEADER.size])))
    return frame


def put(frame, place, value):
    """Write a field, if the frame is long enough to have it."""
    offset, form = place
    if offset + struct.calcsize(form) <= len(frame):
        struct.pack_into(form, frame, offset, value)


def any_value(random, form):
    """Return a value of a field, rather one at which something changes."""
    if form in (F32, F64):
        value = random.choice(FLOATS) if random.random() < 0.8 else random.uniform(-1e9, 1e9)
        return value if form == F64 or abs(value) < 3.5e38 or value != value else float("inf")
    top = 256 ** struct.calcsize(form) - 1
    draw = random.random()
    if draw < 0.6:
        return min(random.choice(INTEGERS), top)
    return top - random.choice(INTEGERS) if draw < 0.8 else random.randrange(top + 1)


# -- damage ----------------------------------------------------------------------------------

def fix_length(random, frame, other=None):
    if len(frame) >= PREFIX_SIZE:
        put(frame, HEADER_FIELDS[-1], len(frame) - PREFIX_SIZE)


def change_header(random, frame, other):
    offset, form = random.choice(HEADER_FIELDS)
    put(frame, (offset, form), any_value(random, form))


def change_kind(random, frame, other):
    put(frame, (5, U8), random.randrange(9))
    put(frame, (6, U8), random.choice((0, 0) + tuple(QUANTIZERS)))
    put(frame, (7, U8), random.choice((0, 0, 1, 2)))


def change_body(random, frame, other):
    fields = {Kind.VERDICT: VERDICT_FIELDS, Kind.PLAN: PLAN_FIELDS, Kind.DELTA: (), Kind.KEYFRAME: ()}.get(
        frame[5] if len(frame) > 5 else 0, ANSWER_FIELDS + HELD_BACK_FIELDS)
    for offset, form in random.sample(fields, min(len(fields), random.randrange(1, 3))):
        put(frame, (PREFIX_SIZE + offset, form), any_value(random, form))


def change_payload(random, frame, other):
    """Write a scale, or a byte of codes, near the end of the frame."""
    if len(frame) <= PREFIX_SIZE:
        return
    if random.random() < 0.5:
        start = payload_start(frame)
        put(frame, (start + 4 * random.randrange(4), F32), any_value(random, F32))
    else:
        frame[random.randrange(PREFIX_SIZE, len(frame))] = random.choice((0, 255, 127, 128, random.randrange(256)))


def payload_start(frame):
    """Return where the payload of a frame begins, if it has one."""
    fixed = {Kind.VERDICT: VERDICT.size, Kind.PLAN: PLAN.size, Kind.DELTA: 0, Kind.KEYFRAME: 0}.get(
        frame[5], ANSWER.size + (HELD_BACK.size if frame[7] else 0))
    return PREFIX_SIZE + fixed


def truncate(random, frame, other):
    del frame[random.randrange(len(frame) + 1):]


def extend(random, frame, other):
    frame += bytes(random.randrange(256) for _ in range(random.randrange(1, 30)))


def splice(random, frame, other):
    """Put the end of another frame in the place of this one's."""
    frame[random.randrange(len(frame) + 1):] = other[random.randrange(PREFIX_SIZE):]


def append(random, frame, other):
    frame += other


def remove(random, frame, other):
    start = random.randrange(len(frame) + 1)
    del frame[start:start + random.randrange(1, 9)]


def flip(random, frame, other):
    for _ in range(random.randrange(1, 9)):
        if frame:
            frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)


DAMAGE = (fix_length, change_header, change_kind, change_body, change_body, change_payload, change_payload, truncate,
          extend, splice, remove, flip, append)


# -- what becomes of it ----------------------------------------------------------------------

def judge(data, link, is_stream=False):
    """Decode; return what it was: the name of a message, or of the error that refuses it.

    Whatever is not refused with a 4xx must be a message that encodes to the same bytes, and whose values are finite.
    """
    try:
        messages = flat(decode_stream(data, link)) if is_stream else [decode(data, link)]
    except FlqError as error:
        assert 400 <= error.status_hint < 500, error
        assert error.detail and len(error.detail) < 400 and "\n" not in error.detail, error
        return type(error).__name__
    again = b"".join(bytes(buffer) for message in messages for buffer in encode(message, link))
    assert again == bytes(data), (again.hex(), bytes(data).hex())
    for message in messages:
        payload = getattr(message, "payload", None)
        if payload is not None:
            assert np.isfinite(decoded(QUANTIZERS[message.codec_id], payload, link.layout)).all()
    return "stream" if is_stream else type(messages[0]).__name__


def flat(plan_and_frames):
    """Return a plan and its frames as one list."""
    return [plan_and_frames[0]] + plan_and_frames[1]
