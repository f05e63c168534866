"""The replies of a master, without a machine: waiting requests, duplicates, and traffic."""

import pytest
from master_bench import LAYOUT, joined

from flq.protocol.delivery import Delivery, PendingPoll
from flq.protocol.events import Answered, Reply
from flq.protocol.messages import Answer, Kind, Outcome, Plan, Verdict
from flq.protocol.resumable import PartialReply, name_of
from flq.protocol.traffic import Traffic
from flq.protocol.wire import encode, link_of

LINK = link_of("run", LAYOUT)
PLAN, END = Plan(2, 1, 77, 0.0, False, False, 0), Plan(2, 1, 77, 0.0, False, True, 0)
PLAN_BYTES, VERDICT_BYTES = 32 + 23, 32 + 5


@pytest.fixture
def sent():
    return []


@pytest.fixture
def delivery(sent):
    return Delivery(LINK, 25.0, sent.append)


def bodies(sent):
    return [(reply.ticket, reply.body and joined(reply.body)) for reply in sent]


def frames(*messages):
    return b"".join(joined(encode(message, LINK)) for message in messages)


def verdict(outcome):
    return Verdict(outcome, 1, 1)


def poll(ticket, worker_id=0, have=0, may_wait=True, partial=None):
    return PendingPoll(ticket, worker_id, have, 1, may_wait, [], partial)


def answered(ticket, kind=Kind.SKIP, have=None):
    answer = Answer(kind, 0, 1, 1, 1, 0.5, 1.0)
    return Answered(ticket, answer, frames(answer), have=have)


def held(delivery, ticket, request, now=0.0):
    """Let a request wait."""
    delivery.begin(ticket, now)
    (delivery.hold_poll if isinstance(request, PendingPoll) else delivery.hold_offer)(request)
    return request


# -- the table of the module's docstring, row by row -----------------------------------------


def test_a_poll_waits_until_the_plan_is_sent(delivery, sent):
    pending = held(delivery, 1, poll(1))
    assert delivery.polls() == [pending] and delivery.has_poll(0) and sent == []
    delivery.send_plan(pending, PLAN, [], 0, 1)
    assert bodies(sent) == [(1, frames(PLAN))] and delivery.polls() == [] == delivery.deadlines()


def test_a_newer_poll_takes_the_place_of_the_older(delivery, sent):
    held(delivery, 1, poll(1))
    newer = held(delivery, 2, poll(2))
    assert sent == [Reply(1, None)] and delivery.polls() == [newer]


def test_a_poll_whose_time_is_over_gets_nothing_new(delivery, sent):
    held(delivery, 1, poll(1))
    delivery.release_polls(24.9)
    assert sent == [] and delivery.deadlines() == [25.0]
    delivery.release_polls(25.0)
    assert sent == [Reply(1, None)] and delivery.deadlines() == []


def test_a_final_verdict_waits_for_the_plan_and_is_sent_alone_when_its_time_is_over(delivery, sent):
    for ticket in (1, 2):
        delivery.begin(ticket, 0.0)
        delivery.verdict(answered(ticket, have=0), verdict(Outcome.NOTED))
        (pending,) = delivery.polls()
        if ticket == 1:
            delivery.send_plan(pending, PLAN, [], 0, 1)
    delivery.release_polls(25.0)
    alone = frames(verdict(Outcome.NOTED))
    assert bodies(sent) == [(1, alone + frames(PLAN)), (2, alone)]


@pytest.mark.parametrize("outcome, have", [(Outcome.NOTED, None), (Outcome.RESYNC, 0), (Outcome.END, 0)])
def test_a_verdict_that_is_not_final_or_alone_is_sent_at_once(delivery, sent, outcome, have):
    delivery.begin(1, 0.0)
    delivery.verdict(answered(1, have=have), verdict(outcome))
    assert bodies(sent) == [(1, frames(verdict(outcome)))]


def test_an_offer_waits_until_it_is_answered(delivery, sent):
    held(delivery, 1, answered(1, Kind.OFFER))
    assert delivery.offers() == [0]
    delivery.answer_offer(0, verdict(Outcome.GRANTED))
    delivery.answer_offer(0, verdict(Outcome.GRANTED))  # no request waits any more
    assert bodies(sent) == [(1, frames(verdict(Outcome.GRANTED)))] and delivery.offers() == []


def test_an_offer_whose_time_is_over_is_named(delivery):
    held(delivery, 1, answered(1, Kind.OFFER))
    assert delivery.expired_offers(24.9) == [] and delivery.expired_offers(25.0) == [0]


# -- counts ----------------------------------------------------------------------------------


def test_frames_count_once_and_duplicates_as_retransmitted(delivery):
    event = answered(1)
    for is_duplicate in (False, True):
        delivery.begin(1, 0.0)
        delivery.verdict(event, verdict(Outcome.NOTED), is_duplicate)
    size = len(event.frame)
    expected = Traffic(0, 0, size, VERDICT_BYTES, size + VERDICT_BYTES)
    assert delivery.totals == expected == delivery.traffic_of(0) and delivery.traffic_of(1) == Traffic()


def test_the_payload_of_an_upload_counts_and_that_of_an_offer_does_not(delivery):
    offer = answered(1, Kind.OFFER)
    delivery.receive(offer._replace(answer=offer.answer._replace(cost_bits=88)), False)
    assert delivery.totals.payload_bits_up == 0
    delivery.receive(offer._replace(answer=offer.answer._replace(kind=Kind.UPLOAD, cost_bits=88)), False)
    assert delivery.totals.payload_bits_up == 88


def test_the_same_plan_again_is_a_duplicate_and_another_version_is_not(delivery):
    for ticket, have in ((1, 0), (2, 0), (3, 1)):
        delivery.send_plan(held(delivery, ticket, poll(ticket, have=have)), PLAN, [], 0, 1)
    assert delivery.totals == Traffic(0, 0, 0, 2 * PLAN_BYTES, PLAN_BYTES)


def test_of_a_reply_that_broke_off_only_the_rest_counts(delivery, sent):
    partial = PartialReply(name_of(encode(PLAN, LINK)), 10)
    delivery.send_plan(held(delivery, 1, poll(1, partial=partial)), PLAN, [], 0, 1)
    assert delivery.totals == Traffic(retransmitted_bytes=PLAN_BYTES - 10)
    assert bodies(sent) == [(1, frames(PLAN))]  # who sends it leaves out the beginning


def test_the_counts_of_a_round_are_reset_when_it_closes_and_survive_a_restart(delivery):
    delivery.receive(answered(1), False)
    again = Delivery(LINK, 25.0, [].append)
    again.resume(delivery.capture())
    size = len(answered(1).frame)
    assert again.close_round() == Traffic(frame_bytes_up=size) and again.round_traffic == Traffic()
    assert again.totals == again.traffic_of(0) == Traffic(frame_bytes_up=size)


def test_a_worker_that_was_sent_the_end_knows_it(delivery):
    delivery.begin(1, 0.0)
    delivery.verdict(answered(1), verdict(Outcome.NOTED))
    assert delivery.heard_end == set()
    delivery.verdict(answered(1), verdict(Outcome.END))
    delivery.send_plan(held(delivery, 2, poll(2, worker_id=3)), END, [], 0, 1)
    assert delivery.heard_end == {0, 3}
