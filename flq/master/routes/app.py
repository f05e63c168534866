"""The Flask application: its routes turn requests into events, and replies into responses.

No route uses the machine. A frame is read, decoded and validated here, in the request's own
thread, so that the event loop gets valid messages only.
"""

import threading
from typing import Any, Dict

from flask import Flask, Response, g, jsonify, request

from ...core.codecs.lossless import NUMBERS
from ...core.data_report import optional_report
from ...device.report import checked
from ...errors import BadValues, TooLarge
from ...protocol.events import Answered, Heartbeat, Poll, Register
from ...protocol.messages import Answer, Kind
from ...protocol.wire import MEDIA_TYPE, check_version, decode, max_answer_size
from ..http.auth import OPERATOR, Gate, session_of_request
from ..http.bodies import MAX_JSON_BYTES, json_object, partial_reply, plan_frames, terse, verdict_frames, with_crc
from ..http.limits import All, Buckets, Rate
from ..http.server import SPARE_THREADS, n_threads
from ..live.broadcast import Broadcast
from ..live.page import add_page
from ..runtime.run import Run
from .base_app import RETRY_AFTER_S, base_app, integer, one_of
from .openapi import add_openapi
from .views import add_views, model_for_people

REGISTER_NUMBERS = (
    "n_samples",
    "layout_crc",
    "claimed_epoch",
    "claimed_seq",
    "claimed_round",
    "known_epoch",
    "known_sessions",
)
JOINS = Rate(0.5, 30)  # per instance of a worker: each join is journalled


def create_app(run: Run, gate: Gate, broadcast: Broadcast) -> Flask:
    """Return the application of a run; the gate authorizes requests, the broadcast feeds the live page."""
    options, link = run.machine.options, run.machine.link
    frame_limit = max_answer_size(options.layout, options.rules.codec_up)
    total_workers = options.settings.system.total_workers
    threads = n_threads(total_workers)
    slow = threading.BoundedSemaphore(threads - SPARE_THREADS // 2)  # of requests that wait for anything
    patience = All(threading.BoundedSemaphore(threads - SPARE_THREADS), slow)
    reading = All(threading.BoundedSemaphore(threads // 2), slow)

    def note_the_worker() -> None:
        if g.name not in ("", OPERATOR) and "worker" in request.args:
            worker_of_query()

    def worker_of_query() -> int:
        worker_id = integer(request.args, "worker")
        if not 0 <= worker_id < total_workers:
            raise BadValues("worker must be in 0..%d, got %d" % (total_workers - 1, worker_id))
        return proven(worker_id)

    def proven(worker_id: int) -> int:
        """Check that a request comes from the worker that it names, and count the connection for it."""
        gate.require_worker(g.name, worker_id)
        if 0 <= worker_id < total_workers:
            request.environ["flq.peer"].is_worker(worker_id)
        return worker_id

    joins = Buckets(JOINS)
    app = base_app(gate, max(frame_limit, MAX_JSON_BYTES), reading, note_the_worker)
    add_views(app, run)
    add_page(app, broadcast)
    add_openapi(app)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(ok=True)

    @app.get("/status")
    def status() -> Response:
        return jsonify(run.status)

    @app.post("/register")
    def register() -> Response:
        body = json_object(g.body)
        worker_id = proven(integer(body, "worker_id"))
        instance = body.get("instance")
        if not isinstance(instance, str) or not 1 <= len(instance) <= 64:
            raise BadValues("instance must be a text of 1 to 64 characters, got %.80r" % (instance,))
        numbers = {name: integer(body, name, None) for name in REGISTER_NUMBERS}
        undecided = flag(body, "undecided", False)
        if numbers["n_samples"] is not None:
            joins.take((worker_id, instance))  # by instance, so that a thief of the token cannot use up the rate
        check_version("the worker", integer(body, "wire", None))
        codings = body.get("codings", [])
        if not isinstance(codings, list):
            raise BadValues("codings must be a list, got %.80r" % (codings,))
        known = tuple(name for name in NUMBERS if name in codings)  # unknown ones are ignored
        data = optional_report(body.get("data"))
        session = session_of_request()
        reply = run.loop.ask(
            lambda ticket: Register(
                ticket, worker_id, instance, codings=known, undecided=undecided, session=session, data=data, **numbers
            )
        )
        return with_crc(jsonify(reply))

    @app.get("/get_global_model")
    def get_global_model() -> Response:
        if MEDIA_TYPE not in request.headers.get("Accept", ""):
            return model_for_people(run.model_files, patience)
        worker_id = worker_of_query()
        epoch, have, answered = (integer(request.args, name) for name in ("epoch", "have", "answered"))
        partial, session = partial_reply(), session_of_request()
        with one_of(patience) as has_thread:
            body = run.loop.ask(
                lambda ticket: Poll(ticket, worker_id, epoch, have, answered, has_thread, partial, session)
            )
        if body is None:
            return terse(Response(status=204, headers={} if has_thread else {"Retry-After": str(RETRY_AFTER_S)}))
        return plan_frames(body, partial)

    @app.post("/offer")
    def offer() -> Response:
        return _answer()

    @app.post("/upload_update")
    def upload_update() -> Response:
        return _answer()

    def _answer() -> Response:
        worker_id = worker_of_query()
        body = g.body
        if len(body) > frame_limit:
            raise TooLarge("the body has %d bytes, expected at most %d" % (len(body), frame_limit))
        answer = decode(body, link, Answer)
        if answer.worker_id != worker_id:
            raise BadValues("the frame is of worker %d, the request of worker %d" % (answer.worker_id, worker_id))
        have, session = integer(request.args, "have", None), session_of_request()
        if have is None and answer.kind is not Kind.OFFER:  # answered at once
            return verdict_frames(run.loop.ask(lambda ticket: Answered(ticket, answer, body, session=session)), [])
        with one_of(patience) as has_thread:
            verdict, *stream = run.loop.ask(lambda ticket: Answered(ticket, answer, body, has_thread, have, session))
        return verdict_frames([verdict], stream)

    @app.post("/heartbeat")
    def heartbeat() -> Response:
        body = json_object(g.body)
        worker_id = proven(integer(body, "worker_id"))
        epoch, renews, session = integer(body, "epoch"), flag(body, "renews", True), session_of_request()
        reply = run.loop.ask(lambda ticket: Heartbeat(ticket, worker_id, epoch, renews, session))
        if body.get("device") is not None:  # after the heartbeat, which counts even if this is invalid
            run.take_report(worker_id, checked(body["device"]))
        return jsonify(reply)

    @app.post("/stop")
    def stop() -> Response:
        try:
            run.stop("stopped by POST /stop")
        finally:
            run.ending.release()
        return jsonify(status="stopped", results_saved=run.results.workbook)

    return app


def flag(body: Dict[str, Any], name: str, default: bool) -> bool:
    """Return a boolean of a JSON object.

    Raises
    ------
    BadValues
        If it is not a boolean.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadValues("%s must be true or false, got %.80r" % (name, value))
    return value
