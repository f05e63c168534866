"""Events of the journal, encoded and decoded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from master_bench import LAYOUT, frozen, joined, vector
from reports import REPORTS

from flq.core.codecs import QUANTIZERS
from flq.core.held_back import HeldBack
from flq.errors import FlqError
from flq.protocol import events
from flq.protocol.journal_codec import ANSWERED, NAMES, PLAIN, from_entry, to_entry
from flq.protocol.messages import Answer, Kind, Outcome, Verdict
from flq.protocol.wire import encode, link_of

LINK = link_of("run", LAYOUT)
PAYLOAD = QUANTIZERS[4].encode(vector(1, 2, 3, 4), LAYOUT)
MAYBE = st.none() | st.integers(0, 2**40)
FLOATS = st.floats(0, 1e6, width=32)
ANSWERS = st.builds(
    Answer,
    st.sampled_from([Kind.SKIP, Kind.OFFER]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    FLOATS,
    FLOATS,
    st.just(0),
    st.integers(0, 2**32 - 1),
    FLOATS,
    FLOATS,
    st.just(0),
    st.none(),
    coded=st.none(),
    held_back=st.none() | st.builds(HeldBack, FLOATS, st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 99)),
    blocked=st.just(0),
    is_unable=st.just(False),
)
ANSWERS |= ANSWERS.map(lambda answer: answer._replace(kind=Kind.SKIP, blocked=413))
ANSWERS |= ANSWERS.map(lambda answer: answer._replace(kind=Kind.SKIP, is_unable=True))


def answered(answer):
    return events.Answered(1, answer, joined(encode(answer, LINK)))


LASTING = st.one_of(
    st.builds(
        events.Register,
        st.just(-7),
        st.integers(0, 9),
        st.text(max_size=20),
        MAYBE,
        MAYBE,
        MAYBE,
        MAYBE,
        MAYBE,
        st.sampled_from([(), ("zlib",), ("zlib", "zstd")]),
        MAYBE,
        st.booleans(),
        MAYBE,
        st.text(max_size=32),
        st.none() | REPORTS,
    ),
    ANSWERS.map(lambda answer: answered(answer)._replace(ticket=-7, may_wait=False, session=None)),
    st.builds(events.LeaseEnded, st.integers(0, 9)),
    st.builds(events.OffersDue, st.integers(1, 9)),
    st.builds(events.RoundDue, st.integers(1, 9)),
    st.builds(events.Stop, st.text(max_size=40)),
)


def stored(event):
    """Return the entry of an event, as read from a disk."""
    entry = to_entry(event)
    return entry.kind, json.loads(json.dumps(entry.body)), entry.frame


def read(kind, body, frame):
    return from_entry(kind, body, frame, LINK, -7)


def test_every_lasting_event_has_a_name():
    assert set(NAMES) | {events.Answered} == set(events.Lasting.__args__)
    assert ANSWERED not in PLAIN and len(set(PLAIN)) == len(set(NAMES))


@given(LASTING)
def test_entries_round_trip(event):
    again = read(*stored(event))
    assert again == event and type(again) is type(event)


def test_an_upload_comes_back_with_its_payload_its_unknown_loss_and_its_size():
    answer = Answer(Kind.UPLOAD, 2, 1, 5, 7, float("nan"), 30.0, 8 * PAYLOAD.size, 9, 1.5, 2.5, 4, PAYLOAD)
    kind, body, frame = stored(answered(answer))
    again = read(kind, body, frame)
    assert frozen(again.answer) == frozen(answer)
    assert (again.ticket, again.frame, again.may_wait) == (-7, frame, False)


def test_any_flipped_bit_of_a_frame_is_found():
    kind, body, frame = stored(answered(Answer(Kind.SKIP, 2, 1, 5, 7, 0.5, 30.0)))
    for i in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[i // 8] ^= 1 << i % 8
        with pytest.raises(FlqError):
            read(kind, body, damaged)


@pytest.mark.parametrize(
    "kind, frame, sentence",
    [
        (ANSWERED, None, "lost its frame"),
        (ANSWERED, b"", "truncated"),
        ("danced", None, "unknown kind 'danced'"),
        (
            ANSWERED,
            b"".join(map(bytes, encode(Verdict(Outcome.NOTED, 1, 1), LINK))),
            "expected a skip, an offer or an upload, got a verdict",
        ),
        (
            ANSWERED,
            b"".join(map(bytes, encode(Answer(Kind.SKIP, 2, 1, 5, 7, 0.5, 1.0), link_of("other", LAYOUT)))),
            "another run",
        ),
    ],
)
def test_an_unreadable_entry_is_rejected(kind, frame, sentence):
    with pytest.raises(FlqError, match=sentence):
        read(kind, {}, frame)


def test_an_entry_of_an_older_format_is_read():
    body = {"worker_id": 1, "instance": "one", "n_samples": 10, "layout_crc": 1}
    assert read("joined", body, None) == events.Register(-7, 1, "one", 10, 1)


@pytest.mark.parametrize("kind", sorted(PLAIN))
@pytest.mark.parametrize("body", [{}, {"nonsense": 1}])
def test_an_entry_with_another_body_is_refused(kind, body):
    with pytest.raises(FlqError, match="cannot be read"):
        read(kind, body, None)
