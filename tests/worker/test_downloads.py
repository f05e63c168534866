"""The received part of an interrupted response is kept, and the rest is requested."""

import gzip

import pytest
from stand_in import StandIn, error, response

from flq.protocol.worker_events import (
    CallAnswer,
    CallPoll,
    CallRegister,
    NothingNew,
    Polled,
    Unreachable,
    VerdictReceived,
)
from flq.worker.http_client import PROGRESS_BYTES, VERDICT_SIZE, MasterClient

POLL = CallPoll(epoch=2, have=5, answered=7)
UPLOAD = CallAnswer("/upload_update", [b"FLQfpayload"], have=5)
BODY = b"FLQf" + bytes(range(96))
VERDICT = b"FLQf" + bytes(VERDICT_SIZE - 4)
NAME = 'ETag: "abc"'
CLOSES = ("Connection: close",)
WHOLE = response("200 OK", BODY, [NAME])


def broken(n_bytes, *headers, body=BODY):
    """Return a response that is cut off after a number of bytes of its body."""
    return response("200 OK", body[:n_bytes], headers or [NAME], declared=len(body))


def rest(first, *headers, body=BODY):
    """Return the bytes from ``first`` on."""
    said = "Content-Range: bytes %d-%d/%d" % (first, len(body) - 1, len(body))
    return response("206 Partial Content", body[first:], headers or [NAME, said])


def ask(answers, *actions):
    """Return the events of calls with these responses, and the requests."""
    with StandIn(answers) as stand_in:
        client = MasterClient(stand_in.url, 3)
        found = [client.do(action) for action in actions]
    return found, stand_in.requests


def asks_for(request):
    """Return a request's fields for the rest of a response."""
    lines = request.split(b"\r\n\r\n")[0].split(b"\r\n")
    return sorted(line for line in lines if line.startswith((b"Range", b"If-Range")))


@pytest.mark.parametrize("n_bytes", [1, 50, 99])
def test_the_rest_of_a_poll_is_requested_and_appended(n_bytes):
    (lost, found), requests = ask([broken(n_bytes), rest(n_bytes)], POLL, POLL)
    assert type(lost) is Unreachable and "after %d of 100 bytes" % n_bytes in lost.detail
    assert found == Polled(BODY)
    assert asks_for(requests[0]) == []
    assert asks_for(requests[1]) == [b'If-Range: "abc"', b"Range: bytes=%d-" % n_bytes]


def test_a_rest_that_is_interrupted_is_resumed():
    again = response("206 Partial Content", BODY[20:60], [NAME, "Content-Range: bytes 20-99/100"], declared=80)
    (_, lost, found), requests = ask([broken(20), again, rest(60)], POLL, POLL, POLL)
    assert "after 60 of 100 bytes" in lost.detail and found == Polled(BODY)
    assert asks_for(requests[2])[1] == b"Range: bytes=60-"


def test_frames_after_a_verdict_are_kept_and_the_verdict_is_returned_alone():
    body = VERDICT + BODY
    (judged, found), requests = ask([broken(VERDICT_SIZE + 30, body=body), rest(30)], UPLOAD, POLL)
    assert judged == VerdictReceived(VERDICT) and found == Polled(BODY)
    assert asks_for(requests[1])[1] == b"Range: bytes=30-"


@pytest.mark.parametrize("n_bytes", [VERDICT_SIZE - 1, VERDICT_SIZE])
def test_nothing_is_kept_where_nothing_came_behind_the_verdict(n_bytes):
    (_, found), requests = ask([broken(n_bytes, body=VERDICT + BODY), WHOLE], UPLOAD, POLL)
    assert found == Polled(BODY) and asks_for(requests[1]) == []


@pytest.mark.parametrize(
    "headers",
    [("X-Other: 1",), ("ETag: abc",), ('ETag: W/"abc"',), ('ETag: "a\tc"',), ('ETag: "%s"' % ("a" * 65),)],
    ids=repr,
)
def test_a_response_without_a_valid_name_is_requested_completely(headers):
    (_, found), requests = ask([broken(50, *headers), WHOLE], POLL, POLL)
    assert found == Polled(BODY) and asks_for(requests[1]) == []


def test_another_response_replaces_the_kept_part():
    other = b"FLQf" + BODY[::-1]
    (_, found), _ = ask([broken(50), response("200 OK", other, ['ETag: "def"'])], POLL, POLL)
    assert found == Polled(other)


@pytest.mark.parametrize(
    "headers",
    [
        (NAME,),
        (NAME, "Content-Range: bytes 49-99/100"),
        (NAME, "Content-Range: bytes 50-98/100"),
        (NAME, "Content-Range: bytes 50-99/101"),
        (NAME, "Content-Range: many"),
        ('ETag: "def"', "Content-Range: bytes 50-99/100"),
    ],
    ids=repr,
)
def test_a_rest_that_does_not_fit_is_refused_and_the_whole_asked_for(headers):
    (_, refused, found), requests = ask([broken(50), rest(50, *headers), WHOLE], POLL, POLL, POLL)
    assert type(refused) is Unreachable and "not the rest" in refused.detail and found == Polled(BODY)
    assert asks_for(requests[1]) and asks_for(requests[2]) == []


def test_an_unrequested_rest_is_no_response():
    (found,), _ = ask([rest(50)], POLL)
    assert type(found) is Unreachable


@pytest.mark.parametrize(
    "between, answer, is_kept",
    [
        (POLL, error("503 Service Unavailable", "busy", headers=CLOSES), True),
        (POLL, b"", True),
        (POLL, response("204 No Content", headers=CLOSES), False),
        (POLL, error("422 Unprocessable Entity", "no", headers=CLOSES), False),
        (CallRegister({}), error("503 Service Unavailable", "busy", headers=CLOSES), True),
        (UPLOAD, response("200 OK", VERDICT, CLOSES), False),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_kept_part_lasts_until_the_next_response(between, answer, is_kept):
    _, requests = ask([broken(50), answer, WHOLE], POLL, between, POLL)
    assert bool(asks_for(requests[2])) == is_kept


def test_a_poll_from_another_version_wants_another_answer():
    _, requests = ask([broken(50), WHOLE], POLL, POLL._replace(have=-1))
    assert asks_for(requests[1]) == []


def test_nothing_new_stays_nothing_new():
    assert ask([broken(50), response("204 No Content")], POLL, POLL)[0][1] == NothingNew(0.0)


@pytest.mark.parametrize("n_bytes, made_progress", [(PROGRESS_BYTES - 1, False), (PROGRESS_BYTES, True)])
def test_progress_of_a_download_is_reported(n_bytes, made_progress):
    body = bytes(2 * PROGRESS_BYTES)
    (lost,), _ = ask([broken(n_bytes, body=body)], POLL)
    assert lost.made_progress is made_progress
    (lost,), _ = ask([broken(n_bytes, "X-Other: 1", body=body)], POLL)
    assert lost.made_progress is False


# -- what proxies make of an answer ------------------------------------------------------


def chunked(body, size=7, *headers, end=b"0\r\n\r\n", status="200 OK"):
    """Return a response in chunks."""
    head = "\r\n".join(("HTTP/1.1 %s" % status, "Transfer-Encoding: chunked") + headers + ("", "")).encode()
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def without_length(body, *headers):
    """Return a response that ends with its connection."""
    return ("\r\n".join(("HTTP/1.1 200 OK",) + headers + ("", ""))).encode() + body


def zipped(body, *headers):
    return response("200 OK", gzip.compress(body), ("Content-Encoding: gzip",) + headers)


@pytest.mark.parametrize(
    "remake",
    [
        chunked,
        without_length,
        zipped,
        lambda body: chunked(body, 100000, "ETag: W/x"),
        lambda body: response("200 OK", body, ("Content-Encoding: identity",)),
    ],
)
@pytest.mark.parametrize("body", [BODY, VERDICT + BODY, b"FLQf" + bytes(300000)], ids=len)
def test_an_answer_arrives_however_it_is_sent(remake, body):
    assert ask([remake(body)], POLL)[0] == [Polled(body)]
    assert ask([remake(body)], UPLOAD)[0] == [VerdictReceived(body)]


def test_a_connection_is_used_again_after_chunks():
    with StandIn([chunked(BODY)] * 3, keeps=True) as stand_in:
        client = MasterClient(stand_in.url, 3)
        assert [client.do(POLL) for _ in range(3)] == [Polled(BODY)] * 3
        assert stand_in.n_connections == 1


def test_the_rest_of_chunks_that_broke_off_is_asked_for():
    cut = chunked(BODY[:60], 20, NAME, end=b"a\r\nhalf")  # of ten
    (lost, found), requests = ask([cut, rest(64)], POLL, POLL)
    assert type(lost) is Unreachable and "after 64 bytes" in lost.detail
    assert found == Polled(BODY[:60] + b"half" + BODY[64:])
    assert asks_for(requests[1])[1] == b"Range: bytes=64-"


def test_the_rest_may_come_in_chunks():
    again = chunked(BODY[20:], 30, NAME, "Content-Range: bytes 20-99/100", status="206 Partial Content")
    (_, found), _ = ask([broken(20), again], POLL, POLL)
    assert found == Polled(BODY)


def test_a_rest_of_another_length_than_it_declares_is_no_rest():
    again = chunked(BODY[20:] + b"more", 30, NAME, "Content-Range: bytes 20-99/100", status="206 Partial Content")
    (_, lost), _ = ask([broken(20), again], POLL, POLL)
    assert type(lost) is Unreachable


@pytest.mark.parametrize(
    "answer",
    [
        chunked(BODY, end=b""),
        chunked(BODY, end=b"zz\r\n"),
        chunked(BODY, end=b"-5\r\nabc"),
        chunked(b"", end=b"0\r\n"),
        zipped(BODY)[:-4],
        response("200 OK", b"no gzip", ("Content-Encoding: gzip",)),
        response("200 OK", BODY, ("Content-Encoding: br",)),
        without_length(b""),
    ],
    ids=lambda answer: repr(answer[-20:]),
)
def test_an_incomplete_or_undecodable_body_is_no_response(answer):
    (lost,), _ = ask([answer], POLL)
    assert type(lost) is Unreachable and "\n" not in lost.detail


@pytest.mark.parametrize("remake", [lambda body: chunked(body, end=b""), lambda body: zipped(body)[:-4]])
def test_a_verdict_is_not_lost_if_the_rest_is_cut_off_in_any_encoding(remake):
    (judged,), _ = ask([remake(VERDICT + BODY)], UPLOAD)
    assert type(judged) is VerdictReceived and judged.frame.startswith(VERDICT)


def test_a_compressed_response_is_not_resumed():
    (_, found), requests = ask([zipped(BODY, NAME)[:-30], WHOLE], POLL, POLL)
    assert found == Polled(BODY) and asks_for(requests[1]) == []
