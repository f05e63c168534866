"""Damage to the fields of a frame, in place, from a given generator."""

import struct
import zlib

from flq.core.codecs import QUANTIZERS
from flq.protocol.messages import Kind
from flq.protocol.wire import ANSWER, CRC, HEADER, HELD_BACK, PLAN, PREFIX_SIZE, VERDICT

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


def seal(frame):
    """Correct the CRC32 of a frame in place; return the frame."""
    if len(frame) >= PREFIX_SIZE:
        CRC.pack_into(frame, HEADER.size, zlib.crc32(frame[PREFIX_SIZE:], zlib.crc32(frame[: HEADER.size])))
    return frame


def put(frame, place, value):
    """Write a field, if the frame is long enough."""
    offset, form = place
    if offset + struct.calcsize(form) <= len(frame):
        struct.pack_into(form, frame, offset, value)


def any_value(random, form):
    """Return a value for a field, preferably a boundary."""
    if form in (F32, F64):
        value = random.choice(FLOATS) if random.random() < 0.8 else random.uniform(-1e9, 1e9)
        return value if form == F64 or abs(value) < 3.5e38 or value != value else float("inf")
    top = 256 ** struct.calcsize(form) - 1
    draw = random.random()
    if draw < 0.6:
        return min(random.choice(INTEGERS), top)
    return top - random.choice(INTEGERS) if draw < 0.8 else random.randrange(top + 1)


def fix_length(random, frame, other=None):
    if len(frame) >= PREFIX_SIZE:
        put(frame, HEADER_FIELDS[-1], len(frame) - PREFIX_SIZE)


def change_header(random, frame, other):
    offset, form = random.choice(HEADER_FIELDS)
    put(frame, (offset, form), any_value(random, form))


def change_kind(random, frame, other):
    put(frame, (5, U8), random.randrange(9))
    put(frame, (6, U8), random.choice((0, 0) + tuple(QUANTIZERS)))
    put(frame, (7, U8), random.choice((0, 0, 1, 2, 3, 4, 6, 8)))


def change_body(random, frame, other):
    fields = {Kind.VERDICT: VERDICT_FIELDS, Kind.PLAN: PLAN_FIELDS, Kind.DELTA: (), Kind.KEYFRAME: ()}.get(
        frame[5] if len(frame) > 5 else 0, ANSWER_FIELDS + HELD_BACK_FIELDS
    )
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
        frame[5], ANSWER.size + (HELD_BACK.size if frame[7] & 1 else 0)
    )
    return PREFIX_SIZE + fixed


def truncate(random, frame, other):
    del frame[random.randrange(len(frame) + 1) :]


def extend(random, frame, other):
    frame += bytes(random.randrange(256) for _ in range(random.randrange(1, 30)))


def splice(random, frame, other):
    """Replace the end of this frame by that of another one."""
    frame[random.randrange(len(frame) + 1) :] = other[random.randrange(PREFIX_SIZE) :]


def append(random, frame, other):
    frame += other


def remove(random, frame, other):
    start = random.randrange(len(frame) + 1)
    del frame[start : start + random.randrange(1, 9)]


def flip(random, frame, other):
    for _ in range(random.randrange(1, 9)):
        if frame:
            frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)


DAMAGE = (
    fix_length,
    change_header,
    change_kind,
    change_body,
    change_body,
    change_payload,
    change_payload,
    truncate,
    extend,
    splice,
    remove,
    flip,
    append,
)
