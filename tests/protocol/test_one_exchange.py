"""The reply to an answer contains the next round: one exchange per worker and round."""

import numpy as np
import pytest
from master_bench import Bench, lasting, size_of
from test_worker_machine import LINK, START, UPDATE, delta, fingerprint, joined, joined_bytes

from flq.protocol import events
from flq.protocol.messages import FINAL, Kind, Outcome, Plan, Verdict
from flq.protocol.wire import encode
from flq.protocol.worker_events import CallPoll, Exit, Pause, Paused, Train, VerdictReceived

BUDGET = dict(sel_clients=1, round_deadline_s=60.0)


@pytest.fixture
def make_bench():
    """Return a function that opens a round for workers 0 and 1; at the end the journal must reproduce the run."""
    benches = []

    def make(**changes):
        bench = Bench(**dict(dict(mode="bbit"), **changes))
        bench.join(0, 1)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        assert lasting(bench.replayed()) == lasting(bench.machine)


# -- the master --------------------------------------------------------------------------


@pytest.mark.parametrize("kind, outcome", [(Kind.UPLOAD, Outcome.APPLIED), (Kind.SKIP, Outcome.NOTED)])
def test_an_answer_is_answered_with_the_next_round_when_it_opens(make_bench, kind, outcome):
    bench = make_bench()
    first = bench.answer(0, kind, have=0)
    assert bench.is_parked(first) and bench.round == 1
    last = bench.answer(1, have=0)
    for ticket, expected in (first, outcome), (last, Outcome.APPLIED):
        said, (plan, frames) = bench.both(ticket)
        assert said is expected and plan.round_index == 2 and not plan.ended
        assert [frame.version for frame in frames] == [1]
    assert bench.machine.delivery.totals.retransmitted_bytes == 0


def test_no_reply_is_sent_before_the_answer_is_journalled(make_bench):
    bench = make_bench()
    bench.answer(0, have=0)
    assert [entry.kind for entry in bench.journal] == ["joined", "joined", "answered"]


def test_without_asking_for_it_the_verdict_comes_alone_and_at_once(make_bench):
    bench = make_bench()
    assert bench.both(bench.answer(0)) == (Outcome.APPLIED, None)


def test_a_verdict_is_sent_alone_when_the_time_of_a_poll_is_over_and_the_poll_gets_the_round(make_bench):
    bench = make_bench()
    ticket = bench.answer(0, have=0)
    bench.wait(24)
    assert bench.is_parked(ticket)
    bench.wait(1)
    assert bench.both(ticket) == (Outcome.APPLIED, None)
    poll = bench.poll(0, answered=1)
    bench.answer(1, have=0)
    assert bench.plan(poll)[0].round_index == 2


def test_an_answer_that_may_not_wait_gets_the_round_only_if_it_is_open(make_bench):
    bench = make_bench()
    assert bench.both(bench.answer(0, have=0, may_wait=False)) == (Outcome.APPLIED, None)
    outcome, (plan, _) = bench.both(bench.answer(1, have=0, may_wait=False))
    assert outcome is Outcome.APPLIED and plan.round_index == 2


@pytest.mark.parametrize("may_wait", [True, False])
def test_sent_again_while_it_waits_the_newer_one_waits_and_is_counted_as_sent_again(make_bench, may_wait):
    bench = make_bench()
    old = bench.answer(0, have=0)
    model = bench.snapshot()["model"]["state"]
    new = bench.answer(0, have=0, may_wait=may_wait)
    assert bench.both(old) == (Outcome.APPLIED, None) and bench.is_parked(new) is may_wait
    assert bench.machine.delivery.totals.retransmitted_bytes > 0 and bench.snapshot()["model"]["state"] == model
    bench.answer(1)
    if may_wait:
        assert bench.both(new)[1][0].round_index == 2
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "uploaded"}


def test_a_reply_that_is_lost_is_the_same_when_the_answer_is_sent_again(make_bench):
    bench = make_bench()
    bench.answer(0)
    lost = bench.answer(1, have=0)
    counted = bench.machine.delivery.totals
    again = bench.answer(1, seq=1, round_index=1, have=0)
    (outcome, (plan, frames)), (outcome_again, (plan_again, frames_again)) = bench.both(lost), bench.both(again)
    assert (outcome, plan) == (outcome_again, plan_again)
    assert [frame.payload.tolist() for frame in frames] == [frame.payload.tolist() for frame in frames_again]
    assert bench.machine.delivery.totals == counted._replace(
        retransmitted_bytes=bench.machine.delivery.totals.retransmitted_bytes
    )
    assert bench.machine.delivery.totals.retransmitted_bytes == len(bench.journal[-1].frame) + size_of(
        bench.replies[again]
    )


def test_a_poll_instead_gets_the_round_and_the_waiting_answer_its_verdict(make_bench):
    bench = make_bench()
    ticket = bench.answer(0, have=0)
    poll = bench.poll(0, answered=1)
    assert bench.both(ticket) == (Outcome.APPLIED, None) and bench.is_parked(poll)


def test_a_waiting_answer_keeps_the_lease_like_a_poll(make_bench):
    bench = make_bench(lease_s=40.0)
    ticket = bench.answer(0, have=0)
    bench.wait(19)
    assert bench.is_parked(ticket)
    bench.wait(1)  # half a lease
    assert bench.both(ticket) == (Outcome.APPLIED, None)
    bench.poll(0, answered=1)
    bench.wait(20)
    assert bench.machine.members[0].has_lease and not bench.machine.members[1].has_lease
    assert bench.reports[0].roll_call == {0: "uploaded", 1: "lost"}


def test_a_refused_offer_brings_the_next_round_and_waits_no_longer_for_that(make_bench):
    bench = make_bench(**BUDGET)
    offers = [bench.answer(worker_id, Kind.OFFER, have=0, energy=1.0 + worker_id) for worker_id in (0, 1)]
    assert bench.both(offers[1]) == (Outcome.GRANTED, None) and bench.is_parked(offers[0])
    bench.answer(1, have=0)
    outcome, (plan, frames) = bench.both(offers[0])
    assert outcome is Outcome.REFUSED and plan.round_index == 2 and len(frames) == 1

    late = bench.answer(0, Kind.OFFER, seq=2, have=1)
    bench.wait(20)
    bench.answer(1, Kind.OFFER, seq=2, have=1, energy=9.0)
    assert bench.is_parked(late)
    bench.wait(5)
    assert bench.both(late) == (Outcome.REFUSED, None)


def test_an_upload_that_comes_late_brings_the_round_that_is_open_by_then(make_bench):
    bench = make_bench(round_deadline_s=60.0)
    bench.set_quorum(1)
    bench.answer(1)
    bench.wait(60)
    assert bench.round == 2
    outcome, (plan, frames) = bench.both(bench.answer(0, seq=1, round_index=1, have=0))
    assert outcome is Outcome.LATE and plan.round_index == 2 and len(frames) == 1


def test_mirrors_that_differ_are_reported_at_once(make_bench):
    bench = make_bench(memory="mirror")
    assert bench.both(bench.answer(0, state_crc=1, have=0)) == (Outcome.RESYNC, None)


@pytest.mark.parametrize("is_stop", [True, False])
def test_the_end_comes_with_the_last_verdict(make_bench, is_stop):
    bench = make_bench(max_rounds=1)
    tickets = [bench.answer(0, have=0)]
    if is_stop:
        bench.tell(events.Stop("enough"))
    else:
        tickets.append(bench.answer(1, have=0))
    for ticket in tickets:
        outcome, (plan, frames) = bench.both(ticket)
        assert outcome is Outcome.APPLIED and plan.ended and not frames
    assert 0 in bench.machine.delivery.heard_end
    assert bench.both(bench.answer(0, seq=1, round_index=1, have=0)) == (Outcome.END, None)


# -- the worker --------------------------------------------------------------------------


def reply(outcome=Outcome.APPLIED, round_index=2, frames=(), version=0, shared=START, ended=False):
    plan = Plan(round_index, version, fingerprint(shared), 0.0, False, ended, len(frames))
    return b"".join(joined_bytes(encode(message, LINK)) for message in (Verdict(outcome, 1, 1), plan) + tuple(frames))


N_VERDICT = len(joined_bytes(encode(Verdict(Outcome.APPLIED, 1, 1), LINK)))


def answering():
    worker = joined()
    worker.answering()
    return worker


@pytest.mark.parametrize("outcome", FINAL)
def test_a_worker_that_gets_both_takes_the_outcome_and_trains(outcome):
    both, apart = answering(), answering()
    assert both.action.have == 0
    frames, there = [delta(1, (1, 0, 0, 0))], START + np.float32([1, 0, 0, 0])
    action = both.tell(VerdictReceived(reply(outcome, frames=frames, version=1, shared=there)), after=3.0)
    apart.verdict(outcome, after=3.0)
    expected = apart.plan(2, frames, 1, there)
    assert type(action) is type(expected) is Train and action.round_index == expected.round_index == 2
    assert action.shared.tolist() == expected.shared.tolist()
    assert both.memory == apart.memory and both.clock == apart.clock and both.state == "TRAINING"
    both.trained(UPDATE), apart.trained(UPDATE)
    assert both.frame == apart.frame and both.answer.waiting_s == 3.0 and both.answer.seq == 2


def test_the_end_with_a_verdict_is_the_end():
    worker = answering()
    assert worker.tell(VerdictReceived(reply(ended=True))) == Exit(0, "the run has ended after round 2")


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_verdict_is_valid_even_if_the_rest_of_the_reply_is_damaged(damage):
    whole = reply(frames=[delta(1, (1, 0, 0, 0))], version=1, shared=START + np.float32([1, 0, 0, 0]))
    expected = answering()
    expected.verdict(Outcome.APPLIED)
    for i in range(N_VERDICT + 1, len(whole)):
        worker = answering()
        stream = bytearray(whole[:i] if damage == "cut" else whole)
        if damage == "flipped":
            stream[i] ^= 4
        assert isinstance(worker.tell(VerdictReceived(stream)), Pause)
        assert worker.memory == expected.memory and worker.state == "WAITING"
        assert worker.tell(Paused()) == CallPoll(1, 0, 1)


def test_frames_that_lead_elsewhere_are_asked_for_again_as_a_keyframe():
    worker = answering()
    assert worker.tell(VerdictReceived(reply(frames=[delta(2, (1, 0, 0, 0))], version=2))) == CallPoll(1, -1, 1)


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - set(FINAL)))
def test_nothing_can_follow_a_verdict_that_is_not_final(outcome):
    worker = answering()
    frame = worker.frame
    assert isinstance(worker.tell(VerdictReceived(reply(outcome))), Pause)
    worker.tell(Paused())
    assert worker.frame == frame and worker.state == "ANSWERING"
