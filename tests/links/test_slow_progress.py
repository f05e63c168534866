"""A worker that makes progress, however slowly, neither waits ever longer nor gives up."""

import random

from flq.protocol.backoff import LONGEST_PAUSE_S
from flq.protocol.worker_events import Exit, Pause, Paused, Unreachable
from flq.protocol.worker_machine import WorkerMachine

GIVE_UP_S = 100.0


def fail(machine, now, made_progress):
    """Report a failure; return the pause that follows, or the exit."""
    action = machine.handle(Unreachable("broke off", made_progress), now)
    if isinstance(action, Pause):
        machine.handle(Paused(), now)
    return action


def test_a_worker_with_progress_pauses_briefly_each_time():
    machine = WorkerMachine(0, "a", random.Random(1), GIVE_UP_S)
    machine.start(0.0)
    assert all(fail(machine, 0.0, made_progress=True).seconds <= 0.5 for _ in range(20))
    longest = max(fail(machine, 0.0, made_progress=False).seconds for _ in range(20))
    assert longest > LONGEST_PAUSE_S / 2
    assert fail(machine, 0.0, made_progress=True).seconds <= 0.5


def test_a_worker_with_progress_gives_up_only_without_it():
    machine = WorkerMachine(0, "a", random.Random(1), GIVE_UP_S)
    machine.start(0.0)
    for now in range(90, 1000, 90):
        assert isinstance(fail(machine, now, made_progress=True), Pause)
    last = 990.0
    assert isinstance(fail(machine, last + GIVE_UP_S - 1, made_progress=False), Pause)
    assert isinstance(fail(machine, last + GIVE_UP_S + 1, made_progress=False), Exit)
