"""What every application of the master has: bounded bodies, errors as JSON, queries that are read with care."""

import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from ..errors import BadValues, FlqError, TooLarge, Unavailable, WireError
from .bodies import read_body

RETRY_AFTER_S = 2


def base_app(body_limit: int, n_readers: int, before_body: Callable[[], Any] = lambda: None) -> Flask:
    """Return an application without routes; the body of a request is ``g.body``.

    Parameters
    ----------
    body_limit : int
        Bytes that a body may have.
    n_readers : int
        Threads that may read bodies at a time.
    before_body : callable(), optional
        Looks at a request before its body, which may break off.
    """
    app = Flask("flq")
    app.json.sort_keys = False  # a person reads them in the order in which they were written
    reading = threading.BoundedSemaphore(n_readers)

    @app.before_request
    def receive_body() -> None:
        before_body()
        if request.content_length is not None and request.content_length > body_limit:
            raise TooLarge("the body has %d bytes, expected at most %d" % (request.content_length, body_limit))
        if request.content_length is None and "Transfer-Encoding" in request.headers:
            raise WireError("the body has no Content-Length, expected one", "do not send it in chunks")
        with one_of(reading) as has_thread:
            if not has_thread and request.content_length:
                raise Unavailable("too many bodies are on their way", "try again")
            g.body = read_body(request.content_length or 0)

    @app.errorhandler(FlqError)
    def refuse(error: FlqError) -> Response:
        return problem(error.status_hint, type(error).__name__, error.detail, error.hint)

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        hint = "docs/endpoints.md lists what there is" if error.code in (404, 405) else ""
        detail = "%s %.200s: %s" % (request.method, ascii(request.path)[1:-1], error.name.lower())
        return problem(error.code or 500, type(error).__name__, detail, hint)

    return app


@contextmanager
def one_of(semaphore: threading.BoundedSemaphore) -> Iterator[bool]:
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
    if status in (429, 503):
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
    if number is None or abs(number) >= 2 ** 63:
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
