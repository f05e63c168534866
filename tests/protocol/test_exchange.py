"""The worker's loop: the destination of each action, and a transport in memory."""

import pytest
from reports import REPORT
from test_worker_machine import LAYOUT, LINK, Worker

from flq.core.data_report import to_json
from flq.errors import BadValues, Conflict, OutOfMemory, WireError
from flq.protocol import events
from flq.protocol.exchange import Local, methods_of, run_worker, to_master, to_worker
from flq.protocol.messages import Outcome, Verdict
from flq.protocol.wire import encode
from flq.protocol.worker_events import (
    Build,
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
    Save,
    Saved,
    Train,
    Trained,
    Unable,
    Unreachable,
    VerdictReceived,
)
from flq.training.task import LocalUpdate

POLL = CallPoll(epoch=3, have=5, answered=7)


class Trainer:
    n_samples, layout = 30, LAYOUT
    data_report = REPORT

    def __init__(self, settings):
        self.settings = settings

    def local_update(self, shared, round_index):
        if round_index == 13:
            raise OutOfMemory("too little memory")
        return LocalUpdate("update of %d" % round_index, 0.5, 1, n_trained=64)


class Clock:
    """A clock that advances by a second per call."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def local():
    clock = Clock()
    made = Local(Trainer, clock, clock.slept.append)
    made.slept = clock.slept
    return made


def perform(action, local, call):
    return methods_of(local).get(type(action), call)(action)


def refuse(action):
    raise AssertionError("the master is asked for %s" % type(action).__name__)


def test_local_actions_of_a_worker_never_reach_the_master(local):
    assert perform(Build({"a": 1}), local, refuse) == Built(30, LAYOUT, REPORT)
    assert local.trainer.settings == {"a": 1}
    assert perform(Train("shared", 2), local, refuse) == Trained("update of 2", 0.5, 1.0, None, 64)
    assert perform(Train("shared", 13), local, refuse) == Unable("too little memory", 1.0)
    assert perform(Save(None), local, refuse) == Saved()
    assert perform(Pause(2.5), local, refuse) == Paused() and local.slept == [2.5]


@pytest.mark.parametrize("action", [CallRegister({}), POLL, CallAnswer("/offer", [b"frame"], 5)])
def test_the_transport_carries_calls_and_its_results_are_passed_unchanged(local, action):
    seen = []
    assert perform(action, local, lambda call: seen.append(call) or "event") == "event"
    assert perform(action, local, lambda call: None) is None  # the reply comes later
    assert seen == [action]


def test_a_worker_runs_until_its_machine_exits(local):
    machine, told = Worker().machine, []
    replies = [Unreachable("nobody is there"), Registered(Worker().body(ended=True))]
    end = run_worker(machine, local, lambda action: replies.pop(0), Clock(), lambda: told.append(machine.state.value))
    assert end == Exit(0, "the run has ended")
    assert told == ["JOINING", "JOINING", "DONE"]  # after each event: no answer, the pause, the reply
    assert len(local.slept) == 1


def test_calls_become_events_of_the_master_through_their_bytes():
    body = dict(Worker().action.body, n_samples=3)
    assert to_master(CallRegister(body), 9, 2, LINK, "key") == events.Register(9, 2, "one", 3, session="key")
    reported = CallRegister(dict(body, data=to_json(REPORT)))
    assert to_master(reported, 9, 2, LINK, "key") == events.Register(9, 2, "one", 3, session="key", data=REPORT)
    with pytest.raises(BadValues, match="data.checksum must be a whole number in 0..2.32-1, got -1"):
        to_master(CallRegister(dict(body, data=dict(to_json(REPORT), checksum=-1))), 9, 2, LINK)
    assert to_master(POLL, 9, 2, LINK) == events.Poll(9, 2, 3, 5, 7)
    with pytest.raises(WireError, match="the worker has wire version 5, expected 6"):
        to_master(CallRegister(dict(body, wire=5)), 9, 2, LINK)
    with pytest.raises(WireError):
        to_master(CallAnswer("/offer", [b"FLQf", b"oops"], 5), 9, 2, LINK)
    with pytest.raises(BadValues, match="expected a skip, an offer or an upload, got a verdict"):
        to_master(CallAnswer("/offer", encode(Verdict(Outcome.NOTED, 1, 1), LINK), 5), 9, 2, LINK)


@pytest.mark.parametrize(
    "action, reply, event",
    [
        (POLL, None, NothingNew(0.0)),
        (POLL, [b"FL", memoryview(b"Qf")], Polled(b"FLQf")),
        (CallAnswer("/offer", [], 5), [b"FLQf"], VerdictReceived(b"FLQf")),
        (CallRegister({}), {"layout": [["w", (3,)]]}, Registered({"layout": [["w", [3]]]})),
        (POLL, Conflict("another run", "register"), Problem(409, "another run (register)")),
    ],
)
def test_replies_become_events_of_the_worker_through_their_bytes(action, reply, event):
    assert to_worker(action, reply) == event
