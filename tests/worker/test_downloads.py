"""What has come of an answer that breaks off is kept, and the rest of it is asked for."""

import pytest
from stand_in import StandIn, error, response

from flq.protocol.worker_events import CallAnswer, CallPoll, CallRegister, Judged, NothingNew, Polled, Unreachable
from flq.worker.http_client import GETS_ON, VERDICT_SIZE, MasterClient

POLL = CallPoll(epoch=2, have=5, answered=7)
UPLOAD = CallAnswer("/upload_update", [b"FLQfpayload"], have=5)
BODY = bytes(range(100))
NAME = 'ETag: "abc"'
CLOSES = ("Connection: close",)
WHOLE = response("200 OK", BODY, [NAME])


def broken(n_bytes, *headers, body=BODY):
    """Return an answer that breaks off after so many bytes of its body."""
    return response("200 OK", body[:n_bytes], headers or [NAME], declared=len(body))


def rest(first, *headers, body=BODY):
    """Return the bytes from ``first`` on."""
    said = "Content-Range: bytes %d-%d/%d" % (first, len(body) - 1, len(body))
    return response("206 Partial Content", body[first:], headers or [NAME, said])


def ask(answers, *actions):
    """Return what becomes of calls that are answered so, and the requests."""
    with StandIn(answers) as stand_in:
        client = MasterClient(stand_in.url, 3)
        found = [client.do(action) for action in actions]
    return found, stand_in.requests


def asks_for(request):
    """Return what a request says of the rest that it wants."""
    lines = request.split(b"\r\n\r\n")[0].split(b"\r\n")
    return sorted(line for line in lines if line.startswith((b"Range", b"If-Range")))


@pytest.mark.parametrize("n_bytes", [1, 50, 99])
def test_the_rest_of_a_poll_is_asked_for_and_put_behind_what_has_come(n_bytes):
    (lost, found), requests = ask([broken(n_bytes), rest(n_bytes)], POLL, POLL)
    assert type(lost) is Unreachable and "after %d of 100 bytes" % n_bytes in lost.detail
    assert found == Polled(BODY)
    assert asks_for(requests[0]) == []
    assert asks_for(requests[1]) == [b'If-Range: "abc"', b"Range: bytes=%d-" % n_bytes]


def test_a_rest_that_breaks_off_is_gone_on_with():
    again = response("206 Partial Content", BODY[20:60], [NAME, "Content-Range: bytes 20-99/100"], declared=80)
    (_, lost, found), requests = ask([broken(20), again, rest(60)], POLL, POLL, POLL)
    assert "after 60 of 100 bytes" in lost.detail and found == Polled(BODY)
    assert asks_for(requests[2])[1] == b"Range: bytes=60-"


def test_what_follows_a_verdict_is_kept_and_the_verdict_comes_alone():
    body = bytes(VERDICT_SIZE) + BODY
    (judged, found), requests = ask([broken(VERDICT_SIZE + 30, body=body), rest(30)], UPLOAD, POLL)
    assert judged == Judged(bytes(VERDICT_SIZE)) and found == Polled(BODY)
    assert asks_for(requests[1])[1] == b"Range: bytes=30-"


@pytest.mark.parametrize("n_bytes", [VERDICT_SIZE - 1, VERDICT_SIZE])
def test_nothing_is_kept_where_nothing_came_behind_the_verdict(n_bytes):
    (_, found), requests = ask([broken(n_bytes, body=bytes(VERDICT_SIZE) + BODY), WHOLE], UPLOAD, POLL)
    assert found == Polled(BODY) and asks_for(requests[1]) == []


@pytest.mark.parametrize("headers", [("X-Other: 1",), ("ETag: abc",), ('ETag: W/"abc"',), ('ETag: "a\tc"',),
                                     ('ETag: "%s"' % ("a" * 65),)], ids=repr)
def test_what_has_no_good_name_is_asked_for_whole(headers):
    (_, found), requests = ask([broken(50, *headers), WHOLE], POLL, POLL)
    assert found == Polled(BODY) and asks_for(requests[1]) == []


def test_another_answer_takes_the_place_of_what_was_kept():
    other = BODY[::-1]
    (_, found), _ = ask([broken(50), response("200 OK", other, ['ETag: "def"'])], POLL, POLL)
    assert found == Polled(other)


@pytest.mark.parametrize("headers", [
    (NAME,), (NAME, "Content-Range: bytes 49-99/100"), (NAME, "Content-Range: bytes 50-98/100"),
    (NAME, "Content-Range: bytes 50-99/101"), (NAME, "Content-Range: many"),
    ('ETag: "def"', "Content-Range: bytes 50-99/100")], ids=repr)
def test_a_rest_that_does_not_fit_is_refused_and_the_whole_asked_for(headers):
    (_, refused, found), requests = ask([broken(50), rest(50, *headers), WHOLE], POLL, POLL, POLL)
    assert type(refused) is Unreachable and "not the rest" in refused.detail and found == Polled(BODY)
    assert asks_for(requests[1]) and asks_for(requests[2]) == []


def test_a_rest_that_nobody_asked_for_is_no_answer():
    (found,), _ = ask([rest(50)], POLL)
    assert type(found) is Unreachable


@pytest.mark.parametrize("between, answer, is_kept", [
    (POLL, error("503 Service Unavailable", "busy", headers=CLOSES), True), (POLL, b"", True),
    (POLL, response("204 No Content", headers=CLOSES), False),
    (POLL, error("422 Unprocessable Entity", "no", headers=CLOSES), False),
    (CallRegister({}), error("503 Service Unavailable", "busy", headers=CLOSES), True),
    (UPLOAD, response("200 OK", bytes(VERDICT_SIZE), CLOSES), False)], ids=lambda value: repr(value)[:30])
def test_what_is_kept_lives_until_the_master_has_something_else_to_say(between, answer, is_kept):
    _, requests = ask([broken(50), answer, WHOLE], POLL, between, POLL)
    assert bool(asks_for(requests[2])) == is_kept


def test_a_poll_from_another_version_wants_another_answer():
    _, requests = ask([broken(50), WHOLE], POLL, POLL._replace(have=-1))
    assert asks_for(requests[1]) == []


def test_nothing_new_is_what_it_was():
    assert ask([broken(50), response("204 No Content")], POLL, POLL)[0][1] == NothingNew(0.0)


@pytest.mark.parametrize("n_bytes, gets_on", [(GETS_ON - 1, False), (GETS_ON, True)])
def test_that_much_has_come_is_said(n_bytes, gets_on):
    body = bytes(2 * GETS_ON)
    (lost,), _ = ask([broken(n_bytes, body=body)], POLL)
    assert lost.gets_on is gets_on
    (lost,), _ = ask([broken(n_bytes, "X-Other: 1", body=body)], POLL)
    assert lost.gets_on is False
