"""Failures are retried, attempts that hang are abandoned, and nothing waits for either."""

import threading

from waits import WAIT_S, wait_until

from flq.sinks.notify.notice import INFO, Notice
from flq.sinks.notify.sender import MOST_WAITING, PAUSES_S, Sender
from flq.sinks.notify.service import SendResult

NOTICES = [Notice("title %d" % k, "body", INFO) for k in range(10)]
DOWN, REFUSED = SendResult("it is down"), SendResult("it does not want it", True)


class Ear:
    """A service with given results, which records its messages."""

    name, takes_pictures = "Ear (address 1)", True

    def __init__(self, *outcomes):
        self.outcomes, self.came, self.said = list(outcomes), [], []
        self.hangs = threading.Event()

    def send(self, notice, picture):
        self.came.append((notice.title, picture))
        outcome = self.outcomes.pop(0) if self.outcomes else SendResult("")
        if outcome == "hang":
            self.hangs.wait(WAIT_S)
            return SendResult("")
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


def test_messages_are_sent_once_and_in_order():
    ear = Ear()
    deliver(ear, *NOTICES[:3])
    assert ear.came == [("title %d" % k, b"png") for k in range(3)] and ear.said == []


def test_a_failure_is_retried_and_the_last_time_without_the_picture():
    ear = Ear(DOWN, DOWN, DOWN, DOWN)
    deliver(ear, *NOTICES[:2])
    assert ear.came == [("title 0", b"png")] * 3 + [("title 0", None), ("title 1", b"png")]
    assert ear.said == ["a message to Ear (address 1) was not sent: it is down"]


def test_a_rejected_message_is_retried_once_without_the_picture():
    ear = Ear(REFUSED)
    deliver(ear, NOTICES[0])
    assert ear.came == [("title 0", b"png"), ("title 0", None)] and ear.said == []


def test_a_message_rejected_without_a_picture_is_dropped():
    ear = Ear(REFUSED, REFUSED)
    deliver(ear, NOTICES[0])
    assert ear.came == [("title 0", b"png"), ("title 0", None)] and len(ear.said) == 1
    text_only = Ear(REFUSED)
    deliver(text_only, NOTICES[0], picture=None)
    assert text_only.came == [("title 0", None)] and len(text_only.said) == 1


def test_a_service_that_hangs_is_abandoned_until_its_attempt_ends():
    ear = Ear("hang")
    deliver(ear, NOTICES[0], timeout_s=0.05)
    assert ear.came == [("title 0", b"png")]
    assert ear.said == ["a message to Ear (address 1) was not sent: an earlier attempt is still running"]


def test_closing_shortens_long_pauses():
    ear = Ear(DOWN)
    sender = ear.sender(pauses_s=(1000.0, 0.0))
    for notice in NOTICES[:2]:
        sender.send(notice, None)
    sender.begin_closing()
    assert sender.join(WAIT_S)
    assert [title for title, _ in ear.came] == ["title 0", "title 0", "title 1"] and ear.said == []


def test_the_pauses_get_longer():
    assert len(PAUSES_S) == 3 and list(PAUSES_S) == sorted(set(PAUSES_S))


def test_of_too_many_pending_messages_the_oldest_are_dropped():
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


def test_close_does_not_wait_longer_than_its_limit():
    ear = Ear("hang")
    sender = ear.sender()
    sender.send(NOTICES[0], None)
    sender.begin_closing()
    assert not sender.join(0.05)
    ear.hangs.set()
    assert sender.join(WAIT_S)
