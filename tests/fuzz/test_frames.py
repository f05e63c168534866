"""Any bytes give a message or an error that blames the peer, without memory beyond their size."""

import tracemalloc
from contextlib import suppress
from random import Random

import numpy as np
import pytest
import run_frames
from damage import (
    ANSWER_FIELDS,
    HEADER_FIELDS,
    HELD_BACK_FIELDS,
    PLAN_FIELDS,
    PREFIX_SIZE,
    U64,
    VERDICT_FIELDS,
    put,
    seal,
)
from frames import LAYOUTS, LINKS, Frames, judge, made, valid_message, valid_payload
from hypothesis import given, settings
from hypothesis import strategies as st

from flq.core.codecs import QUANTIZERS
from flq.core.codecs import decode as decoded
from flq.core.layout import Layout, Tensor
from flq.errors import CodecError, FlqError
from flq.protocol.messages import Kind, ModelFrame
from flq.protocol.wire import HEADER, decode, link_of

N_FRAMES = 20000  # of run_frames.py, which makes a million by hand
OUTCOMES = {
    "Answer",
    "ModelFrame",
    "Plan",
    "Verdict",
    "stream",
    "WireError",
    "TooLarge",
    "BadValues",
    "CodecError",
    "Conflict",
}
LARGE = link_of("large", Layout((Tensor("w", (1000, 1000)),)))
SPARE_BYTES = 2**20  # of scratch memory, however large the model is


def test_fuzzed_frames_are_messages_or_refused():
    outcomes = run_frames.run(N_FRAMES, seed=20260101)
    assert set(outcomes) == OUTCOMES  # nothing that may become of a frame is missed
    assert min(outcomes.values()) > N_FRAMES / 100


def test_a_seed_determines_the_frames():
    once, again, another = (Frames(Random(seed)) for seed in (1, 1, 2))
    first = [once.fuzzed() for _ in range(50)]
    assert first == [again.fuzzed() for _ in range(50)] != [another.fuzzed() for _ in range(50)]


def test_a_crash_names_the_frame(monkeypatch):
    monkeypatch.setattr(run_frames.frames, "decode", lambda data, link, expected: 1 // 0)
    with pytest.raises(AssertionError, match="frame 0 of seed 6, layout .: [0-9a-f]+: ZeroDivisionError"):
        run_frames.run(100, seed=6)


FIELDS = {Kind.VERDICT: VERDICT_FIELDS, Kind.PLAN: PLAN_FIELDS, Kind.DELTA: (), Kind.KEYFRAME: ()}
TEMPLATES = [made(valid_message(Random(seed), link), link) for link in LINKS for seed in range(40)]


@settings(max_examples=600)
@given(data=st.data())
def test_frames_with_any_fields_and_a_right_crc_are_messages_or_refused(data):
    frame = bytearray(data.draw(st.sampled_from(TEMPLATES)))
    body = FIELDS.get(frame[5], ANSWER_FIELDS + (HELD_BACK_FIELDS if frame[7] & 1 else ()))
    places = HEADER_FIELDS + tuple((PREFIX_SIZE + offset, form) for offset, form in body)
    for offset, form in data.draw(st.lists(st.sampled_from(places), max_size=4, unique=True)):
        kind, size = form[1], {"B": 1, "H": 2, "I": 4, "Q": 8}.get(form[1])
        put(
            frame,
            (offset, form),
            data.draw(st.integers(0, 256**size - 1) if size else st.floats(width=32 if kind == "f" else 64)),
        )
    link = LINKS[0] if frame[8] == LINKS[0].run_crc & 255 else data.draw(st.sampled_from(LINKS))
    assert judge(seal(frame), link) in OUTCOMES


@settings(max_examples=300)
@given(codec_id=st.sampled_from(sorted(QUANTIZERS)), layout=st.sampled_from(LAYOUTS), data=st.data())
def test_a_payload_that_is_checked_decodes_to_values_that_can_be_sent(codec_id, layout, data):
    codec = QUANTIZERS[codec_id]
    payload = valid_payload(Random(codec_id), codec_id, layout)
    changes = data.draw(st.lists(st.tuples(st.integers(0, payload.size - 1), st.integers(0, 255)), max_size=8))
    for place, byte in changes:
        payload[place] = byte
    try:
        codec.check(payload, layout)
    except CodecError as error:
        assert error.status_hint == 422
    else:
        with np.errstate(all="raise", under="ignore"):
            vector = decoded(codec, payload, layout)
        assert np.isfinite(vector).all()


# -- memory ----------------------------------------------------------------------------------


def memory_of(function):
    """Return the growth in bytes of the peak memory of Python and numpy during a call."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def decoding(frame, link):
    """Return a function that decodes a frame, or rejects it."""

    def decode_it():
        with suppress(FlqError):
            decode(frame, link, object)

    return decode_it


def test_fuzzed_frames_take_no_memory():
    source = Frames(Random(3))
    inputs = [source.fuzzed() for _ in range(1500)]

    def all_of_them():
        for link, data, is_stream in inputs:
            judge(data, link, is_stream)

    all_of_them()  # imports and caches of the first use
    assert memory_of(all_of_them) < 2**16


@pytest.mark.parametrize("last", [b"\0", b"\xff"])
@pytest.mark.parametrize("codec_id", sorted(QUANTIZERS))
def test_a_large_payload_is_checked_in_little_memory(codec_id, last):
    payload = np.zeros(QUANTIZERS[codec_id].payload_size(LARGE.layout), np.uint8)
    frame = made(ModelFrame(Kind.DELTA, 1, codec_id, payload), LARGE)
    frame[-8:] = 8 * last
    assert memory_of(decoding(seal(frame), LARGE)) < SPARE_BYTES


@pytest.mark.parametrize("length", [2**20, 4 * 10**6, 2**31, 2**40, 2**63, 2**64 - 1])
@pytest.mark.parametrize("kind, codec_id", [(3, 32), (6, 4), (7, 32), (1, 0), (5, 0)])
def test_the_declared_size_of_a_frame_is_not_allocated(kind, codec_id, length):
    frame = bytearray(HEADER.pack(b"FLQf", 2, kind, codec_id, 0, LARGE.run_crc, LARGE.layout.crc, 1, 0) + bytes(100))
    put(frame, (20, U64), length)
    assert memory_of(decoding(seal(frame), LARGE)) < 2**16
