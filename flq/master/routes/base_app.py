"""What every application of the master has: bounded bodies, errors as JSON, queries that are read with care."""

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
DRAIN_S = 1.0  # how long a small body that nobody reads is waited for, so that its sender hears the answer
DRAINED = 2  # so many at a time: strangers who are refused take no more of what workers need for their bodies

Semaphore = Union[threading.BoundedSemaphore, All]


def base_app(gate: Gate, body_limit: int, reading: Semaphore, before_body: Callable[[], Any] = lambda: None) -> Flask:
    """Return an application without routes; who asks is ``g.name``, the body of a request is ``g.body``.

    Parameters
    ----------
    gate : Gate
        Says who may ask what, before anything else.
    body_limit : int
        Bytes that a worker's body may have; those of others are JSON.
    reading : semaphore
        Of the threads that may read bodies at a time.
    before_body : callable(), optional
        Looks at a request before its body, which may break off.
    """
    app = Flask("flq", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # only what docs/endpoints.md says
    app.json.sort_keys = False  # type: ignore[attr-defined]  # a person reads them in the order in which they were written
    draining = All(threading.BoundedSemaphore(DRAINED), reading)

    @app.before_request
    def receive_body() -> None:
        size = request.content_length or 0
        try:
            g.name = gate.admit()
            before_body()
            if size and is_page():  # whose places are more than others without a token may hold
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
                raise Unavailable("too many bodies are on their way", "try again")
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
    """Read a body and forget it: a sender that is refused while it sends may not hear of it."""
    request.environ.get("flq.hurry", float)(DRAIN_S)
    try:
        read_body(size)
    except WireError:
        pass  # then it does not


@contextmanager
def one_of(semaphore: Semaphore) -> Iterator[bool]:
    """Say whether a request may wait in its thread, or too many do already."""
    has_thread = semaphore.acquire(blocking=False)
    try:
        yield has_thread
    finally:
        if has_thread:
            semaphore.release()


def problem(status: int, error: str, detail: str, hint: str) -> Response:
    """Return an error in the form that all have."""
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
        If it is none.
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
        If it is none, or not in lowest..highest.
    """
    number = integer(values, name, default)
    if not lowest <= number <= highest:
        raise BadValues("%s must be in %d..%d, got %d" % (name, lowest, highest, number))
    return number
