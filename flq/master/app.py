"""The Flask application: routes turn requests into events, and replies into responses.

No route touches the machine; reading, decoding and checking a frame happen here, in the
request's own thread, so that the owner thread only ever gets messages that are valid.
"""

import threading
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from ..errors import BadValues, FlqError, TooLarge, Unavailable, WireError
from ..protocol.events import Answered, Heartbeat, Poll, Register
from ..protocol.messages import Answer, Kind
from ..protocol.wire import decode, max_answer_size
from .bodies import FRAMES, MAX_JSON_BYTES, frames, json_object, model_for_people, read_body
from .server import SPARE_THREADS, n_threads
from .service import MasterService

RETRY_AFTER_S = 2


def create_app(service: MasterService) -> Flask:
    """Build the application of a run."""
    app = Flask("flq")
    app.json.sort_keys = False  # a person reads them in the order in which they were written
    options, link = service.machine.options, service.machine.link
    frame_limit = max_answer_size(options.layout, options.rules.bits_up)
    patience = threading.BoundedSemaphore(n_threads(options.total_workers) - SPARE_THREADS)
    reading = threading.BoundedSemaphore(n_threads(options.total_workers) // 2)

    @app.before_request
    def receive_body() -> None:
        if request.method == "POST" and "worker" in request.args:
            _worker_of_query(options.total_workers)  # before the body, which may break off
        limit = max(frame_limit, MAX_JSON_BYTES)
        if request.content_length is not None and request.content_length > limit:
            raise TooLarge("the body has %d bytes, expected at most %d" % (request.content_length, limit))
        if request.content_length is None and "Transfer-Encoding" in request.headers:
            raise WireError("the body has no Content-Length, expected one", "do not send it in chunks")
        with _patience(reading) as has_thread:
            if not has_thread and request.content_length:
                raise Unavailable("too many bodies are on their way", "try again")
            g.body = read_body(request.content_length or 0)

    @app.errorhandler(FlqError)
    def refuse(error: FlqError) -> Response:
        return _problem(error.status_hint, type(error).__name__, error.detail, error.hint)

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        hint = "the endpoints are in README.md" if error.code in (404, 405) else ""
        detail = "%s %s: %s" % (request.method, request.path, error.name.lower())
        return _problem(error.code or 500, type(error).__name__, detail, hint)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(ok=True)

    @app.get("/status")
    def status() -> Response:
        return jsonify(service.status)

    @app.post("/register")
    def register() -> Response:
        body = json_object(g.body)
        worker_id = _integer(body, "worker_id")
        instance = body.get("instance")
        if not isinstance(instance, str) or not 1 <= len(instance) <= 64:
            raise BadValues("instance must be a text of 1 to 64 characters, got %.80r" % (instance,))
        reply = service.ask(lambda ticket: Register(ticket, worker_id, instance, _integer(body, "n_samples", None),
                                                    _integer(body, "layout_crc", None)))
        request.environ["flq.peer"].is_worker(worker_id)
        return jsonify(reply)

    @app.get("/get_global_model")
    def get_global_model() -> Response:
        if FRAMES not in request.headers.get("Accept", ""):
            return model_for_people(service.published, options.layout, request.args.get("format", "json"))
        worker_id = _worker_of_query(options.total_workers)
        poll = [_integer(request.args, name) for name in ("epoch", "have", "answered")]
        with _patience(patience) as has_thread:
            body = service.ask(lambda ticket: Poll(ticket, worker_id, *poll)) if has_thread else None
        if body is None:
            return Response(status=204, headers={} if has_thread else {"Retry-After": str(RETRY_AFTER_S)})
        return frames(body)

    @app.post("/offer")
    def offer() -> Response:
        return _answer()

    @app.post("/upload_update")
    def upload_update() -> Response:
        return _answer()

    def _answer() -> Response:
        worker_id = _worker_of_query(options.total_workers)
        body = g.body
        if len(body) > frame_limit:
            raise TooLarge("the body has %d bytes, expected at most %d" % (len(body), frame_limit))
        answer = decode(body, link)
        if not isinstance(answer, Answer):
            raise BadValues("expected a skip, an offer or an upload, got a %s" % type(answer).__name__.lower())
        if answer.worker_id != worker_id:
            raise BadValues("the frame is of worker %d, the request of worker %d" % (answer.worker_id, worker_id))
        if answer.kind is not Kind.OFFER:  # which are answered at once
            return frames(service.ask(lambda ticket: Answered(ticket, answer, len(body))))
        with _patience(patience) as has_thread:
            return frames(service.ask(lambda ticket: Answered(ticket, answer, len(body), may_wait=has_thread)))

    @app.post("/heartbeat")
    def heartbeat() -> Response:
        body = json_object(g.body)
        worker_id = _integer(body, "worker_id")
        reply = service.ask(lambda ticket: Heartbeat(ticket, worker_id, _integer(body, "epoch")))
        request.environ["flq.peer"].is_worker(worker_id)
        return jsonify(reply)

    @app.post("/stop")
    def stop() -> Response:
        try:
            service.stop("stopped by POST /stop")
        finally:
            service.released.set()
        service.results.check_workbook()
        return jsonify(status="stopped", results_saved=service.results.workbook)

    return app


@contextmanager
def _patience(semaphore: threading.BoundedSemaphore) -> Iterator[bool]:
    """Say whether a request may wait in its thread, or too many do already."""
    has_thread = semaphore.acquire(blocking=False)
    try:
        yield has_thread
    finally:
        if has_thread:
            semaphore.release()


def _problem(status: int, error: str, detail: str, hint: str) -> Response:
    response = jsonify(error=error, detail=detail, hint=hint)
    response.status_code = status
    if status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _worker_of_query(total_workers: int) -> int:
    """Return the worker that a request names, and count the connection's bytes as its own."""
    worker_id = _integer(request.args, "worker")
    if not 0 <= worker_id < total_workers:
        raise BadValues("worker must be in 0..%d, got %d" % (total_workers - 1, worker_id))
    request.environ["flq.peer"].is_worker(worker_id)
    return worker_id


def _integer(values: Any, name: str, *default: Optional[int]) -> Any:
    """Return an integer of a query or a JSON object."""
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
