"""What fails is tried again, what hangs is left, and nobody waits for either."""

import threading

from waits import WAIT_S, wait_until

from flq.sinks.notify.notice import INFO, Notice
from flq.sinks.notify.sender import MOST_WAITING, PAUSES_S, Sender
from flq.sinks.notify.service import Outcome

NOTICES = [Notice("title %d" % k, "body", INFO) for k in range(10)]
DOWN, REFUSED = Outcome("it is down"), Outcome("it does not want it", True)


class Ear:
    """A service that answers as it is told, and notes what came."""

    name, takes_pictures = "Ear (address 1)", True

    def __init__(self, *outcomes):
        self.outcomes, self.came, self.said = list(outcomes), [], []
        self.hangs = threading.Event()

    def send(self, notice, picture):
        self.came.append((notice.title, picture))
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome("")
        if outcome == "hang":
            self.hangs.wait(WAIT_S)
            return Outcome("")
        return outcome

    def sender(self, timeout_s=WAIT_S, pauses_s=(0.0, 0.0, 0.0)):
        return Sender(self, timeout_s, self.said.append, pauses_s)


def deliver(ear, *notices, picture=b"png", timeout_s=WAIT_S):
    sender = ear.sender(timeout_s)
    for notice in notices:
        sender.send(notice, picture)
    sender.begin_closing()
    assert sender.join(WAIT_S)
    ear.hangs.set()


def test_what_is_taken_is_sent_once_in_order():
    ear = Ear()
    deliver(ear, *NOTICES[:3])
    assert ear.came == [("title %d" % k, b"png") for k in range(3)] and ear.said == []


def test_what_is_not_is_tried_again_a_few_times_and_in_the_end_without_the_picture():
    ear = Ear(DOWN, DOWN, DOWN, DOWN)
    deliver(ear, *NOTICES[:2])
    assert ear.came == [("title 0", b"png")] * 3 + [("title 0", None), ("title 1", b"png")]
    assert ear.said == ["a message to Ear (address 1) was not sent: it is down"]


def test_what_is_refused_is_tried_once_more_without_the_picture():
    ear = Ear(REFUSED)
    deliver(ear, NOTICES[0])
    assert ear.came == [("title 0", b"png"), ("title 0", None)] and ear.said == []


def test_what_is_refused_for_good_is_given_up():
    ear = Ear(REFUSED, REFUSED)
    deliver(ear, NOTICES[0])
    assert ear.came == [("title 0", b"png"), ("title 0", None)] and len(ear.said) == 1
    text_only = Ear(REFUSED)
    deliver(text_only, NOTICES[0], picture=None)
    assert text_only.came == [("title 0", None)] and len(text_only.said) == 1


def test_one_that_hangs_is_left_and_not_asked_again_until_it_has_ended():
    ear = Ear("hang")
    deliver(ear, NOTICES[0], timeout_s=0.05)
    assert ear.came == [("title 0", b"png")]
    assert ear.said == ["a message to Ear (address 1) was not sent: an earlier attempt is still running"]


def test_when_the_end_comes_long_pauses_are_over():
    ear = Ear(DOWN)
    sender = ear.sender(pauses_s=(1000.0, 0.0))
    for notice in NOTICES[:2]:
        sender.send(notice, None)
    sender.begin_closing()
    assert sender.join(WAIT_S)
    assert [title for title, _ in ear.came] == ["title 0", "title 0", "title 1"] and ear.said == []


def test_the_pauses_get_longer():
    assert len(PAUSES_S) == 3 and list(PAUSES_S) == sorted(set(PAUSES_S))


def test_of_too_many_that_wait_the_oldest_are_given_up():
    ear = Ear("hang")
    sender = ear.sender()
    sender.send(NOTICES[0], None)
    wait_until(lambda: ear.came)
    for notice in NOTICES[1:]:
        sender.send(notice, None)
    ear.hangs.set()
    sender.begin_closing()
    assert sender.join(WAIT_S)
    assert [title for title, _ in ear.came] == ["title 0"] + [notice.title for notice in NOTICES[-MOST_WAITING:]]
    assert ear.said == ["a message to Ear (address 1) was dropped: newer ones are waiting"] * (
        len(NOTICES) - 1 - MOST_WAITING
    )


def test_who_closes_does_not_wait_longer_than_asked():
    ear = Ear("hang")
    sender = ear.sender()
    sender.send(NOTICES[0], None)
    sender.begin_closing()
    assert not sender.join(0.05)
    ear.hangs.set()
    assert sender.join(WAIT_S)
