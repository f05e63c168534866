"""The binary format: golden bytes both ways, and no input of a peer is misread."""

import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flq.core.codecs import LOWRANK, QUANTIZERS
from flq.core.codecs.lossless import ZLIB, ZSTD, Coded
from flq.core.held_back import HeldBack
from flq.core.layout import Layout, Tensor
from flq.core.rng import ROUNDING, stream
from flq.errors import BadValues, CodecError, Conflict, FlqError, TooLarge, WireError
from flq.protocol.messages import Answer, Kind, ModelFrame, Outcome, Plan, Verdict
from flq.protocol.wire import (
    HEADER,
    PREFIX_SIZE,
    VERSION,
    Link,
    decode,
    decode_stream,
    encode,
    link_of,
    max_answer_size,
    size_of,
)

LAYOUT = Layout((Tensor("w", (3,)), Tensor("b", (1,))))
LINK = link_of("20260101_000000_abcd", LAYOUT)
VECTOR = np.array([1, -2, 0.5, 3], np.float32)
NAN = float("nan")
WIRE_MD = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "wire.md")


def payload(bits):
    return QUANTIZERS[bits].encode(VECTOR, LAYOUT, stream(1, ROUNDING), limit=40)


def joined(message, link=LINK):
    return b"".join(bytes(buffer) for buffer in encode(message, link))


def fields(message):
    """Return a message as comparable values: payloads as bytes, NaN as a word."""
    plain = [
        value.tobytes()
        if isinstance(value, np.ndarray)
        else (value.coding, value.data.tobytes())
        if isinstance(value, Coded)
        else "NaN"
        if value != value
        else value
        for value in message
    ]
    return type(message), plain


def hexadecimal(text):
    return np.array(bytearray.fromhex(text.replace(" ", "")), np.uint8)


ZERO = {bits: QUANTIZERS[bits].encode(np.zeros(4, np.float32), LAYOUT) for bits in (4, 32)}
UPLOAD = Answer(Kind.UPLOAD, 2, 1, 5, 7, 0.75, 14.25, 88, 0xDEADBEEF, 1.5, 0.25, 4, payload(4))

GOLDEN = [
    (
        Answer(Kind.SKIP, 2, 1, 5, 7, NAN, 0.0),
        "464c5166 06 01 00 00 cff07b68 5e18f5be 07000000 3000000000000000 3f223fc3"
        "02000000 01000000 05000000 00000000 0000000000000000 000000000000f87f 0000000000000000 00000000 00000000",
    ),
    (
        Answer(Kind.OFFER, 2, 1, 5, 7, 0.75, 14.25, 88, 0, 1.5, 0.25),
        "464c5166 06 02 00 00 cff07b68 5e18f5be 07000000 3000000000000000 76fea0ba"
        "02000000 01000000 05000000 00000000 5800000000000000 000000000000e83f 0000000000802c40 0000c03f 0000803e",
    ),
    (
        UPLOAD,
        "464c5166 06 03 04 00 cff07b68 5e18f5be 07000000 3b00000000000000 b1222b19"
        "02000000 01000000 05000000 efbeadde 5800000000000000 000000000000e83f 0000000000802c40 0000c03f 0000803e"
        "00000040 00004040 0b09 0e",
    ),
    (
        Verdict(Outcome.APPLIED, 7, 1),
        "464c5166 06 04 00 00 cff07b68 5e18f5be 07000000 0500000000000000 19aadd23 05 01000000",
    ),
    (
        Plan(7, 6, 0xDEADBEEF, 0.5, True, False, 1),
        "464c5166 06 05 00 00 cff07b68 5e18f5be 07000000 1700000000000000 f4d24fc4"
        "06000000 efbeadde 000000000000e03f 00000000 01 0100",
    ),
    (
        ModelFrame(Kind.DELTA, 6, 4, payload(4)),
        "464c5166 06 06 04 00 cff07b68 5e18f5be 06000000 0b00000000000000 928db992 00000040 00004040 0b09 0e",
    ),
    (
        ModelFrame(Kind.KEYFRAME, 6, 32, payload(32)),
        "464c5166 06 07 20 00 cff07b68 5e18f5be 06000000 1000000000000000 d5644e1a0000803f 000000c0 0000003f 00004040",
    ),
    (
        ModelFrame(Kind.DELTA, 6, 4, ZERO[4], Coded(ZLIB, hexadecimal("63808272767600"))),
        "464c5166 06 06 04 02 cff07b68 5e18f5be 06000000 0700000000000000 2b42f9a1 63808272767600",
    ),
    (
        ModelFrame(Kind.KEYFRAME, 6, 32, ZERO[32], Coded(ZSTD, hexadecimal("28b52ffd 20 10 830000 00"))),
        "464c5166 06 07 20 04 cff07b68 5e18f5be 06000000 0a00000000000000 d59ce51b 28b52ffd 20 10 830000 00",
    ),
]
kinds = pytest.mark.parametrize(
    "message, frame",
    [(message, bytes(bytearray.fromhex(text.replace(" ", "")))) for message, text in GOLDEN],
    ids=[message.kind.name if hasattr(message, "kind") else type(message).__name__ for message, _ in GOLDEN],
)


# -- golden bytes ----------------------------------------------------------------------------


@kinds
def test_messages_encode_to_the_golden_bytes(message, frame):
    assert joined(message) == frame
    assert size_of(encode(message, LINK)) == len(frame)


@kinds
def test_golden_bytes_decode_to_the_messages(message, frame):
    for buffer in (frame, bytearray(frame), memoryview(frame)):
        assert fields(decode(buffer, LINK, object)) == fields(message)


def test_the_example_in_the_documentation_is_the_golden_upload():
    with open(WIRE_MD) as file:
        block = file.read().split("<!-- golden upload -->")[1].split("```")[1]
    hex_digits = "".join(line.split("|")[0].strip() for line in block.splitlines()[1:])  # hex | meaning
    assert hex_digits.replace(" ", "") == joined(UPLOAD).hex()


def test_held_out_results_are_between_the_answer_and_its_payload():
    plain, flagged = joined(UPLOAD), joined(UPLOAD._replace(held_back=HeldBack(0.5, 0.25, 7)))
    assert flagged[7] == 1 and plain[7] == 0
    assert flagged[PREFIX_SIZE:] == (plain[PREFIX_SIZE:-11] + struct.pack("<ffI", 0.5, 0.25, 7) + plain[-11:])


def test_the_status_that_blocked_an_update_is_the_last_field_of_a_skip():
    skip = UPLOAD.without_payload(Kind.SKIP)._replace(held_back=HeldBack(0.5, 0.25, 7))
    plain, flagged = joined(skip), joined(skip._replace(blocked=413))
    assert (flagged[7], plain[7]) == (9, 1)
    assert flagged[PREFIX_SIZE:] == plain[PREFIX_SIZE:] + struct.pack("<H", 413)


def test_a_skip_of_a_device_that_cannot_train_has_a_flag_and_no_more_bytes():
    skip = UPLOAD.without_payload(Kind.SKIP)
    plain, flagged = joined(skip), joined(skip._replace(is_unable=True))
    assert (flagged[7], plain[7]) == (16, 0) and flagged[PREFIX_SIZE:] == plain[PREFIX_SIZE:]


@pytest.mark.parametrize("status", [0, 99, 600, 65535])
def test_an_invalid_http_status_is_rejected(status):
    answer = joined(UPLOAD.without_payload(Kind.SKIP))[PREFIX_SIZE:]
    error = refused(framed(Kind.SKIP, 0, answer + struct.pack("<H", status), flags=8))
    assert type(error) is BadValues and "must be in 100..599, got %d" % status in error.detail


@pytest.mark.parametrize("flag", [8, 16])
@pytest.mark.parametrize("kind", [Kind.OFFER, Kind.UPLOAD, Kind.VERDICT, Kind.PLAN, Kind.DELTA])
def test_only_a_skip_is_blocked_or_of_a_device_that_cannot_train(kind, flag):
    assert type(refused(framed(kind, 4 if kind in (Kind.UPLOAD, Kind.DELTA) else 0, b"", flags=flag))) is WireError


def test_numbers_of_kinds_and_outcomes_are_fixed():
    assert [(kind.name, int(kind)) for kind in Kind] == [
        ("SKIP", 1),
        ("OFFER", 2),
        ("UPLOAD", 3),
        ("VERDICT", 4),
        ("PLAN", 5),
        ("DELTA", 6),
        ("KEYFRAME", 7),
    ]
    assert [(outcome.name, int(outcome)) for outcome in Outcome] == [
        ("NOTED", 1),
        ("WAIT", 2),
        ("GRANTED", 3),
        ("REFUSED", 4),
        ("APPLIED", 5),
        ("LATE", 6),
        ("RESYNC", 7),
        ("END", 8),
    ]


def test_a_link_is_the_crc_of_the_run_id_and_the_layout():
    assert LINK == Link(zlib.crc32(b"20260101_000000_abcd"), LAYOUT)


def test_payloads_are_not_copied():
    message = ModelFrame(Kind.DELTA, 6, 4, payload(4))
    buffers = encode(message, LINK)
    assert np.shares_memory(np.frombuffer(buffers[1], np.uint8), message.payload)
    frame = joined(message)
    assert np.shares_memory(decode(frame, LINK, object).payload, np.frombuffer(frame, np.uint8))


@pytest.mark.parametrize("bits", sorted(set(QUANTIZERS) - {LOWRANK}))  # whose payloads have the requested length
def test_the_largest_answer_is_an_upload(bits):
    upload = UPLOAD._replace(
        codec_id=bits, payload=payload(bits), cost_bits=8 * payload(bits).size, held_back=HeldBack(0.5, 0.25, 7)
    )
    assert len(joined(upload)) == max_answer_size(LAYOUT, bits)
    assert len(joined(UPLOAD._replace(kind=Kind.SKIP, payload=None))) < max_answer_size(LAYOUT, bits)


# -- identity --------------------------------------------------------------------------------

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
positive = st.floats(0, 1e300)
seconds = st.floats(0, 2.0**100, width=32)


@given(
    kind=st.sampled_from([Kind.SKIP, Kind.OFFER, Kind.UPLOAD]),
    numbers=st.tuples(u32, u32, u32, u32),
    loss=st.one_of(st.just(NAN), st.floats(-1e300, 1e300)),
    energy=positive,
    cost_bits=u64,
    state_crc=u32,
    training_s=seconds,
    waiting_s=seconds,
    bits=st.sampled_from(sorted(QUANTIZERS)),
    held_back=st.one_of(
        st.none(),
        st.builds(
            HeldBack, st.floats(-(2.0**99), 2.0**99, width=32), st.floats(0, 1, width=32), st.integers(1, 2**32 - 1)
        ),
    ),
    blocked=st.sampled_from([0, 100, 413, 599]),
    is_unable=st.booleans(),
)
def test_answers_survive_the_wire(
    kind, numbers, loss, energy, cost_bits, state_crc, training_s, waiting_s, bits, held_back, blocked, is_unable
):
    message = Answer(
        kind,
        *(numbers + (loss, energy, cost_bits, state_crc, training_s, waiting_s)),
        held_back=held_back,
        blocked=blocked if kind is Kind.SKIP else 0,
        is_unable=is_unable and kind is Kind.SKIP,
    )
    if kind is Kind.UPLOAD:
        message = message._replace(codec_id=bits, payload=payload(bits), cost_bits=8 * payload(bits).size)
    assert fields(decode(joined(message), LINK, object)) == fields(message)


@given(outcome=st.sampled_from(list(Outcome)), round_index=u32, epoch=u32)
def test_verdicts_survive_the_wire(outcome, round_index, epoch):
    message = Verdict(outcome, round_index, epoch)
    assert decode(joined(message), LINK, object) == message


@given(
    numbers=st.tuples(u32, u32, u32),
    threshold=positive,
    needs_offer=st.booleans(),
    ended=st.booleans(),
    n_frames=st.integers(0, 65535),
    bytes_up=u32,
)
def test_plans_survive_the_wire(numbers, threshold, needs_offer, ended, n_frames, bytes_up):
    message = Plan(*(numbers + (threshold, needs_offer, ended, n_frames, bytes_up)))
    assert decode(joined(message), LINK, object) == message


@pytest.mark.parametrize("kind", [Kind.DELTA, Kind.KEYFRAME])
@pytest.mark.parametrize("bits", sorted(QUANTIZERS))
def test_model_frames_survive_the_wire(kind, bits):
    message = ModelFrame(kind, 2**32 - 1, bits, payload(bits))
    assert fields(decode(joined(message), LINK, object)) == fields(message)


# -- damage ----------------------------------------------------------------------------------


def refused(frame, link=LINK):
    """Decode invalid bytes; return the error, which must blame the peer."""
    with pytest.raises(FlqError) as caught:
        decode(frame, link, object)
    assert isinstance(caught.value, (WireError, CodecError, Conflict))
    assert 400 <= caught.value.status_hint < 500
    return caught.value


@kinds
def test_every_truncation_is_refused(message, frame):
    for size in range(len(frame)):
        assert type(refused(frame[:size])) is WireError


@kinds
def test_every_flipped_bit_is_refused(message, frame):
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(damaged)


@kinds
def test_bytes_after_the_frame_are_refused(message, frame):
    assert "follow the frame" in str(refused(frame + b"\0"))


@given(raw=st.binary(max_size=200))
def test_random_bytes_are_refused(raw):
    refused(raw)
    with pytest.raises(WireError):
        decode_stream(raw, LINK)


def framed(kind, codec_id, body, index=7, link=LINK, length=None, version=VERSION, flags=0):
    """Return a frame with any content and a correct CRC."""
    header = HEADER.pack(
        b"FLQf",
        version,
        kind,
        codec_id,
        flags,
        link.run_crc,
        link.layout.crc,
        index,
        len(body) if length is None else length,
    )
    return header + struct.pack("<I", zlib.crc32(body, zlib.crc32(header))) + body


@settings(max_examples=300)
@given(
    kind=st.integers(0, 9),
    codec_id=st.sampled_from([0, 1, 2, 4, 8, 9, 10, 32]),
    flags=st.integers(0, 16),
    body=st.binary(max_size=90),
)
def test_random_bodies_with_a_right_crc_decode_to_valid_messages_or_are_refused(kind, codec_id, flags, body):
    frame = framed(kind, codec_id, body, flags=flags)
    try:
        message = decode(frame, LINK, object)
    except FlqError as error:
        assert 400 <= error.status_hint < 500
    else:
        assert fields(decode(joined(message), LINK, object)) == fields(message)


@pytest.mark.parametrize("kind, codec_id", [(kind, 4 if kind in (3, 6, 7) else 0) for kind in range(1, 8)])
@pytest.mark.parametrize("length", [2**16, 2**40, 2**64 - 1])
def test_a_declared_body_beyond_the_limit_is_too_large_before_anything_is_allocated(kind, codec_id, length):
    error = refused(framed(kind, codec_id, b"", length=length))
    assert type(error) is TooLarge and error.status_hint == 413


@pytest.mark.parametrize("kind, codec_id, limit", [(3, 4, 48 + 11), (3, 32, 48 + 16), (6, 1, 8 + 2), (4, 0, 5)])
def test_the_limit_follows_from_the_layout(kind, codec_id, limit):
    assert type(refused(framed(kind, codec_id, bytes(limit + 1)))) is TooLarge
    assert type(refused(framed(kind, codec_id, b"", length=limit))) is WireError  # allowed, but not there


@kinds
def test_frames_of_another_run_conflict(message, frame):
    assert type(refused(frame, link_of("another", LAYOUT))) is Conflict


@kinds
def test_frames_of_another_layout_conflict(message, frame):
    other = Layout((Tensor("v", (3,)), Tensor("b", (1,))))  # of the same sizes
    assert type(refused(frame, LINK._replace(layout=other))) is Conflict


@pytest.mark.parametrize(
    "change, text",
    [
        (dict(version=VERSION - 1), "wire version 5, expected 6"),
        (dict(flags=1), "flags 1"),
        (dict(flags=2), "flags 2"),
        (dict(kind=2, flags=4), "flags 4"),
        (dict(kind=3, flags=8), "flags 8"),
        (dict(kind=6, flags=6), "flags 6"),
        (dict(kind=6, flags=1), "flags 1"),
        (dict(kind=7, flags=255), "flags 255"),
        (dict(kind=0), "kind is 0"),
        (dict(kind=8), "kind is 8"),
    ],
)
def test_invalid_header_fields_are_malformed(change, text):
    values = dict(dict(kind=4, codec_id=0, body=struct.pack("<BI", 1, 1)), **change)
    error = refused(framed(**values))
    assert type(error) is WireError and text in str(error)


def answer_body(**changes):
    return joined(UPLOAD._replace(**changes))[PREFIX_SIZE:]


HELD = (1, 1)  # a skip, flagged


def held_body(**changes):
    held_back = HeldBack(0.5, 0.25, 7)._replace(**changes)
    return joined(UPLOAD._replace(kind=Kind.SKIP, codec_id=0, payload=None, held_back=held_back))[PREFIX_SIZE:]


@pytest.mark.parametrize(
    "kind, codec_id, body, text",
    [
        (4, 1, struct.pack("<BI", 1, 1), "has no payload, got codec 1"),
        (3, 0, answer_body(), "codec must be one of"),
        (6, 255, bytes(11), "codec must be one of"),
        (4, 0, struct.pack("<BI", 0, 1), "outcome must be in 1..8, got 0"),
        (4, 0, struct.pack("<BI", 9, 1), "outcome must be in 1..8, got 9"),
        (5, 0, struct.pack("<IIdIBH", 6, 0, NAN, 0, 0, 0), "threshold nan"),
        (5, 0, struct.pack("<IIdIBH", 6, 0, float("inf"), 0, 0, 0), "threshold inf"),
        (5, 0, struct.pack("<IIdIBH", 6, 0, -1.0, 0, 0, 0), "threshold -1.0"),
        (5, 0, struct.pack("<IIdIBH", 6, 0, 1.0, 0, 4, 0), "flags 4"),
        (3, 4, answer_body(loss=float("inf")), "loss is infinite"),
        (3, 4, answer_body(loss=-float("inf")), "loss is infinite"),
        (3, 4, answer_body(energy=NAN), "energy must be finite"),
        (3, 4, answer_body(energy=-1.0), "energy must be finite and at least 0"),
        (3, 4, answer_body(energy=float("inf")), "energy must be finite"),
        (3, 4, answer_body(training_s=NAN), "training time must be finite"),
        (3, 4, answer_body(training_s=-1.0), "training time must be finite"),
        (3, 4, answer_body(waiting_s=float("inf")), "waiting time must be finite"),
        (HELD, 0, held_body(loss=NAN), "loss nan"),
        (HELD, 0, held_body(accuracy=1.5), "accuracy 1.5"),
        (HELD, 0, held_body(accuracy=-0.5), "accuracy -0.5"),
        (HELD, 0, held_body(n_samples=0), "on 0 samples"),
        (3, 4, answer_body(cost_bits=87), "declares 87 payload bits, got 88"),
    ],
)
def test_meaningless_values_are_rejected(kind, codec_id, body, text):
    kind, flags = kind if isinstance(kind, tuple) else (kind, 0)
    error = refused(framed(kind, codec_id, body, flags=flags))
    assert type(error) is BadValues and error.status_hint == 422 and text in str(error)


@pytest.mark.parametrize("kind, head", [(3, joined(UPLOAD)[PREFIX_SIZE:-11]), (6, b""), (7, b"")])
@pytest.mark.parametrize(
    "values",
    [
        struct.pack("<ff", NAN, 1) + b"\x0b\x09\x0e",
        struct.pack("<ff", 1, -1) + b"\x0b\x09\x0e",
        struct.pack("<ff", 1, 1) + b"\x0f\x09\x0e",  # 15 is not in use
        struct.pack("<ff", 1, 1) + b"\x0b\x19\x0e",  # padding
        struct.pack("<ff", 1, 1) + b"\x0b\x09",  # too short
    ],
)
def test_payloads_are_checked_when_a_frame_is_decoded(kind, head, values):
    error = refused(framed(kind, 4, head + values))
    assert type(error) is CodecError and error.status_hint == 422


# -- coded payloads --------------------------------------------------------------------------


def test_an_upload_is_sent_coded_and_its_cost_is_the_coded_size():
    coded = Coded(ZLIB, hexadecimal("63808272767600"))
    sent = UPLOAD._replace(payload=None, coded=coded, cost_bits=8 * 7, held_back=HeldBack(0.5, 0.25, 7))
    frame = joined(sent)
    assert frame[7] == 3 and len(frame) == PREFIX_SIZE + 60 + 7
    assert fields(decode(frame, LINK, object)) == fields(sent._replace(payload=ZERO[4]))
    error = refused(joined(sent._replace(cost_bits=88)))
    assert type(error) is BadValues and "declares 88 payload bits, got 56" in str(error)


def test_an_answer_without_its_payload_is_not_coded_either():
    sent = UPLOAD._replace(payload=None, coded=Coded(ZLIB, hexadecimal("63808272767600")), cost_bits=56)
    offer = decode(joined(sent.without_payload(Kind.OFFER)), LINK, object)
    assert (offer.kind, offer.cost_bits, offer.coded, offer.payload) == (Kind.OFFER, 56, None, None)


@pytest.mark.parametrize(
    "flags, codec_id, data, error",
    [
        (2, 4, "", CodecError),
        (2, 4, "638082727676", CodecError),  # cut off
        (2, 4, "6380827276760000", CodecError),  # a byte more
        (2, 4, "6380c20100", CodecError),  # too little is coded
        (2, 4, "ffffff", CodecError),
        (4, 4, "63808272767600", CodecError),
        (4, 32, "28b52ffd 20 11 8b0000 00", CodecError),  # 17 bytes are coded
        (4, 32, "28b52ffd 20 10 830000", CodecError),
        (4, 32, "28b52ffd 20 10 830000 00 00", CodecError),
        (4, 32, "28b52ffd 20 10 8b0000 00", CodecError),  # more than it says of itself
        (4, 32, "28b52ffd 00 58 830000 00", CodecError),  # it does not say how much
        (4, 32, "28b52ffd 20 10 830000 ff", CodecError),  # NaN
        (2, 4, "63808272767600 0000000000", TooLarge),  # longer than the uncoded payload
    ],
)
def test_a_coded_payload_that_is_not_exactly_one_is_refused(flags, codec_id, data, error):
    assert type(refused(framed(6, codec_id, hexadecimal(data).tobytes(), flags=flags))) is error


# -- streams ---------------------------------------------------------------------------------

PLAN = Plan(7, 6, 1, 0.5, False, False, 2)
FRAMES = [ModelFrame(Kind.DELTA, 5, 4, payload(4)), ModelFrame(Kind.DELTA, 6, 1, payload(1))]


def test_a_plan_is_followed_by_its_frames():
    plan, frames = decode_stream(joined(PLAN) + joined(FRAMES[0]) + joined(FRAMES[1]), LINK)
    assert plan == PLAN
    assert [fields(frame) for frame in frames] == [fields(frame) for frame in FRAMES]
    assert decode_stream(joined(PLAN._replace(n_frames=0)), LINK) == (PLAN._replace(n_frames=0), [])


@pytest.mark.parametrize(
    "stream, text",
    [
        (joined(PLAN) + joined(FRAMES[0]), "truncated"),
        (joined(PLAN) + joined(FRAMES[0]) + joined(FRAMES[1]) + b"\0", "follow the last frame"),
        (joined(PLAN) + 3 * joined(FRAMES[0]), "follow the last frame"),
        (joined(FRAMES[0]), "expected a plan, got a model frame"),
        (
            joined(PLAN) + joined(Verdict(Outcome.END, 1, 1)) + joined(FRAMES[0]),
            "expected a model frame, got a verdict",
        ),
        (b"", "truncated"),
    ],
)
def test_streams_that_are_not_a_plan_and_its_frames_are_refused(stream, text):
    with pytest.raises(WireError, match=text):
        decode_stream(stream, LINK)


def test_every_flipped_bit_of_a_stream_is_refused():
    stream = joined(PLAN) + joined(FRAMES[0]) + joined(FRAMES[1])
    for bit in range(8 * len(stream)):
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FlqError) as caught:
            decode_stream(damaged, LINK)
        assert 400 <= caught.value.status_hint < 500
