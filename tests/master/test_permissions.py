"""Permissions: decided before the body is read, and by the token alone."""

import json
import logging
from pathlib import Path

import pytest
from local_master import TOKENS, HttpWorker, LocalMaster, head, registration, token_of_worker
from test_bad_requests import ENDPOINTS, FRAMES, assert_refused
from waits import wait_until

from flq.master.http import limits
from flq.protocol import worker_events

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")
CLOSED = ("security.open_status=false", "security.local_operator=false")
OPERATORS = ["/history", "/results", "/results/config.json", "/metrics", "/nope", "/pages"]
WORKERS = ["/register", "/heartbeat", "/offer?worker=0", "/upload_update?worker=0"]
LOCAL = [("POST", "/stop"), ("GET", "/get_global_model")]
HERE = {"Host": "localhost:5000"}


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    with LocalMaster(str(tmp_path_factory.mktemp("asked")), *RUN) as made:
        yield made
        assert made.status()["state"] == "LOBBY" and made.status()["worker_status"] == {}


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    with LocalMaster(str(tmp_path_factory.mktemp("closed")), *RUN + CLOSED) as made:
        yield made


def ask(master, method, target, token=None, **headers):
    return master.send(method, target, b"{}" if method == "POST" else None, headers, token)


# -- without a token ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/status", "/healthz", "/feed"])
def test_the_status_is_public_unless_it_is_closed(master, closed, path):
    assert ask(master, "GET", path, Host="anywhere")[0] == ask(master, "HEAD", path)[0] == 200
    assert "operator's token" in assert_refused(ask(closed, "GET", path), 401)
    assert ask(closed, "GET", path, TOKENS["operator"])[0] == 200


@pytest.mark.parametrize("path", OPERATORS)
def test_an_operators_route_is_401_with_a_hint(master, path):
    code, headers, body = answer = ask(master, "GET", path)
    assert "needs the operator's token" in assert_refused(answer, 401)
    assert headers["WWW-Authenticate"] == 'Bearer realm="flq"'
    _, headers, _ = ask(master, "GET", path, "x" * 20)
    assert headers["WWW-Authenticate"] == 'Bearer realm="flq", error="invalid_token"'
    assert "Authorization: Bearer" in json.loads(body)["hint"] and "state/tokens" in json.loads(body)["hint"]


@pytest.mark.parametrize("path", WORKERS)
def test_a_workers_route_is_401_with_a_hint(master, path):
    answer = ask(master, "POST", path)
    assert "needs the worker's token" in assert_refused(answer, 401)
    hint = json.loads(answer[2])["hint"]
    assert "--token_file" in hint and "FLQ_TOKEN" in hint
    assert "use an id in range, or raise system.total_workers on the master" in hint


def test_a_poll_without_a_token_is_401_even_from_this_machine(master):
    answer = ask(master, "GET", "/get_global_model?worker=0&epoch=1&have=0&answered=0", Host="localhost", **FRAMES)
    assert "needs the worker's token" in assert_refused(answer, 401)


# -- the master's own machine ------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "LOCALHOST"])
def test_on_the_masters_machine_the_model_needs_no_token(master, closed, host):
    assert ask(master, "GET", "/get_global_model", Host=host)[0] == 200
    assert_refused(ask(closed, "GET", "/get_global_model", Host=host), 401)


def test_on_the_masters_machine_stop_needs_no_token_unless_that_is_closed(make_master, closed):
    assert_refused(ask(closed, "POST", "/stop", **HERE), 401)
    assert closed.status is not None and closed.machine.state.value == "LOBBY"
    assert ask(make_master(*RUN), "POST", "/stop", **HERE)[0] == 200


@pytest.mark.parametrize("method, path", LOCAL)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:5000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "10.0.0.1:5000"},
        {"Host": ""},
        {"Host": "x@localhost"},
        {"Host": "localhost:5000/x"},
        {"Host": "localhost:many"},
        {"Host": "[::1"},
        dict(HERE, Origin="http://evil.example"),
        dict(HERE, Origin="null"),
        dict(HERE, Origin=""),
        dict(HERE, Origin="http://localhost:8080"),
        dict(HERE, Origin="https://localhost:5000"),
        dict(HERE, Forwarded="for=10.0.0.1"),
        dict(HERE, Via="1.1 proxy"),
        {"Host": "localhost", "X-Real-IP": "127.0.0.1"},
        {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"},
        {"Host": "localhost", "x-forwarded-host": "localhost"},
        {"Host": "localhost", "X-Forwarded-Proto": "http"},
    ],
    ids=repr,
)
def test_requests_of_a_proxy_or_a_web_page_are_not_from_the_masters_machine(master, method, path, headers):
    assert "operator's token" in assert_refused(ask(master, method, path, **headers), 401)


def test_the_masters_own_page_has_permission(master):
    assert ask(master, "GET", "/get_global_model", Origin="http://localhost:5000", **HERE)[0] == 200


# What browsers send for a page of another site: there is no Origin with a link, an image, a script or a form that GETs.
NAVIGATION = {
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-User": "?1",
    "Upgrade-Insecure-Requests": "1",
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
}
IMAGE = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Accept": "image/avif,image/webp,*/*;q=0.8"}


@pytest.mark.parametrize("method, path", LOCAL)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "", "same-origin, cross-site", "future"])
@pytest.mark.parametrize(
    "headers",
    [
        NAVIGATION,
        IMAGE,
        dict(IMAGE, Referer="http://localhost:5000/"),
        dict(NAVIGATION, Origin="http://localhost:5000"),
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Origin": "http://evil.example"},
    ],
    ids=["navigation", "image", "image with a referrer", "own origin", "cors"],
)
def test_a_browsers_requests_for_another_site_are_not_from_the_masters_machine(master, method, path, site, headers):
    asked = dict(HERE, **headers, **{"Sec-Fetch-Site": site})
    assert "operator's token" in assert_refused(ask(master, method, path, **asked), 401)


@pytest.mark.parametrize(
    "headers",
    [
        dict(NAVIGATION, **{"Sec-Fetch-Site": "none"}),  # typed by the user, or a bookmark
        dict(NAVIGATION, **{"Sec-Fetch-Site": "same-origin", "Referer": "http://localhost:5000/"}),
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": "http://localhost:5000"},
        {"User-Agent": "curl/8.5.0", "Accept": "*/*"},
    ],
    ids=["typed", "link of the page", "script of the page", "curl"],
)
def test_the_user_and_the_masters_own_page_have_permission(master, headers):
    assert ask(master, "GET", "/get_global_model", **dict(HERE, **headers))[0] == 200


def test_a_page_of_another_site_can_neither_fetch_the_model_nor_stop_the_run(master):
    code, _, body = ask(
        master, "GET", "/get_global_model?format=npz", **dict(HERE, **NAVIGATION, **{"Sec-Fetch-Site": "cross-site"})
    )
    assert code == 401 and b"weights" not in body
    form = {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8080", "Content-Type": "text/plain"}
    assert ask(master, "POST", "/stop", **dict(HERE, **NAVIGATION, **form))[0] == 401
    assert ask(master, "GET", "/", **dict(HERE, **NAVIGATION, **{"Sec-Fetch-Site": "cross-site"}))[0] == 200  # a link


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
def test_a_token_is_valid_from_any_page(master, site):
    answer = ask(master, "GET", "/get_global_model", TOKENS["operator"], **dict(HERE, **{"Sec-Fetch-Site": site}))
    assert answer[0] == 200


@pytest.mark.parametrize(
    "is_here, addresses",
    [
        (True, ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]),
        (False, ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "", "unix", "0.0.0.0"]),
    ],
)
def test_only_a_loopback_peer_is_on_the_masters_machine(make_master, monkeypatch, is_here, addresses):
    client = make_master(*RUN).server._server.wsgi_app.test_client()
    for address in addresses:
        at_end = []
        answer = client.get(
            "/get_global_model", headers=HERE, environ_base={"REMOTE_ADDR": address, "flq.at_end": at_end}
        )
        assert answer.status_code == (200 if is_here else 401), address
        for function in at_end:
            function()


# -- with a token ------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPERATORS[:4] + ["/status", "/get_global_model"])
def test_the_operator_may_read_everything_for_users(master, path):
    assert ask(master, "GET", path, TOKENS["operator"])[0] == 200


@pytest.mark.parametrize("path", WORKERS)
def test_the_operator_is_no_worker(master, path):
    assert "is for workers" in assert_refused(ask(master, "POST", path, TOKENS["operator"]), 403)


@pytest.mark.parametrize("method, path", [("GET", path) for path in OPERATORS] + LOCAL)
def test_a_worker_is_no_operator_even_on_the_masters_machine(master, method, path):
    answer = ask(master, method, path, token_of_worker(0), **HERE)
    assert "is for the operator" in assert_refused(answer, 403)


@pytest.mark.parametrize(
    "path, body",
    [
        ("/register", registration(1)),
        ("/heartbeat", {"worker_id": 1, "epoch": 1}),
        ("/offer?worker=1", {}),
        ("/upload_update?worker=1", {}),
    ],
)
def test_a_worker_cannot_act_for_another_worker(master, path, body):
    answer = master.send("POST", path, json.dumps(body), token=token_of_worker(0))
    assert assert_refused(answer, 403) == "the token is that of worker0, but the request is of worker 1"


def test_a_worker_cannot_release_another_workers_poll(master):
    target = "/get_global_model?worker=1&epoch=1&have=0&answered=0"
    assert_refused(master.send("GET", target, headers=FRAMES, token=token_of_worker(0)), 403)


@pytest.mark.parametrize(
    "shown",
    [
        "Bearer nonsense",
        "Bearer ",
        "Bearer",
        "",
        "Basic " + TOKENS["operator"],
        TOKENS["operator"],
        "Bearer \xe4\xf6",
        "Bearer %s x" % TOKENS["operator"],
        "Bearer " + TOKENS["operator"][:-1],
        "Bearer " + TOKENS["operator"].upper(),
        "Bearer " + "x" * 20000,
    ],
    ids=lambda text: repr(text[:30]),
)
@pytest.mark.parametrize("path", ["/status", "/history", "/get_global_model"])
def test_a_wrong_token_is_401_everywhere(master, path, shown):
    code, _, body = answer = ask(master, "GET", path, Authorization=shown, **HERE)
    assert assert_refused(answer, 401) == "this master does not know the token"
    assert TOKENS["operator"].encode() not in body and b"nonsense" not in body


@pytest.mark.parametrize("spelling", ["Bearer %s", "bearer %s", "BEARER   %s  "])
def test_the_scheme_before_the_token_is_case_insensitive(master, spelling):
    assert ask(master, "GET", "/history", Authorization=spelling % TOKENS["operator"])[0] == 200


def test_no_answer_and_no_log_shows_a_token(make_master, caplog):
    caplog.set_level(logging.DEBUG)
    master, said = make_master(*RUN), b""
    for path in list(ENDPOINTS) + ["/nope"]:
        for token in TOKENS["operator"], token_of_worker(0), "a-token-that-nobody-has":
            for method in "GET", "POST":
                if path != "/stop":
                    said += ask(master, method, path, token)[2]
    files = b"".join(
        path.read_bytes() for path in sorted(Path(master.run.results.workbook).parent.rglob("*")) if path.is_file()
    )
    for secret in TOKENS["operator"], token_of_worker(0), "a-token-that-nobody-has":
        assert secret.encode() not in said and secret not in caplog.text and secret.encode() not in files


# -- before the body ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/upload_update?worker=0", "/offer?worker=0"])
@pytest.mark.parametrize("shown, code", [(None, 401), ("Bearer wrong", 401), ("Bearer " + token_of_worker(1), 403)])
def test_a_request_without_permission_is_rejected_before_a_large_body(master, path, shown, code):
    size = 10**7
    request = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (
        path.encode(),
        b"" if shown is None else b"Authorization: %s\r\n" % shown.encode(),
        size,
    )
    answer = master.send_raw(request, half_close=False)
    assert answer.startswith(b"HTTP/1.1 %d " % code) and b"\r\nconnection: close\r\n" in answer.lower()


def test_a_small_body_that_is_refused_leaves_the_connection_open(master):
    body = b'{"worker_id": 0}'
    refused = b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    answer = master.send_raw(refused + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ") and b"HTTP/1.1 200 OK" in answer


def test_only_a_worker_sends_more_than_64_kib(make_master):
    master = make_master("model.dim=400000", "mode=fedavg", *RUN)
    for token in None, TOKENS["operator"]:
        request = b"POST /stop HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 70000\r\n\r\n" % (
            b"" if token is None else b"Authorization: Bearer %s\r\n" % token.encode()
        )
        assert master.send_raw(request, half_close=False).startswith(b"HTTP/1.1 413 ")
    assert master.send_raw(head("POST", "/upload_update?worker=0", Content_Length=70000) + b" " * 70000).startswith(
        b"HTTP/1.1 400 "
    )


# -- and the run -------------------------------------------------------------------------


def test_a_worker_without_a_token_ends_with_the_masters_sentence(make_master):
    master = make_master(*RUN)
    worker = HttpWorker(master, 0, HttpWorker.CLIENT(master.url, 0))
    worker.run()
    assert worker.action.code == 2 and "--token_file" in worker.action.sentence


def test_strangers_do_not_disturb_a_run(make_master, run_workers):
    master = make_master(*RUN, "security.requests_per_s=0")  # else a fast machine sends more than the limit admits

    class UnderFire(HttpWorker.CLIENT):
        """Sends forbidden requests of others before each of its own."""

        def do(self, action):
            other = token_of_worker(1 - self._worker_id)
            body = json.dumps(registration(self._worker_id, "thief", epoch=1))
            for token, code in (None, 401), ("wrong", 401), (other, 403):
                assert master.send("POST", "/register", body, token=token)[0] == code
                assert master.send("POST", "/heartbeat", body, token=token)[0] == code
                assert master.send("POST", "/stop", headers={"Host": "far.example"}, token=token)[0] == code
                if isinstance(action, worker_events.CallAnswer):
                    frame = b"".join(bytes(buffer) for buffer in action.frame)
                    target = "%s?worker=%d" % (action.path, self._worker_id)
                    assert master.send("POST", target, frame, token=token)[0] == code
            return super().do(action)

    run_workers(master, {worker_id: master.client(worker_id, UnderFire) for worker_id in range(2)})
    assert len(master.run.record.rounds()) == 3
    assert master.machine.delivery.totals.retransmitted_bytes == 0


# -- how often ---------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_bucket_lets_a_burst_through_and_then_the_rate():
    clock = Clock()
    buckets = limits.Buckets(limits.Rate(10, 20), clock)
    for _ in range(20):
        buckets.take("a")
    with pytest.raises(limits.TooManyRequests) as caught:
        buckets.take("a")
    assert caught.value.retry_after_s == 1 and caught.value.status_hint == 429
    buckets.take("b")  # which has a bucket of its own
    clock.now = 0.1
    buckets.take("a")
    with pytest.raises(limits.TooManyRequests):
        buckets.take("a")
    clock.now = 1000.0
    for _ in range(20):
        buckets.take("a")
    with pytest.raises(limits.TooManyRequests):
        buckets.take("a")


def test_a_rate_of_zero_is_no_limit():
    buckets = limits.Buckets(limits.Rate(0, 0), Clock())
    assert [buckets.take("a") for _ in range(1000)] == [None] * 1000  # nothing is raised


def test_the_number_of_known_addresses_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "MOST_KEPT", 10)
    buckets = limits.Buckets(limits.Rate(1, 1), Clock())
    for address in range(1000):
        buckets.take(address)
    assert len(buckets._buckets) == 10


@pytest.mark.parametrize(
    "address, group",
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "nonsense"),
    ],
)
def test_an_ipv6_network_counts_as_one_peer(address, group):
    assert limits.group_of(address) == group


def test_a_client_that_asks_too_often_gets_429_with_retry_after_and_others_do_not(make_master):
    master = make_master("security.requests_per_s=1", *RUN)  # two at once
    for _ in range(2):
        assert ask(master, "GET", "/history", TOKENS["operator"])[0] == 200
    code, headers, _ = answer = ask(master, "GET", "/history", TOKENS["operator"])
    assert "1 requests per second" in assert_refused(answer, 429) and int(headers["Retry-After"]) >= 1
    assert ask(master, "GET", "/healthz")[0] == ask(master, "GET", "/healthz", token_of_worker(0))[0] == 200
    event = master.client(1).do(worker_events.CallRegister(registration(1)))
    assert isinstance(event, worker_events.Registered)


def test_a_group_has_a_limited_number_of_places_and_gets_them_back():
    places = limits.Places()
    leave = [places.enter("a", 2) for _ in range(2)]
    with pytest.raises(limits.TooManyRequests):
        places.enter("a", 2)
    places.enter("b", 2)
    leave[0]()
    places.enter("a", 2)


def test_a_place_is_released_when_the_response_is_sent(make_master):
    master = make_master(*RUN)
    for _ in range(50):
        assert ask(master, "GET", "/healthz")[0] == 200
        assert ask(master, "GET", "/history")[0] == 401
        wait_until(lambda: not master.gate._places._taken)  # its thread has one step to go after the last byte
    assert ask(master, "GET", "/history", TOKENS["operator"])[0] == 200


# -- JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, code",
    [
        ("[" * 31 + "]" * 31, 422),
        ("[" * 32 + "]" * 32, 400),
        ('{"a":' * 40 + "1" + "}" * 40, 400),
        ('"' + "[" * 100 + '"', 422),
        ('"\\"' + "[" * 100 + '"', 422),
        ('"\\\\"' + "," + '"x":' + "[" * 40 + "]" * 40, 400),
    ],
)
def test_json_may_be_nested_32_deep_and_brackets_in_texts_do_not_count(master, value, code):
    body = '{"worker_id": 0, "instance": 7, "more": %s}' % value
    assert_refused(master.send("POST", "/register", body), code)
