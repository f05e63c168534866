"""The event loop: events are journalled before their effects, and a closed loop rejects all requests."""

import pytest
from local_master import WAIT_S

from flq.errors import BadValues, Unavailable
from flq.master.runtime.event_loop import GOING_DOWN, EventLoop, Execute
from flq.protocol.events import Journalled, Note, Reply, Tick


class Machine:
    """Replies to each event, a function of the ticket, with its return value."""

    effects = ()

    def next_deadline(self, now):
        return None

    def handle(self, event, now):
        return () if event == Tick() else event()

    def resume(self, now):
        raise AssertionError("the disk was not waited for")


class Steps:
    """Records the calls of a loop, in order."""

    def __init__(self):
        self.found = []
        self.loop = EventLoop(
            Machine(),
            lambda effects: self.found.append(("note", effects)) if effects else None,
            self.commit,
            lambda effect: self.found.append(("perform", effect)),
            lambda is_idle: None,
            lambda: self.found.append("end"),
        )

    def commit(self):
        if self.found and self.found[-1] != "commit":
            self.found.append("commit")
        return False


@pytest.fixture
def steps():
    made = Steps()
    made.loop.start()
    yield made
    made.loop.close(lambda: None)


def test_it_notes_then_commits_then_performs_and_replies(steps):
    change, note = Journalled("an event"), Note("text", "joined")
    assert steps.loop.ask(lambda ticket: lambda: (change, note, Reply(ticket, {"a": 1}))) == {"a": 1}
    names = [step if isinstance(step, str) else step[0] for step in steps.found[:3]]
    assert names == ["note", "commit", "perform"] and steps.found[2] == ("perform", note)


def test_an_error_in_a_reply_is_raised_in_the_requests_thread(steps):
    with pytest.raises(BadValues, match="no such thing"):
        steps.loop.ask(lambda ticket: lambda: (Reply(ticket, BadValues("no such thing")),))


def test_a_function_is_called_in_its_thread_and_its_result_is_the_reply(steps):
    assert steps.loop.ask(lambda ticket: Execute(lambda: 7)) == 7


def test_the_last_events_are_written_before_the_thread_ends_and_later_requests_are_rejected(steps):
    steps.loop.close(lambda: steps.found.append("last"))
    assert steps.found == ["last", "commit", "end"] and not steps.loop.failed
    steps.loop.close(lambda: steps.found.append("again"))  # once is enough
    assert "again" not in steps.found
    with pytest.raises(Unavailable, match=GOING_DOWN):
        steps.loop.ask(lambda ticket: Execute(lambda: 7))


def test_an_event_without_a_ticket_on_which_the_machine_fails_ends_it(steps):
    def fail():
        raise RuntimeError("broken by the test")

    steps.loop.tell(fail)
    steps.loop._thread.join(WAIT_S)
    assert steps.loop.failed and steps.found[-1] == "end"
