"""The faults of a proxy in a request or its response. They depend neither on chance nor on the clock.

Each fault is a function of a ``relay.Passage`` that returns the bytes for the client. Faults with parameters are made
by a function.
"""

import http
import http.client
from typing import Callable, List

from http_message import PIECE, Broken, half_of
from passage import ANSWERED, ARRIVED, PASSED, Fault, Passage
from relay import Relay

N_PIECES = 6
MOST_ATTEMPTS = 100


def drop_request(passage: Passage) -> bytes:
    """Break the connection instead of passing anything."""
    raise Broken()


def truncate_response(passage: Passage) -> bytes:
    """Pass half of the response, then break the connection."""
    response = passage.ask(passage.request)
    passage.client.sendall(response[: half_of(response)])
    raise Broken()


def late_response(passage: Passage) -> bytes:
    """Hold the response back until the client has given up."""
    response = passage.ask(passage.request)
    while passage.client.recv(PIECE):
        pass
    return response


def twice(passage: Passage) -> bytes:
    """Pass the request on two connections at once; the client gets the first one's response."""
    passage.relay.send_apart(passage.request, twice)
    return passage.ask(passage.request)


def trickle_request(passage: Passage) -> bytes:
    """Pass a few bytes at a time, while the master serves others."""
    for piece in pieces_of(passage.request):
        passage.pass_on(piece)
        ask_for_others(passage)
    passage.relay.note(PASSED, passage.path)
    return passage.response()


def trickle_response(passage: Passage) -> bytes:
    """Pass a few bytes of the response at a time, while the master serves others."""
    *first, last = pieces_of(passage.ask(passage.request))
    for piece in first:
        passage.client.sendall(piece)
        ask_for_others(passage)
    return last


def held_until(relay: Relay, what: str, path: str, n: int) -> Fault:
    """Return a fault that holds a request until the n-th of another relay has ARRIVED, PASSED or is ANSWERED."""

    def held(passage: Passage) -> bytes:
        relay.wait(what, path, n)
        return passage.ask(passage.request)

    return held


def overtaken(passage: Passage) -> bytes:
    """Break the connection, and pass the request after the client's retry has been answered."""
    relay, path = passage.relay, passage.path
    n = relay.n_noted(ARRIVED, path)
    passage.hang_up()
    relay.wait(ANSWERED, path, n)  # all that came before, and the one that comes next
    return passage.ask(passage.request)


def copied(copies: List[bytes]) -> Fault:
    """Return a fault that passes a request unchanged, and keeps a copy for later."""

    def keep(passage: Passage) -> bytes:
        copies.append(passage.request)
        return passage.ask(passage.request)

    return keep


def after_copies(copies: List[bytes]) -> Fault:
    """Return a fault that passes the copies, and then the request once they are answered."""

    def stale(passage: Passage) -> bytes:
        for copy in copies:
            passage.relay.send_apart(copy, stale).join()
        return passage.ask(passage.request)

    return stale


def flipped_request(where: Callable[[bytes], int], bit: int = 0) -> Fault:
    """Return a fault that flips a bit of the request, in the byte selected by ``where``."""

    def flip(passage: Passage) -> bytes:
        return passage.ask(flipped(passage.request, where(passage.request), bit))

    return flip


def flipped_response(where: Callable[[bytes], int], bit: int = 0) -> Fault:
    """Return a fault that flips a bit of the response, in the byte selected by ``where``."""

    def flip(passage: Passage) -> bytes:
        response = passage.ask(passage.request)
        return flipped(response, where(response), bit)

    return flip


def flipped(data: bytes, index: int, bit: int) -> bytes:
    """Return the data with one bit flipped."""
    return data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :]


def pieces_of(data: bytes) -> List[bytes]:
    """Return the data in pieces, the first of which is one byte."""
    size = -(-len(data) // N_PIECES)
    return [data[:1]] + [data[start : start + size] for start in range(1, len(data), size)]


def ask_for_others(passage: Passage) -> None:
    """Send another request to the master; its response shows that earlier ones were processed."""
    for _ in range(MOST_ATTEMPTS):
        connection = http.client.HTTPConnection(*passage.relay.master, timeout=20)
        try:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
        finally:
            connection.close()
        if status != http.HTTPStatus.TOO_MANY_REQUESTS:  # its answers to earlier requests still count as under way
            break
    assert status == http.HTTPStatus.OK, status
