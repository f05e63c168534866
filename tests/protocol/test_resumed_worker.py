"""A worker that restarts or is in doubt: scripted replies of a master."""

import json

import pytest
from test_worker_machine import LEFT, START, UPDATE, ZERO, Worker, delta, failing, joined

from flq.core.codecs import plus
from flq.core.layout import Layout, Tensor
from flq.protocol.messages import Kind, Outcome
from flq.protocol.worker_events import Built, CallPoll, Exit, Problem, Registered
from flq.protocol.worker_state import from_state, to_state


def kept(needs_offer=False, memory="residual", **changes):
    """Return a worker's saved second answer, from its bytes on disk, and the frame that it sent first."""
    worker = joined(memory=memory, **changes)
    worker.answering()
    worker.verdict(Outcome.APPLIED)
    worker.answering((4, 4, 4, 4), round_index=2, needs_offer=needs_offer)
    meta, arrays = to_state(worker.pending)
    return from_state(json.loads(json.dumps(meta)), arrays), worker.frame


def started_again(pending, layout=None, run_id="run", **changes):
    """Start a worker from its saved state; return it while it waits for the judgement of its claim."""
    worker = Worker(pending=pending, **dict(dict(memory="residual"), **changes))
    worker.tell(Registered(worker.body(epoch=1, run_id=run_id)))
    worker.tell(Built(30, layout or Layout((Tensor("w", (3,)), Tensor("b", (1,))))))
    return worker


def rejoined(worker, **reply):
    """Let a worker register in both steps, as after 409; return its action."""
    worker.tell(Registered(worker.body(epoch=1)))
    return worker.tell(Registered(worker.body(**dict(dict(epoch=1), **reply))))


# -- another process -------------------------------------------------------------------------


@pytest.mark.parametrize("needs_offer, path", [(False, "/upload_update"), (True, "/offer")])
@pytest.mark.parametrize("memory", ["none", "residual", "mirror", "flq"])
def test_a_worker_that_starts_again_sends_the_same_bytes_again_the_offer_first(needs_offer, path, memory):
    changes = dict(memory=memory, b_up=4)
    pending, frame = kept(needs_offer, **changes)
    worker = started_again(pending, **changes)
    assert (worker.action.body["claimed_epoch"], worker.action.body["claimed_seq"]) == (1, 2)
    worker.tell(Registered(worker.body(epoch=1, resumed=True)))
    assert (worker.action.path, worker.frame) == (path, frame)
    if needs_offer:
        worker.verdict(Outcome.GRANTED, 2)
        assert worker.answer.payload.tobytes() == pending.answer.payload.tobytes()


@pytest.mark.parametrize("outcome", [Outcome.APPLIED, Outcome.LATE, Outcome.REFUSED])
def test_a_worker_that_starts_again_is_where_it_would_have_been(outcome):
    pending, _ = kept()
    worker = started_again(pending)
    worker.tell(Registered(worker.body(epoch=1, resumed=True)))
    assert worker.verdict(outcome, 2) == CallPoll(1, 0, 2)
    expected = pending.if_applied if outcome is Outcome.APPLIED else pending.if_not
    assert worker.memory == expected.residual.tolist() and worker.clock == expected.clock
    assert worker.answering(round_index=3).seq == 3


def test_a_worker_that_starts_again_makes_the_shared_copy_from_the_seed_and_asks_from_there():
    worker = started_again(kept()[0])
    worker.tell(Registered(worker.body(epoch=1, resumed=True)))
    assert worker.verdict(Outcome.APPLIED, 2).have == 0
    frame = delta(1, (1, 2, 3, 4))
    there = plus(START, 4, frame.payload, Layout((Tensor("w", (3,)), Tensor("b", (1,)))))
    assert worker.plan(3, frames=[frame], version=1, shared=there).shared.tolist() == there.tolist()


def test_a_restarted_worker_that_is_no_longer_known_begins_a_new_epoch():
    worker = started_again(kept()[0])
    assert worker.tell(Registered(worker.body(epoch=7))) == CallPoll(7, 0, 0)
    assert (worker.memory, worker.clock) == (ZERO, 0)
    assert any("memories are empty" in note for note in worker.machine.notes)
    answer = worker.answering()
    assert (answer.epoch, answer.seq) == (7, 1)


def test_the_saved_state_of_another_run_is_no_claim():
    worker = started_again(kept()[0], run_id="another")
    assert "claimed_epoch" not in worker.action.body
    worker.tell(Registered(worker.body(epoch=2, run_id="another")))
    assert (worker.state, worker.memory) == ("WAITING", ZERO)


@pytest.mark.parametrize("memory", ["none", "mirror", "flq"])
def test_a_saved_state_with_other_memories_is_no_claim(memory):
    assert "claimed_epoch" not in started_again(kept()[0], memory=memory, b_up=4).action.body


def test_a_saved_state_of_a_model_of_another_size_is_no_claim():
    worker = started_again(kept()[0], layout=Layout((Tensor("w", (5,)),)))
    assert "claimed_epoch" not in worker.action.body


def test_the_saved_state_of_another_worker_is_no_claim():
    pending = kept()[0]
    worker = started_again(pending._replace(answer=pending.answer._replace(worker_id=1)))
    assert "claimed_epoch" not in worker.action.body
    assert "the memories of worker 1" in worker.machine.notes[0]


def test_after_the_end_a_worker_that_starts_again_leaves():
    worker = Worker(pending=kept()[0], memory="residual")
    assert worker.tell(Registered(worker.body(ended=True))) == Exit(0, "the run has ended")


# -- the same process ------------------------------------------------------------------------


def test_409_on_an_answer_claims_the_epoch_and_sends_the_same_bytes_again():
    worker = joined()
    worker.answering()
    frame = worker.frame
    worker.tell(Problem(409, "register again"))
    worker.tell(Registered(worker.body(epoch=1)))
    assert (worker.action.body["claimed_epoch"], worker.action.body["claimed_seq"]) == (1, 1)
    worker.tell(Registered(worker.body(epoch=1, resumed=True)))
    assert worker.frame == frame
    worker.verdict(Outcome.APPLIED)
    assert worker.memory == LEFT


def test_409_on_a_poll_resumes_the_epoch():
    worker = joined()
    worker.answering()
    worker.verdict(Outcome.APPLIED)
    worker.tell(Problem(409, "register again"))
    assert rejoined(worker, resumed=True) == CallPoll(1, 0, 1)
    assert worker.memory == LEFT


def test_a_second_409_to_the_same_answer_begins_a_new_epoch():
    worker = joined()
    worker.answering()
    worker.tell(Problem(409, "register again"))
    rejoined(worker, resumed=True)
    worker.tell(Problem(409, "register again"))
    worker.tell(Registered(worker.body(epoch=1)))
    assert "claimed_epoch" not in worker.action.body
    worker.tell(Registered(worker.body(epoch=2)))
    assert (worker.memory, worker.machine.epoch) == (ZERO, 2)


def test_a_second_409_to_the_same_poll_begins_a_new_epoch():
    worker = joined()
    worker.answering()
    worker.verdict(Outcome.APPLIED)
    worker.tell(Problem(409, "register again"))
    assert rejoined(worker, resumed=True) == CallPoll(1, 0, 1)
    worker.tell(Problem(409, "register again"))
    worker.tell(Registered(worker.body(epoch=1)))
    assert "claimed_epoch" not in worker.action.body


def test_a_second_409_when_another_lease_may_have_ended_claims_the_epoch_again():
    worker = joined(give_up_s=1e9)
    worker.answering()
    frame = worker.frame
    for _ in range(3):
        worker.tell(Problem(409, "register again"), after=300.0)
        rejoined(worker, resumed=True)
        assert worker.frame == frame


def test_the_first_409_of_a_new_epoch_is_a_first_one():
    worker = joined()
    worker.answering()
    worker.tell(Problem(409, "register again"))
    rejoined(worker, epoch=2)  # not gone on with
    worker.answering()
    worker.tell(Problem(409, "register again"))
    worker.tell(Registered(worker.body(epoch=2)))
    assert worker.action.body["claimed_epoch"] == 2


def test_a_skip_that_replaced_an_upload_is_sent_again_after_a_409():
    worker = joined()
    worker.answering()
    failing(worker, Problem(400, "corrupted"), 3)
    worker.tell(Problem(400, "corrupted"))
    skip = worker.frame
    worker.tell(Problem(409, "register again"))
    rejoined(worker, resumed=True)
    assert worker.frame == skip and worker.answer.kind is Kind.SKIP
    worker.verdict(Outcome.NOTED)
    assert worker.memory == list(UPDATE)
