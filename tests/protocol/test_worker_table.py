"""Every event in every state of the worker's machine is handled, or rejected by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from master_bench import LAYOUT, frozen, vector
from test_worker_machine import LINK, UPDATE, Worker, delta, joined, joined_bytes

from flq.errors import FlqError
from flq.protocol import worker_events as worker_module
from flq.protocol.messages import Outcome, Plan, Verdict
from flq.protocol.wire import encode
from flq.protocol.worker_events import (
    OUTCOMES,
    Built,
    CallAnswer,
    CallPoll,
    CallRegister,
    Exit,
    NothingNew,
    Pause,
    Paused,
    Polled,
    Problem,
    Registered,
    Saved,
    Train,
    Trained,
    Unable,
    Unreachable,
    VerdictReceived,
)

EXAMPLES = [
    Registered(Worker().body(1)),
    Built(30, LAYOUT),
    Polled(b""),
    NothingNew(1.0),
    Trained(vector(*UPDATE), 0.5, 1.5),
    Unable("too small", 1.5),
    Saved(),
    VerdictReceived(b""),
    Problem(503, "busy"),
    Unreachable("away"),
    Paused(),
]


def in_every_state():
    """Return workers that are about to do each action, by a name for it."""
    workers = {
        "new": Worker(),
        "built": Worker(),
        "waiting": joined(),
        "pausing": joined(),
        "training": joined(),
        "keeping": joined(),
        "uploading": joined(),
        "offering": joined(),
        "registering again": joined(),
        "done": joined(),
    }
    workers["built"].tell(Registered(workers["built"].body()))
    workers["pausing"].tell(Unreachable("away"))
    for name in ("training", "keeping"):
        workers[name].plan()
    workers["keeping"].tell(Trained(vector(*UPDATE), 0.5, 1.5))
    workers["uploading"].answering()
    workers["offering"].answering(needs_offer=True)
    workers["registering again"].tell(Problem(409, "register again"))
    workers["done"].plan(ended=True)
    return workers


NAMES = sorted(in_every_state())


def test_every_event_has_a_handler_and_every_action_its_events():
    kinds = {type(event) for event in EXAMPLES}
    assert set(worker_module.Event.__args__) == kinds == set(Worker().machine._handlers)
    assert set(worker_module.Action.__args__) == set(OUTCOMES)
    assert set().union(*OUTCOMES.values()) == kinds
    assert {type(worker.action) for worker in in_every_state().values()} == set(OUTCOMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_event_is_handled_or_refused_in_every_state(name):
    for event in EXAMPLES:
        worker = in_every_state()[name]
        before = frozen(vars(worker.machine))
        if type(event) in OUTCOMES[type(worker.action)]:
            assert isinstance(worker.tell(event), tuple(OUTCOMES))
            continue
        with pytest.raises(FlqError) as refusal:
            worker.tell(event)
        assert refusal.value.detail == "the outcome of %s cannot be %s" % (
            type(worker.action).__name__,
            type(event).__name__,
        )
        assert frozen(vars(worker.machine)) == before


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 411, 413, 418, 422, 425, 429, 500, 502, 503])
def test_any_error_of_the_master_leads_on_or_to_an_exit(status):
    for name in ("new", "waiting", "uploading", "offering", "registering again"):
        worker = in_every_state()[name]
        for _ in range(12):
            action = worker.tell(Problem(status, "a reason"))
            if isinstance(action, Pause):
                worker.pause()
            elif isinstance(action, Exit):
                assert action.code == 2
                break
            else:
                assert isinstance(action, (CallRegister, CallAnswer))


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 405, 407, 409, 413, 418, 422, 502, 511])
def test_any_answer_of_a_stranger_is_tried_again_and_ends_no_worker(status):
    for name in ("new", "waiting", "uploading", "offering", "registering again"):
        worker = in_every_state()[name]
        for _ in range(6):
            if isinstance(worker.tell(Problem(status, "a reason", by_master=False)), Pause):
                worker.pause()
            assert isinstance(worker.action, (CallRegister, CallPoll, CallAnswer))


VERDICTS = st.builds(Verdict, st.sampled_from(list(Outcome)), st.integers(0, 9), st.integers(0, 9))


@given(st.binary(max_size=80) | VERDICTS, st.sampled_from(["uploading", "offering"]))
def test_any_verdict_leads_on(content, name):
    worker = in_every_state()[name]
    frame = content if isinstance(content, bytes) else joined_bytes(encode(content, LINK))
    assert isinstance(worker.tell(VerdictReceived(frame)), (CallPoll, CallAnswer, CallRegister, Pause, Exit))


@given(
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from([delta(0, (1, 0, 0, 0)), delta(1, (1, 0, 0, 0)), delta(2, (0, 1, 0, 0))]), max_size=3),
)
def test_any_plan_leads_on(round_index, version, crc, needs_offer, ended, frames):
    worker = joined()
    plan = Plan(round_index, version, crc, 0.0, needs_offer, ended, len(frames))
    stream = b"".join(joined_bytes(encode(message, LINK)) for message in [plan] + frames)
    assert isinstance(worker.tell(Polled(stream)), (CallPoll, Train, Pause, Exit))
