"""The page over HTTP: its headers, its permissions, and streams that delay nothing."""

import http.client
import json
import os
import re
import time
from contextlib import ExitStack

import pytest
from local_master import TOKENS, token_of_worker
from test_bad_requests import assert_refused
from waits import WAIT_S, wait_until

from flq.master.http import limits
from flq.master.live import broadcast, page
from flq.master.live.page_files import page_files
from flq.run_end import Stage

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")
CLOSED = ("security.open_status=false",)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)


@pytest.fixture(scope="module")
def files():
    return page_files()


class Stream:
    """A viewer with an address of this machine."""

    def __init__(self, master, address="127.0.0.1", **headers):
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", master.port, timeout=WAIT_S, source_address=(address, 0)
        )
        self._connection.request("GET", "/events", headers=headers)
        self.answer = self._connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer.close()
        self._connection.close()

    def events(self):
        """Yield kind and value of each event, to the end of the stream."""
        kind = None
        for line in self.answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            kind = value if name == "event" else kind
            if name == "data":
                yield kind, json.loads(value)


def until(master, wanted, *args):
    """Open streams until one has the status; earlier streams may take a moment to end."""
    limit = time.monotonic() + WAIT_S
    while True:
        stream = Stream(master, *args)
        if stream.answer.status == wanted:
            return stream
        with stream:
            assert time.monotonic() < limit, stream.answer.status


# -- files -------------------------------------------------------------------------------


def test_the_page_has_every_header_that_keeps_it_safe(make_master, files):
    master = make_master(*RUN)
    for target, name in [
        ("/", "index.html"),
        ("/page/main.js", "main.js"),
        ("/page/vendor/uPlot.iife.min.js", "vendor/uPlot.iife.min.js"),
    ]:
        code, headers, body = master.send("GET", target, token=None)
        assert code == 200 and body == files[name].content
        assert {name: headers[name] for name in headers if name not in ("Date", "Server", "ETag")} == {
            "Content-Type": files[name].content_type,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-cache",
        }
        code, head, body = master.send("HEAD", target, token=None)
        assert (code, body, head["Content-Length"]) == (200, b"", headers["Content-Length"])
        code, again, body = master.send("GET", target, headers={"If-None-Match": headers["ETag"]}, token=None)
        assert (code, body, again["ETag"]) == (304, b"", headers["ETag"])


def test_all_files_that_lie_there_are_served_and_nothing_else(make_master, files):
    master = make_master(*RUN)
    for name in set(files) - {"index.html"}:
        assert master.send("GET", "/page/" + name, token=None)[0] == 200
    for name in (
        "index.html",
        "",
        "x",
        "../app.py",
        "%2e%2e/app.py",
        "vendor",
        "vendor/",
        "vendor/SHA256SUMS",
        "vendor/../main.js",
    ):
        assert_refused(master.send("GET", "/page/" + name, token=None), 404)


def test_no_file_has_a_script_or_a_style_within(files):
    text = files["index.html"].content.decode()
    assert text.count("<script") == text.count("<script src=") == 2
    assert "<style" not in text and " style=" not in text and not re.search(r"\son\w+=", text)
    own = {name: file.content.decode() for name, file in files.items() if name.endswith(".js") and "/" not in name}
    for words in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "http"):
        assert [name for name, text in own.items() if words in text] == [], words
    assert not any(
        address in file.content
        for name, file in files.items()
        if "vendor" not in name
        for address in (b"https:", b"url(")
    ), "something comes from elsewhere"


# -- who may look ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/feed", "/events"])
def test_the_feed_needs_the_same_permission_as_the_status(make_master, path):
    opened, closed = make_master(*RUN), make_master(*RUN + CLOSED)
    for master, token, code in [
        (opened, None, 200),
        (opened, TOKENS["operator"], 200),
        (opened, token_of_worker(0), 200),
        (opened, "wrong", 401),
        (closed, None, 401),
        (closed, "wrong", 401),
        (closed, TOKENS["operator"], 200),
        (closed, token_of_worker(0), 403),
    ]:
        assert master.send("HEAD", path, token=token)[0] == code, (path, token, code)


def test_the_files_are_open_where_nothing_else_is(make_master):
    master = make_master(*RUN + CLOSED)
    for token in None, TOKENS["operator"], token_of_worker(0):
        assert master.send("GET", "/", token=token)[0] == master.send("GET", "/page/main.js", token=token)[0] == 200
    assert_refused(master.send("GET", "/", token="wrong"), 401)


def test_a_page_of_another_site_cannot_stop_the_run(make_master):
    master = make_master(*RUN)
    here = {"Host": "127.0.0.1:%d" % master.port}
    for origin in "http://evil.example", "null", "http://127.0.0.1:1":
        assert_refused(master.send("POST", "/stop", headers=dict(here, Origin=origin), token=None), 401)
        code, headers, _ = master.send(
            "OPTIONS",
            "/stop",
            headers=dict(
                here,
                Origin=origin,
                **{"Access-Control-Request-Headers": "authorization", "Access-Control-Request-Method": "POST"},
            ),
            token=None,
        )
        assert code in (401, 405) and not any(name.lower().startswith("access-control") for name in headers)
    assert master.status()["state"] == "LOBBY"
    lan = {"Host": "192.168.1.10:5000", "Origin": "http://192.168.1.10:5000"}  # as the page does it
    assert master.send("POST", "/stop", headers=lan, token=TOKENS["operator"])[0] == 200


# -- the feed ----------------------------------------------------------------------------


def test_the_feed_has_the_events_of_the_run(make_master, run_workers):
    master = make_master(*RUN)
    run_workers(master)
    assert master.run.ending.wait(Stage.TOLD, WAIT_S)  # then the status says so
    code, headers, body = master.send("GET", "/feed", token=None)
    feed = json.loads(body)
    assert code == 200 and headers["Content-Type"] == "application/json" and headers["Cache-Control"] == "no-cache"
    assert feed["state"]["state"] == "FINISHED" and len(feed["state"]["workers"]) == 2
    assert feed["rounds"]["curves"]["test_loss"]["round"] == [1, 2, 3]
    assert feed["rounds"]["histories"] == {"0": "uuu", "1": "uuu"}
    snapshot = feed["rounds"]["snapshot"]
    wire_bytes = snapshot["wire_bytes_up"] + snapshot["wire_bytes_down"]
    assert feed["rounds"]["curves"]["test_loss"]["bytes"][-1] == wire_bytes > 0
    assert snapshot["round"] == 3 and snapshot["float_bytes"] == 4 * 40 * 2 * (3 + 2)  # no download in round 1
    results = master.run.results
    assert feed["state"]["results"] == {
        "workbook": os.path.basename(results.workbook),
        "folder": os.path.basename(results.run_dir),
    }
    assert [item["kind"] for item in feed["log"]["items"]][:3] == ["began", "joined", "joined"]


def test_a_feed_that_has_not_changed_is_304(make_master):
    master = make_master(*RUN)
    _, headers, _ = master.send("GET", "/feed", token=None)
    code, again, body = master.send("GET", "/feed", headers={"If-None-Match": headers["ETag"]}, token=None)
    assert (code, body, again["ETag"]) == (304, b"", headers["ETag"])


# -- streams -----------------------------------------------------------------------------


def test_a_stream_tells_of_the_run_to_its_end(make_master, run_workers):
    master = make_master(*RUN)
    with Stream(master) as stream:
        assert stream.answer.status == 200 and stream.answer.headers["Content-Type"].startswith("text/event-stream")
        assert stream.answer.headers["Cache-Control"] == "no-cache, no-store, no-transform"
        assert stream.answer.headers["X-Accel-Buffering"] == "no"
        events = stream.events()
        assert [next(events)[0] for _ in range(3)] == ["state", "rounds", "log"]
        run_workers(master)
        assert master.run.ending.wait(Stage.TOLD, WAIT_S)
        master.broadcast.close()  # as the program does before it ends the server
        rest = [(kind, value) for kind, value in read_to_end(stream)]
    kinds = [kind for kind, _ in rest]
    assert kinds[-1] == "end"
    assert [value for kind, value in rest if kind == "state"][-1]["state"] == "FINISHED"
    assert [value for kind, value in rest if kind == "rounds"][-1]["n_rounds"] == 3


def read_to_end(stream):
    """Yield kind and value of the remaining events; the last has no value."""
    kind = None
    for line in stream.answer.read().decode().splitlines():
        name, _, value = line.partition(":")
        kind = value.strip() if name == "event" else kind
        if name == "data":
            yield kind, json.loads(value) if value.strip() else None


def test_the_master_ends_while_a_stream_is_open(make_master):
    master = make_master(*RUN)
    with Stream(master) as stream:
        assert stream.answer.readline() == b"retry: 3000\n"
        master.close()
        assert stream.answer.read().endswith(b"event: end\ndata:\n\n")


def test_streams_hold_no_place_among_requests(make_master):
    master = make_master(*RUN)  # whose gate lets three requests of one address in at a time
    with ExitStack() as stack:
        for _ in range(limits.STREAMS_OF_ONE):
            assert stack.enter_context(Stream(master)).answer.status == 200
        for _ in range(5):
            assert master.send("GET", "/status", token=None)[0] == 200
        wait_until(lambda: not master.gate._places._taken)  # that of the last answer is given back when it is sent


def test_one_address_has_half_of_the_streams_and_others_the_rest(make_master):
    master = make_master(*RUN)
    with ExitStack() as stack:
        for address in ["127.0.0.1"] * 4:
            assert stack.enter_context(Stream(master, address)).answer.status == 200
        refused = stack.enter_context(Stream(master)).answer
        assert refused.status == 503 and int(refused.headers["Retry-After"]) > 0
        assert "GET /feed" in json.loads(refused.read())["hint"]
        for address in ["127.0.0.2"] * 3 + ["127.0.0.3"]:
            assert stack.enter_context(Stream(master, address)).answer.status == 200
        assert stack.enter_context(Stream(master, "127.0.0.4")).answer.status == 503
        assert master.send("GET", "/feed", token=None)[0] == 200
    for _ in range(10):
        assert master.send("HEAD", "/events", token=None)[0] in (200, 503)


def test_streams_take_no_thread_from_workers(make_master, run_workers):
    master = make_master(*RUN)
    with ExitStack() as stack:
        for address in ["127.0.0.1"] * 4 + ["127.0.0.2"] * 4:
            assert stack.enter_context(Stream(master, address)).answer.status == 200
        run_workers(master)
        assert len(master.run.record.rounds()) == 3


def test_a_viewer_that_has_gone_makes_room(make_master, monkeypatch):
    monkeypatch.setattr(broadcast, "HEARTBEAT_S", 0.1)
    master = make_master(*RUN)
    with ExitStack() as stack:
        for _ in range(limits.STREAMS_OF_ONE):
            stack.enter_context(Stream(master)).answer.readline()
    until(master, 200).__exit__()


def test_a_viewer_that_does_not_read_loses_its_stream(make_master, monkeypatch):
    monkeypatch.setattr(page, "SEND_S", 0.2)
    monkeypatch.setitem(broadcast.PERIODS_S, "state", 0.0)
    monkeypatch.setattr(broadcast, "LOOK_S", 0.01)
    master = make_master(*RUN)
    numbers = iter(range(10**9))
    master.broadcast.follow({"state": lambda: [next(numbers), "x" * 10**6]})
    with ExitStack() as stack:
        for _ in range(limits.STREAMS_OF_ONE):
            stack.enter_context(Stream(master))
        until(master, 200).__exit__()


def test_a_viewers_bytes_count_for_no_worker(make_master):
    master = make_master(*RUN)
    with Stream(master) as stream:
        stream.answer.readline()
        assert master.send("GET", "/", token=None)[0] == 200
        assert master.status()["totals"]["wire_bytes_down"] == 0
