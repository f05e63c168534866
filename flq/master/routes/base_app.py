"""The base of all applications of the master: bounded bodies, errors as JSON, validated queries."""

import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional, Union

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from ...errors import BadValues, FlqError, TooLarge, TooManyRequests, Unauthorized, Unavailable, WireError
from ..http.auth import OPERATOR, Gate, is_page
from ..http.bodies import MAX_JSON_BYTES, check_crc, read_body
from ..http.limits import All

RETRY_AFTER_S = 2
DRAIN_S = 1.0  # time limit for reading a small rejected body, so that its sender receives the response
DRAINED = 2  # at a time, so that rejected strangers leave threads for the bodies of workers

Semaphore = Union[threading.BoundedSemaphore, All]


def base_app(gate: Gate, body_limit: int, reading: Semaphore, before_body: Callable[[], Any] = lambda: None) -> Flask:
    """Return an application without routes; ``g.name`` is the token's name, ``g.body`` the body of a request.

    Parameters
    ----------
    gate : Gate
        Authorizes each request first.
    body_limit : int
        Maximum bytes of a worker's body; those of others are JSON.
    reading : semaphore
        Of the threads that may read bodies at a time.
    before_body : callable(), optional
        Called before the body is read, which may be incomplete.
    """
    app = Flask("flq", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # only the methods in docs/endpoints.md
    app.json.sort_keys = False  # type: ignore[attr-defined]  # people read the keys in the order of the code
    draining = All(threading.BoundedSemaphore(DRAINED), reading)

    @app.before_request
    def receive_body() -> None:
        size = request.content_length or 0
        try:
            g.name = gate.admit()
            before_body()
            if size and is_page():  # the page has more places than other requests without a token
                raise TooLarge("the body has %d bytes, expected none" % size)
        except FlqError:
            with one_of(draining) as has_thread:
                if has_thread and size <= MAX_JSON_BYTES:
                    drain(size)
            raise
        limit = body_limit if g.name not in ("", OPERATOR) else MAX_JSON_BYTES
        if size > limit:
            raise TooLarge("the body has %d bytes, expected at most %d" % (size, limit))
        if request.content_length is None and "Transfer-Encoding" in request.headers:
            raise WireError("the body has no Content-Length, expected one", "do not send it in chunks")
        with one_of(reading) as has_thread:
            if not has_thread and size:
                raise Unavailable("too many request bodies are being received", "try again")
            g.body = read_body(size)
        check_crc(g.body)

    @app.errorhandler(FlqError)
    def refuse(error: FlqError) -> Response:
        response = problem(error.status_hint, type(error).__name__, error.detail, error.hint)
        if isinstance(error, TooManyRequests):
            response.headers["Retry-After"] = str(error.retry_after_s)
        if isinstance(error, Unauthorized):
            shown = ', error="invalid_token"' if "Authorization" in request.headers else ""  # RFC 6750, section 3
            response.headers["WWW-Authenticate"] = 'Bearer realm="flq"' + shown
        return response

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        hint = "docs/endpoints.md lists all endpoints" if error.code in (404, 405) else ""
        detail = "%s %.200s: %s" % (request.method, ascii(request.path)[1:-1], error.name.lower())
        return problem(error.code or 500, type(error).__name__, detail, hint)

    return app


def drain(size: int) -> None:
    """Read and discard a body: a sender that is rejected while it sends may miss the response."""
    request.environ.get("flq.hurry", float)(DRAIN_S)
    try:
        read_body(size)
    except WireError:
        pass  # then it may miss it


@contextmanager
def one_of(semaphore: Semaphore) -> Iterator[bool]:
    """Return a context that takes a place of a semaphore if there is one; its value is whether it did."""
    has_thread = semaphore.acquire(blocking=False)
    try:
        yield has_thread
    finally:
        if has_thread:
            semaphore.release()


def problem(status: int, error: str, detail: str, hint: str) -> Response:
    """Return the response of an error."""
    response = jsonify(error=error, detail=detail, hint=hint)
    response.status_code = status
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def integer(values: Any, name: str, *default: Optional[int]) -> Any:
    """Return an integer of a query or a JSON object.

    Raises
    ------
    BadValues
        If it is not an integer.
    """
    if name not in values and default:
        return default[0]
    value = values.get(name)
    try:
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or abs(number) >= 2**63:
        raise BadValues("%s must be an integer, got %.80r" % (name, value))
    return number


def integer_within(values: Any, name: str, lowest: int, highest: int, default: int) -> int:
    """Return an integer of a query.

    Raises
    ------
    BadValues
        If it is not an integer in lowest..highest.
    """
    number = integer(values, name, default)
    if not lowest <= number <= highest:
        raise BadValues("%s must be in %d..%d, got %d" % (name, lowest, highest, number))
    return number
