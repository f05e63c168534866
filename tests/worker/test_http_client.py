"""Any response, or none, becomes an event of the worker's machine."""

import json
import re

import pytest
import requests
from stand_in import StandIn, error, response, unused_url

from flq.errors import ConfigError
from flq.protocol.wire import VERSION
from flq.protocol.worker_events import (
    CallAnswer,
    CallPoll,
    CallRegister,
    NothingNew,
    Polled,
    Problem,
    Registered,
    Unreachable,
    VerdictReceived,
)
from flq.worker import downloads
from flq.worker.http_client import MasterClient

REGISTER = CallRegister({"worker_id": 3, "instance": "a"})
POLL = CallPoll(epoch=2, have=5, answered=7)
UPLOAD = CallAnswer("/upload_update", [b"FLQf", memoryview(b"payload")], have=5)
CALLS = [REGISTER, POLL, UPLOAD]
REGISTERED = {
    "wire": VERSION,
    "run_id": "r",
    "ended": False,
    "joined": True,
    "n_sessions": 1,
    "warning": None,
    "resumed": False,
    "epoch": 1,
    "lease_s": 300.0,
    "start_crc": 5,
    "codings": [],
    "layout": [["w", [4]]],
    "settings": {"system": {"seed": 42}},
}


def ask(answer, action):
    """Return the event of a call with this response, and the request."""
    with StandIn([answer]) as stand_in:
        event = MasterClient(stand_in.url, 3).do(action)
    return event, stand_in.requests[0]


def the_name(action):
    return type(action).__name__


# -- requests, and valid responses -------------------------------------------------------


def test_a_registration_is_sent_as_json_and_its_reply_comes_back():
    event, request = ask(response("200 OK", REGISTERED), REGISTER)
    assert type(event) is Registered and event.body == REGISTERED
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /register HTTP/1.1\r\n")
    assert json.loads(body.decode()) == REGISTER.body


def test_a_poll_names_the_worker_and_its_version_and_returns_the_bytes_unchanged():
    frames = b"FLQf" + bytes(range(256)) * 5000  # more than is read at a time
    event, request = ask(response("200 OK", frames), POLL)
    assert type(event) is Polled and event.stream == frames
    assert request.startswith(b"GET /get_global_model?worker=3&epoch=2&have=5&answered=7 HTTP/1.1\r\n")
    assert b"\r\nAccept: application/x-flq\r\n" in request


def test_an_upload_is_sent_in_one_piece_with_its_length():
    event, request = ask(response("200 OK", b"FLQf verdict"), UPLOAD)
    assert type(event) is VerdictReceived and event.frame == b"FLQf verdict"
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /upload_update?worker=3&have=5 HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 11" in head and b"chunked" not in head.lower()
    assert body == b"FLQfpayload"


def test_a_frame_larger_than_a_piece_arrives_whole():
    frame = [b"head", memoryview(bytes(range(256)) * 10000)]
    _, request = ask(response("200 OK", b"FLQf"), CallAnswer("/upload_update", frame, 5))
    assert request.partition(b"\r\n\r\n")[2] == b"head" + bytes(range(256)) * 10000


def test_calls_share_one_connection():
    with StandIn(
        [response("200 OK", REGISTERED), response("204 No Content"), response("200 OK", b"FLQf")], keeps=True
    ) as stand_in:
        client = MasterClient(stand_in.url, 3)
        assert [the_name(client.do(call)) for call in CALLS] == ["Registered", "NothingNew", "VerdictReceived"]
        assert stand_in.n_connections == 1


@pytest.mark.parametrize("key, shown", [("", b"a-token"), ("a-key", b"a-token:a-key")])
def test_the_session_key_follows_the_token(key, shown):
    with StandIn([response("200 OK", b"FLQf")] * 2) as stand_in:
        client = MasterClient(stand_in.url, 3, lambda: "a-token", session_key=key)
        client.heartbeat(2)  # which looks for the token
        client.do(POLL)
    for request in stand_in.requests:
        assert re.findall(rb"Authorization: Bearer (.*)\r\n", request) == [shown]


def test_requests_carry_few_bytes_beside_the_frame():
    for call, most, names in (
        (POLL, 150, [b"Host", b"Accept", b"X-FLQ-CRC32"]),
        (UPLOAD, 130, [b"Host", b"Content-Length", b"X-FLQ-CRC32"]),
    ):
        _, request = ask(response("200 OK", b"FLQf"), call)
        lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        assert sorted(line.partition(b":")[0] for line in lines) == sorted(names)
        assert len(request) <= most


def test_without_a_version_nothing_is_asked_for_beside_the_verdict():
    _, request = ask(response("200 OK", b"FLQf"), UPLOAD._replace(have=None))
    assert request.startswith(b"POST /upload_update?worker=3 HTTP/1.1\r\n")


@pytest.mark.parametrize("n_received", [37, 38, 90])
def test_a_received_verdict_is_not_lost_if_the_rest_is_cut_off(n_received):
    body = b"FLQf" + bytes(range(n_received - 4))
    event, _ = ask(response("200 OK", body, declared=100), UPLOAD)
    assert event == VerdictReceived(body) and type(event) is VerdictReceived


def test_a_body_larger_than_the_first_buffer_arrives_whole(monkeypatch):
    monkeypatch.setattr(downloads, "FIRST_BUFFER", 1000)
    frames = b"FLQf" + bytes(range(252)) * 50
    event, _ = ask(response("200 OK", frames), POLL)
    assert event.stream == frames
    event, _ = ask(response("200 OK", frames, declared=10**12), POLL)
    assert type(event) is Unreachable and "after 12604 of 1000000000000 bytes" in event.detail


@pytest.mark.parametrize(
    "headers, pause",
    [
        ((), 0.0),
        (("Retry-After: 2",), 2.0),
        (("Retry-After: soon",), 0.0),
        (("Retry-After: " + "9" * 400,), 60.0),
        (("Retry-After: \xb2",), 0.0),
    ],
)
def test_204_is_nothing_new_with_a_time_to_wait(headers, pause):
    event, _ = ask(response("204 No Content", headers=headers), POLL)
    assert event == NothingNew(pause) and type(event) is NothingNew


def test_the_environment_is_asked_for_proxies_at_the_first_request_only(monkeypatch):
    asked, find_proxies = [], requests.sessions.get_environ_proxies
    monkeypatch.setattr(
        requests.sessions,
        "get_environ_proxies",
        lambda *args, **kwargs: asked.append(args) or find_proxies(*args, **kwargs),
    )
    with StandIn([response("200 OK", {})] * 3, keeps=True) as stand_in:
        client = MasterClient(stand_in.url, 3)
        client.heartbeat(2)
        n_asked = len(asked)
        client.heartbeat(2)
        client.heartbeat(2)
    assert 1 <= n_asked == len(asked)


def test_a_heartbeat_names_worker_and_epoch():
    with StandIn([response("200 OK", {})]) as stand_in:
        MasterClient(stand_in.url, 3).heartbeat(2)
    assert stand_in.requests[0].startswith(b"POST /heartbeat HTTP/1.1\r\n")
    assert json.loads(stand_in.requests[0].partition(b"\r\n\r\n")[2].decode()) == {"worker_id": 3, "epoch": 2}


@pytest.mark.parametrize(
    "answer, expected",
    [
        (response("200 OK", {}), None),
        (error("409 Conflict", "it is not part of the run", "register again"), None),
        (response("403 Forbidden", b"<html>"), "403 Forbidden (a proxy on the way refuses the request: have it pass"),
        (response("413 Too Large", {}), "413 Too Large (a proxy on the way takes no request of this size"),
        (response("200 OK", b"<html>"), "200 OK, but no message of FLQ"),
        (response("302 Found", b""), "302 Found"),
    ],
)
def test_a_heartbeat_names_the_intermediary_that_has_answered(answer, expected):
    with StandIn([answer]) as stand_in:
        said = MasterClient(stand_in.url, 3).heartbeat(2)
    assert (
        said == expected
        if expected is None
        else ("the server at %s/heartbeat is not an FLQ master: %s" % (stand_in.url, expected) in said)
    )


# -- errors of the master ----------------------------------------------------------------


@pytest.mark.parametrize("action", CALLS, ids=the_name)
def test_an_error_of_the_master_is_a_problem_with_its_sentence(action):
    event, _ = ask(error("422 Unprocessable Entity", "worker id must be in 0..3", "use another"), action)
    assert type(event) is Problem
    assert event == Problem(422, "worker id must be in 0..3 (use another)", 0.0)


@pytest.mark.parametrize("action", CALLS, ids=the_name)
def test_unavailable_has_a_time_to_wait(action):
    event, _ = ask(error("503 Service Unavailable", "not now", headers=("Retry-After: 7",)), action)
    assert event == Problem(503, "not now", 7.0)


# -- no master ---------------------------------------------------------------------------


@pytest.mark.parametrize("action", CALLS, ids=the_name)
def test_a_refused_connection_is_one_sentence(action):
    url = unused_url()
    event = MasterClient(url, 3).do(action)
    assert type(event) is Unreachable
    assert event.detail.startswith("no answer from the master at %s: " % url)
    assert "refused" in event.detail and "object at 0x" not in event.detail and "\n" not in event.detail


def test_a_name_that_does_not_exist_is_one_sentence():
    event = MasterClient("http://nowhere.invalid:5000", 3).do(POLL)
    assert type(event) is Unreachable
    assert "object at 0x" not in event.detail and "\n" not in event.detail


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "[http://x]", "[10.0.0.1:5000]", "*", ".", "a%zz"])
@pytest.mark.parametrize("action", CALLS, ids=the_name)
def test_an_invalid_address_is_rejected_without_a_retry(host, action):
    with pytest.raises(ConfigError, match="cannot be the address of a master: .*--master_ip takes") as caught:
        MasterClient("http://%s:5000" % host, 3).do(action)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["prepare_request", "send"])
@pytest.mark.parametrize("error", [requests.exceptions.InvalidURL, requests.exceptions.MissingSchema])
def test_errors_of_requests_for_a_malformed_url_blame_the_url(monkeypatch, error, method):
    client = MasterClient(unused_url(), 3)

    def request(*args, **kwargs):
        raise error("no URL")

    monkeypatch.setattr(client._session, method, request)
    with pytest.raises(ConfigError, match="no URL"):
        client.do(REGISTER)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_refused_connection_names_no_class_of_a_library(host):
    event = MasterClient(unused_url().replace("127.0.0.1", host), 3).do(POLL)
    assert type(event) is Unreachable and re.search(
        " at http://[^ ]*: Failed to establish a new connection: ", event.detail
    )


@pytest.mark.parametrize("url", ["http://a..b:5000", "http://*:5000", "http://nowhere.invalid:5000", None])
def test_a_heartbeat_without_a_response_does_no_harm(url):
    assert MasterClient(url or unused_url(), 3).heartbeat(1) is None


@pytest.mark.parametrize("action", CALLS, ids=the_name)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\n",
        response("200 OK", b"abc", declared=100),
        response("200 OK", b"", declared=1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nabc",
    ],
    ids=repr,
)
def test_an_answer_that_breaks_off_is_no_answer(action, answer):
    event, _ = ask(answer, action)
    assert type(event) is Unreachable
    assert "\n" not in event.detail


@pytest.mark.parametrize(
    "answer",
    [
        response("200 OK", b"<html>hello</html>"),
        response("200 OK", b"[]"),
        response("200 OK", b"5"),
        response("200 OK", b"null"),
        response("200 OK", {"hello": "world"}),
        response("200 OK", b"\xff\xfe"),
        response("200 OK", b"[" * 50000),
        response("200 OK", dict(REGISTERED, settings=[])),
        response("200 OK", dict(REGISTERED, layout=None)),
        response("200 OK", dict(REGISTERED, epoch="x")),
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
    ],
    ids=lambda answer: repr(answer[-30:]),
)
def test_a_registration_answered_by_another_server_is_reported(answer):
    event, _ = ask(answer, REGISTER)
    assert type(event) is Problem and not event.by_master
    assert "is not an FLQ master" in event.detail


@pytest.mark.parametrize("version", [VERSION - 1, None])
def test_a_reply_of_another_wire_version_is_the_masters_too(version):
    body = dict(REGISTERED, wire=version)
    del body["resumed"]
    event, _ = ask(response("200 OK", body), REGISTER)
    assert event == Registered(body)


@pytest.mark.parametrize("action", [POLL, UPLOAD], ids=the_name)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n",
    ],
    ids=repr,
)
def test_an_answer_of_impossible_length_is_of_no_master(action, answer):
    event, _ = ask(answer, action)
    assert type(event) is Unreachable
    assert "\n" not in event.detail


@pytest.mark.parametrize("action", CALLS, ids=the_name)
@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error", "502 Bad Gateway"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>\nError\n</html>",
        b"[]",
        b'{"error": "x"}',
        b'"x"',
        b"[" * 50000,
        b'{"error": 1, "detail": 2, "hint": 3}',
        b"\xff",
        b"x" * 200000,
    ],
    ids=len,
)
def test_an_error_of_something_else_is_a_problem_in_one_sentence(action, status, body):
    event, _ = ask(response(status, body), action)
    assert type(event) is Problem and event.status == int(status[:3]) and not event.by_master
    assert status[4:] in event.detail and "\n" not in event.detail
