"""Every event in every state of the master's machine is handled, or rejected without a change; hostile ones too."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from master_bench import LAYOUT, Bench, fingerprint, joined, lasting, vector
from reports import REPORTS

from flq.core.codecs import QUANTIZERS
from flq.errors import FlqError
from flq.protocol import events
from flq.protocol.master_machine import State
from flq.protocol.messages import Answer, Kind
from flq.protocol.wire import encode, link_of


def opened(**changes):
    bench = Bench(**dict(dict(mode="bbit", min_workers=3, lease_s=100.0), **changes))
    bench.join(0, 1, 2)
    bench.set_quorum(1)
    return bench


def lobby():
    return Bench(mode="bbit")


def lobby_with_reserved_ids():
    bench = Bench(mode="bbit")
    bench.register(0)
    bench.register(1, instance="two")
    return bench


def round_with_an_upload():
    bench = opened()
    bench.verdict(0)
    return bench


def round_with_offers():
    bench = opened(sel_clients=1, round_deadline_s=60.0)
    bench.answer(0, Kind.OFFER)
    return bench


def round_with_offers_due():
    bench = round_with_offers()
    bench.wait(30)
    return bench


def round_with_grants():
    bench = opened(sel_clients=1)
    for worker_id in range(3):
        bench.answer(worker_id, Kind.OFFER)
    return bench


def round_with_a_lost_worker():
    bench = opened()
    for _ in range(4):
        for worker_id in (0, 1):
            bench.poll(worker_id, answered=1)
        bench.wait(25)
    assert bench.machine.open_round.status == {2: "lost"}
    return bench


def round_beyond_its_deadline():
    bench = opened(round_deadline_s=60.0)
    bench.wait(61)
    return bench


def round_with_mirrors():
    bench = opened(memory="mirror")
    for worker_id in range(3):
        bench.verdict(worker_id, state_crc=fingerprint(vector(1, 1, 1, 1)))
    assert bench.round == 2
    bench.verdict(0, state_crc=1)
    return bench


def everybody_lost():
    bench = opened()
    bench.wait(100)
    assert bench.state == "LOBBY" and bench.round == 1
    return bench


def closing():
    bench = opened()
    bench.tell(events.Stop("enough"))
    return bench


def finished():
    bench = closing()
    bench.tell(events.ResultsSaved())
    return bench


STATES = [
    lobby,
    lobby_with_reserved_ids,
    opened,
    round_with_an_upload,
    round_with_offers,
    round_with_offers_due,
    round_with_grants,
    round_with_a_lost_worker,
    round_beyond_its_deadline,
    round_with_mirrors,
    everybody_lost,
    closing,
    finished,
]
KINDS = (events.Register, events.Poll, events.Answered, events.Heartbeat, events.Tick, events.Stop, events.ResultsSaved)
MADE = (events.LeaseEnded, events.OffersDue, events.RoundDue)  # by the machine itself, when their time has come


def test_every_event_has_a_handler():
    assert set(events.Event.__args__) == set(KINDS + MADE)
    assert set(lobby().machine._handlers) == set(KINDS + MADE) - {events.Tick}  # only time passes
    assert {bench().machine.state for bench in STATES} == set(State)


IDS = st.sampled_from([0, 1, 2, 3]) | st.integers(-1, 5) | st.just(2**70)
NUMBERS = st.integers(0, 3) | st.integers(-2, 2**70)
MAYBE = st.none() | NUMBERS
SMALL = st.integers(0, 3) | st.integers(0, 2**32 - 1)
REGISTER = st.builds(
    events.Register,
    st.just(0),
    IDS,
    st.sampled_from(["one", "two", ""]),
    st.sampled_from([None, 10, 20, 30]) | MAYBE,
    st.sampled_from([LAYOUT.crc, LAYOUT.crc, None, 1]),
    MAYBE,
    MAYBE,
    MAYBE,
    data=st.none() | REPORTS,
)
POLL = st.builds(events.Poll, st.just(0), IDS, NUMBERS, NUMBERS, NUMBERS)
HEARTBEAT = st.builds(events.Heartbeat, st.just(0), IDS, NUMBERS)
OTHERS = st.sampled_from([events.Tick(), events.ResultsSaved(), events.Stop("enough")])
PAYLOADS = {bits: QUANTIZERS[bits].encode(vector(1, 1, 1, 1), LAYOUT) for bits in (1, 4, 32)}


@st.composite
def answers(draw):
    """Return an answer as decoded from a frame, with arbitrary numbers."""
    kind, bits = draw(st.sampled_from([Kind.SKIP, Kind.OFFER, Kind.UPLOAD])), draw(st.sampled_from([4, 4, 4, 1, 32]))
    answer = Answer(
        kind,
        draw(st.integers(0, 3) | SMALL),
        draw(SMALL),
        draw(SMALL),
        draw(SMALL),
        draw(st.sampled_from([0.5, float("nan")])),
        draw(st.sampled_from([0.0, 4.0, 1e300])),
        state_crc=draw(st.sampled_from([0, 1, fingerprint(vector(1, 1, 1, 1))])),
    )
    if kind is Kind.OFFER:
        return answer._replace(cost_bits=draw(st.sampled_from([8, 88, 2**30])))
    if kind is Kind.UPLOAD:
        return answer._replace(cost_bits=8 * PAYLOADS[bits].size, codec_id=bits, payload=PAYLOADS[bits])
    return answer


LINK = link_of("run", LAYOUT)
ANSWERED = st.builds(
    lambda answer, may_wait: events.Answered(0, answer, joined(encode(answer, LINK)), may_wait),
    answers(),
    st.booleans(),
)
ANY = REGISTER | POLL | HEARTBEAT | OTHERS | ANSWERED | ANSWERED


@pytest.mark.parametrize("begin", STATES)
@settings(max_examples=16)
@given(hostile=st.lists(ANY, min_size=1, max_size=12))
def test_every_event_is_handled_or_refused_in_every_state(begin, hostile):
    bench = begin()
    asked = []
    for event in hostile:
        before = lasting(bench.machine)
        if hasattr(event, "ticket"):
            asked.append(bench.ask(lambda ticket, event=event: event._replace(ticket=ticket)))
            if isinstance(bench.replies.get(asked[-1]), FlqError):
                assert lasting(bench.machine) == before
        else:
            bench.tell(event)
    bench.wait(30)
    assert not any(bench.is_parked(ticket) for ticket in asked)
    assert lasting(bench.replayed()) == lasting(bench.machine)


@pytest.mark.parametrize("begin", STATES)
def test_the_verdict_on_each_kind_of_answer_in_each_state_can_be_encoded(begin):
    for kind in (Kind.SKIP, Kind.OFFER, Kind.UPLOAD):
        for worker_id in range(4):
            bench = begin()
            bench.epochs.setdefault(worker_id, 0)
            ticket = bench.answer(worker_id, kind)
            bench.wait(30)
            body = bench.replies[ticket]
            assert isinstance(body, FlqError) or bench.outcome(ticket)
            assert not isinstance(body, FlqError) or (body.status_hint in (409, 422) and body.detail)


@pytest.mark.parametrize("begin", [lobby, opened, round_with_offers])
def test_that_results_are_saved_means_nothing_before_the_end(begin):
    bench = begin()
    state = bench.state
    bench.tell(events.ResultsSaved())
    assert bench.state == state
