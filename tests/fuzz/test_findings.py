"""Findings of the fuzzing, one by one: requests that cheroot's server misreads."""

import pytest
from local_master import TOKENS, LocalMaster

STOP = b"POST /stop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % TOKENS["operator"].encode()


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    with LocalMaster(str(tmp_path_factory.mktemp("found")), "system.total_workers=4") as made:
        yield made
        assert made.status()["state"] == "LOBBY"  # it was not stopped


def head(line, *headers):
    return b"\r\n".join((line, b"Host: x") + headers) + b"\r\n\r\n"


def assert_400(answer):
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"\nContent-Length:") == 1, answer
    assert b'"error": "BadRequest"' in answer


@pytest.mark.parametrize("target", [b"//[", b"http://[", b"//[::1/status", b"/\xff\xfe"])
def test_a_target_that_is_no_url_is_400(master, target):
    assert_400(master.send_raw(head(b"GET %s HTTP/1.1" % target)))


@pytest.mark.parametrize("start", [b"GET /status HTTP/1.1\r\n folded: x", b"GET /status HTTP/1.1\r\nA: b\r\n\tc"])
def test_a_folded_header_is_400(master, start):
    assert_400(master.send_raw(start + b"\r\n\r\n"))


@pytest.mark.parametrize("version", [b"2.0", b"0.9", b"-1.1", b"1.2"])
def test_another_version_of_http_is_the_senders_fault(master, version):
    assert_400(master.send_raw(head(b"GET /status HTTP/" + version)))


def test_an_unknown_transfer_coding_is_the_senders_fault(master):
    assert_400(master.send_raw(head(b"POST /register HTTP/1.1", b"Transfer-Encoding: gzip") + STOP))


@pytest.mark.parametrize(
    "headers",
    [
        (b"Content-Length: -5",),
        (b"Content-Length: +0",),
        (b"Content-Length: 0_0",),
        (b"Content-Length: ",),
        (b"Content-Length: 0", b"Content-Length: %d" % len(STOP)),
        (b"Content-Length: 99", b"Content-Length: 0"),
        (b"Host: y",),
        (b"Authorization: Bearer x", b"Authorization: Bearer y"),
    ],
)
def test_an_ambiguous_length_is_400_and_the_rest_is_not_read(master, headers):
    assert_400(master.send_raw(head(b"POST /register HTTP/1.1", *headers) + STOP))


@pytest.mark.parametrize("coding", [b"chunked", b"", b"identity"])
def test_a_body_in_chunks_is_never_the_next_request(master, coding):
    request = head(b"POST /register HTTP/1.0", b"Connection: Keep-Alive", b"Transfer-Encoding: " + coding)
    answer = master.send_raw(request + STOP)
    assert answer.count(b"HTTP/1.1 4") == answer.count(b"\nContent-Length:") == 1, answer


def test_the_rest_of_a_rejected_request_gets_no_response(master):
    large = b"X: " + b"y" * 20000
    for data in head(b"POST /heartbeat HTTP/1.1", b"Host: y", large), head(b"GET //[ HTTP/1.1", large):
        answer = master.send_raw(data, half_close=False)
        assert_400(answer)
        assert answer.count(b"HTTP/1.1 4") == 1, answer
