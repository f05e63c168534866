"""Routes of the live page: its files, and its data as one reply or as an event stream.

A stream occupies a thread for as long as it is open. Therefore streams have their own number of threads, which no
worker waits for, and do not count among the concurrent requests of the gate.
"""

from typing import Callable, List

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from .broadcast import Broadcast
from .page_files import HEADERS, INDEX, PageFile, page_files

SEND_S = 10.0  # time limit of one message; the stream of a slower viewer is closed


def add_page(app: Flask, broadcast: Broadcast) -> None:
    """Add the routes to an application."""
    files = page_files()

    @app.get("/")
    def get_page() -> Response:
        return _answer(files[INDEX])

    @app.get("/page/<path:name>")
    def get_page_file(name: str) -> Response:
        if name not in files or name == INDEX:
            raise NotFound()
        return _answer(files[name])

    @app.get("/feed")
    def get_feed() -> Response:
        tag, text = broadcast.snapshot()
        response = Response(text, content_type="application/json")
        return _with_tag(response, tag)

    @app.get("/events")
    def get_events() -> Response:
        leave = broadcast.places.enter(request.remote_addr or "")
        _leave_the_gate()
        allow = request.environ.get("flq.hurry", float)
        pieces = broadcast.stream(request.headers.get("Last-Event-ID", ""), lambda: allow(SEND_S))
        response = Response(pieces, content_type="text/event-stream; charset=utf-8")
        response.headers["Cache-Control"] = "no-cache, no-store, no-transform"
        response.headers["X-Accel-Buffering"] = "no"  # nginx and others must not buffer
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.call_on_close(leave)
        return response


def _answer(file: PageFile) -> Response:
    response = Response(file.content, content_type=file.content_type)
    for name, value in HEADERS.items():
        response.headers[name] = value
    return _with_tag(response, file.tag)


def _with_tag(response: Response, tag: str) -> Response:
    """Add the ETag of the content; make the response 304 if the client has it."""
    response.set_etag(tag)
    response.headers["Cache-Control"] = "no-cache"  # ask whether there is a newer one
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.make_conditional(request)
    return response


def _leave_the_gate() -> None:
    """Release the request's places at the gate: a stream is counted among streams."""
    at_end: List[Callable[[], None]] = request.environ.get("flq.at_end", [])
    while at_end:
        at_end.pop()()
