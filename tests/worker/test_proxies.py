"""The worker names a proxy, or another server that answers for the master, as the cause."""

import socket
import threading

import pytest
from stand_in import StandIn, error, response, unused_url

from flq.errors import ConfigError
from flq.protocol.worker_events import CallAnswer, CallPoll, CallRegister, Problem, Unreachable, VerdictReceived
from flq.worker.http_client import MasterClient

CALLS = [
    CallRegister({"worker_id": 3}),
    CallPoll(epoch=2, have=5, answered=7),
    CallAnswer("/upload_update", [b"FLQfpayload"], have=5),
]
PAGE = b"<html>\nhello</html>"


def ask(answer, action=CALLS[1]):
    """Return the event of a call with these responses, and the requests."""
    with StandIn([answer]) as stand_in:
        return MasterClient(stand_in.url, 3).do(action), stand_in.requests


# -- answers that are not the master's ---------------------------------------------------


@pytest.mark.parametrize("action", CALLS, ids=lambda action: type(action).__name__)
@pytest.mark.parametrize(
    "status, words",
    [
        ("200 OK", "200 OK, but no message of FLQ (a login page"),
        ("401 Unauthorized", "401 Unauthorized (a proxy"),
        ("403 Forbidden", "403 Forbidden (a proxy on the way refuses"),
        ("404 Not Found", "404 Not Found (--master_ip and"),
        ("405 Method Not Allowed", "405 Method Not Allowed (--master_ip"),
        ("407 Proxy", "wants a password"),
        ("413 Too Large", "413 Too Large (a proxy on the way takes no request of this size: raise its limit (nginx: "),
        ("418 I'm a teapot", "418 I'm a teapot"),
        ("502 Bad Gateway", "does not reach the master: is the master running?"),
        ("504 Gateway Timeout", "is the master running?"),
        ("511 Network", "log in to the network first"),
    ],
)
def test_a_page_of_something_else_is_one_sentence_with_its_cause(action, status, words):
    event, _ = ask(response(status, PAGE, ("Retry-After: 7",)), action)
    assert (type(event), event.status, event.by_master, event.retry_after_s) == (Problem, int(status[:3]), False, 7.0)
    assert event.detail.startswith("the server at http://127.0.0.1:") and " is not an FLQ master: " in event.detail
    assert words in event.detail and "\n" not in event.detail and "epoch=" not in event.detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location, words",
    [
        ("http://login.example/page?token=abc", "which leads to http://login.example/page (a login page"),
        ("http://me:secret@login.example/", "which leads to http://login.example/ (a login"),
        ("/login", "/login (a login page"),
        ("https://127.0.0.1/register", "(start the worker with --tls"),
        ("http://[", "(a login page"),
        ("http://a..b/login", "http://a..b/login"),
        ("http://x/\x1b[31m", "http://x/?[31m"),
    ],
)
def test_a_redirect_is_named_and_not_followed(status, location, words):
    with StandIn([response("%d Moved" % status, b"", ("Location: %s" % location,))]) as stand_in:
        event = MasterClient(stand_in.url, 3).do(CALLS[2])
        assert stand_in.n_connections == 1
    assert type(event) is Problem and event.status == status and not event.by_master
    assert words in event.detail and "secret" not in event.detail and "abc" not in event.detail


@pytest.mark.parametrize(
    "token, challenge, words",
    [
        (
            "t" * 20,
            ('WWW-Authenticate: Bearer realm="flq"',),
            "the token of this worker does not reach the master at http",
        ),
        ("t" * 20, ('WWW-Authenticate: Bearer realm="flq", error="invalid_token"',), "this is what the master says"),
        ("t" * 20, (), "this is what the master says"),
        (None, ('WWW-Authenticate: Bearer realm="flq"',), "this is what the master says"),
    ],
)
def test_a_token_that_is_lost_on_the_way_is_named(token, challenge, words):
    with StandIn([error("401 Unauthorized", "this is what the master says", headers=challenge)]) as stand_in:
        event = MasterClient(stand_in.url, 3, lambda: token).do(CALLS[0])
    assert event.status == 401 and event.by_master and event.detail.startswith(words)


def test_words_of_a_stranger_do_not_reach_the_terminal_as_they_are():
    event, _ = ask(response("403 \x1b[31m" + "x" * 500, PAGE))
    assert "\x1b" not in event.detail and "x" * 100 not in event.detail


def test_why_a_peer_takes_no_more_of_a_request_is_read():
    listener = socket.create_server(("127.0.0.1", 0)) if hasattr(socket, "create_server") else socket.socket()
    with listener:
        if not hasattr(socket, "create_server"):
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)

        def refuse():  # as nginx does: the rest of the body is not read
            connection, _ = listener.accept()
            connection.recv(100)
            connection.sendall(response("413 Too Large", PAGE, ("Connection: close",)))
            connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        frame = [b"FLQf", memoryview(bytes(20000000))]
        event = MasterClient("http://127.0.0.1:%d" % listener.getsockname()[1], 3).do(
            CallAnswer("/upload_update", frame, have=5)
        )
        thread.join(20)
    assert type(event) is Problem and event.status == 413 and not event.by_master


# -- a proxy of the environment ----------------------------------------------------------


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("action", CALLS, ids=lambda action: type(action).__name__)
def test_a_proxy_that_does_not_answer_is_named(monkeypatch, variable, action):
    address = unused_url().partition("://")[2]
    monkeypatch.setenv(variable, "http://ada:secret@" + address)
    event = MasterClient("http://192.0.2.1:5000", 3).do(action)
    assert type(event) is Unreachable
    assert event.detail.endswith(
        "(the request went to the proxy %s, which the environment variable %s names: unset "
        "it, or set no_proxy=192.0.2.1)" % (address, variable)
    )
    assert "secret" not in event.detail


def test_a_proxy_for_https_is_named(monkeypatch):
    monkeypatch.setenv("https_proxy", unused_url())
    event = MasterClient("https://192.0.2.1:5000", 3).do(CALLS[1])
    assert type(event) is Unreachable and "the environment variable https_proxy names" in event.detail


def test_a_proxy_that_wants_a_password_is_named(monkeypatch):
    with StandIn([response("407 Proxy Authentication Required", PAGE)]) as stand_in:
        monkeypatch.setenv("http_proxy", stand_in.url)
        event = MasterClient("http://192.0.2.1:5000", 3).do(CALLS[1])
    assert type(event) is Problem and event.status == 407 and not event.by_master
    assert "wants a password" in event.detail and "http_proxy names: unset it, or set no_proxy=192" in event.detail


def test_a_proxy_that_is_not_asked_is_not_named(monkeypatch):
    url = unused_url()
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    event = MasterClient(url, 3).do(CALLS[1])
    assert type(event) is Unreachable and "proxy" not in event.detail


@pytest.mark.parametrize(
    "value",
    [
        "http://",
        "http://:3128",
        "ftp://proxy:21",
        "http://proxy:many",
        "http://proxy:99999",
        "http://ada:secret@[::1",
        "a proxy",
        "http://pro xy:3128",
    ],
)
@pytest.mark.parametrize("action", CALLS, ids=lambda action: type(action).__name__)
def test_an_invalid_proxy_is_blamed_on_its_variable(monkeypatch, value, action):
    monkeypatch.setenv("http_proxy", value)
    with pytest.raises(
        ConfigError,
        match="the environment variable http_proxy must be http://host:port of a proxy, "
        r"and is not \(unset it, or set no_proxy=192.0.2.1\)",
    ) as caught:
        MasterClient("http://192.0.2.1:5000", 3).do(action)
    assert "secret" not in str(caught.value)


def test_a_proxy_passes_the_masters_errors(monkeypatch):
    with StandIn([response("200 OK", b"FLQf verdict")]) as stand_in:
        monkeypatch.setenv("HTTP_PROXY", stand_in.url)
        event = MasterClient("http://192.0.2.1:5000", 3).do(CALLS[2])
    assert event == VerdictReceived(b"FLQf verdict")
    assert stand_in.requests[0].startswith(b"POST http://192.0.2.1:5000/upload_update?")
