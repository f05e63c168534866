"""The names of streams, and their remaining bytes."""

import numpy as np
import pytest

from flq.core.codecs import FLOAT32
from flq.core.layout import Layout, Tensor
from flq.protocol.messages import Kind, ModelFrame, Plan
from flq.protocol.resumable import PartialReply, n_received, name_of, without
from flq.protocol.wire import Link, encode, size_of

LAYOUT = Layout((Tensor("w", (9,)),))
PAYLOADS = [np.arange(36, dtype=np.uint8), np.arange(36, 72, dtype=np.uint8)]
PLAN = Plan(3, 5, 77, 0.25, False, False, 2, 9)


def stream_of(payloads, plan=PLAN, link=Link(1, LAYOUT)):  # noqa: B008
    frames = [ModelFrame(Kind.DELTA, 4 + i, FLOAT32, payload) for i, payload in enumerate(payloads)]
    return [buffer for message in [plan] + frames for buffer in encode(message, link)]


def test_another_payload_byte_makes_another_name():
    names = {name_of(stream_of(PAYLOADS))}
    for which, at, bit in np.ndindex(2, 36, 8):
        changed = [payload.copy() for payload in PAYLOADS]
        changed[which][at] ^= 1 << bit
        names.add(name_of(stream_of(changed)))
    assert len(names) == 1 + 2 * 36 * 8


@pytest.mark.parametrize(
    "other",
    [
        stream_of(PAYLOADS, PLAN._replace(threshold=0.5)),
        stream_of(PAYLOADS, PLAN._replace(round_index=4)),
        stream_of(PAYLOADS[::-1]),
        stream_of(PAYLOADS[:1]),
        stream_of(PAYLOADS, link=Link(2, LAYOUT)),
        stream_of([PAYLOADS[0], PAYLOADS[1][:32]]),
    ],
    ids=["plan", "round", "order", "fewer", "run", "length"],
)
def test_another_plan_run_or_number_of_frames_makes_another_name(other):
    assert name_of(other) != name_of(stream_of(PAYLOADS)) == name_of(stream_of(PAYLOADS))


def test_a_payload_that_looks_like_a_frame_is_passed_over():
    frame = b"".join(bytes(buffer) for buffer in stream_of([]))
    stream = stream_of([np.frombuffer(frame + bytes(5), np.uint8)])
    assert name_of(stream) != name_of(stream_of([np.frombuffer(frame + bytes(4) + b"\1", np.uint8)]))


def test_the_rest_of_a_stream_begins_at_the_offset():
    stream = stream_of(PAYLOADS)
    whole = b"".join(bytes(buffer) for buffer in stream)
    for n_bytes in range(len(whole) + 1):
        assert b"".join(bytes(buffer) for buffer in without(stream, n_bytes)) == whole[n_bytes:]


def test_only_the_beginning_of_the_same_stream_need_not_be_sent_again():
    stream = stream_of(PAYLOADS)
    name, size = name_of(stream), size_of(stream)
    partial = [
        (None, 0),
        (PartialReply(name, 1), 1),
        (PartialReply(name, size - 1), size - 1),
        (PartialReply(name, size), 0),
        (PartialReply(name, 0), 0),
        (PartialReply(name, -5), 0),
        (PartialReply(name, size + 1), 0),
        (PartialReply("0" * 16, 5), 0),
    ]
    assert [n_received(stream, item) for item, _ in partial] == [expected for _, expected in partial]
