"""The pauses of a worker whose requests fail."""

import random

from flq.protocol.backoff import FIRST_PAUSE_S, LONGEST_PAUSE_S, Backoff


def backoff(give_up_s=100.0):
    made = Backoff(random.Random(1), give_up_s)
    made.last_contact = 0.0
    return made


def test_pauses_double_up_to_the_longest_and_each_is_spread():
    made = backoff()
    for n_failures in range(60):
        whole = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**n_failures)
        assert whole / 2 <= made.fail() <= whole
    assert len({made.fail() for _ in range(10)}) == 10


def test_a_success_makes_the_next_pause_short_again():
    made = backoff()
    for _ in range(10):
        made.fail()
    made.succeed(1.0)
    assert made.fail() <= FIRST_PAUSE_S


def test_no_pause_is_shorter_than_the_master_asks_for():
    made = backoff()
    assert made.fail(retry_after_s=7.0) == 7.0
    assert made.fail(retry_after_s=0.0) <= 2 * FIRST_PAUSE_S


def test_it_gives_up_after_its_time_without_a_reply():
    made = backoff(give_up_s=100.0)
    assert not made.gives_up(100.0) and made.gives_up(100.5)
    made.fail()
    assert made.gives_up(100.5)  # a failure is no contact
    made.succeed(100.5)
    assert not made.gives_up(200.5) and made.gives_up(201.0)
