"""The application of a starting master, while a user's own model is being built.

Until the machine exists, only GET /healthz, GET /status and the live page work; all other requests
get 503.
"""

import threading
from typing import Any, Callable, Dict, Iterable

from flask import Flask, Response, jsonify, request

from ...core.settings import Settings
from ...errors import Unavailable
from ..http.auth import OPEN, Gate, is_page
from ..http.bodies import MAX_JSON_BYTES
from ..http.server import n_threads
from ..live.broadcast import Broadcast
from ..live.page import add_page
from ..live.status import status_before
from .base_app import base_app

STARTING = "STARTING"

Wsgi = Callable[[Dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Switch:
    """A WSGI application that passes each request to its current application."""

    def __init__(self, app: Wsgi) -> None:
        self.app = app

    def __call__(self, environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        return self.app(environ, start_response)


def starting_app(run_id: str, settings: Settings, settings_hash: str, gate: Gate, broadcast: Broadcast) -> Flask:
    """Return the application of a master whose model is not built yet."""
    reading = threading.BoundedSemaphore(n_threads(settings.system.total_workers) // 2)
    app = base_app(gate, MAX_JSON_BYTES, reading)

    @app.before_request  # after the body is read: a sender that is rejected while it sends may miss the response
    def not_yet() -> None:
        if not (request.path in OPEN or is_page()):
            raise Unavailable("the master is starting: model %.80s is being built" % settings.model.name, "try again")

    add_page(app, broadcast)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(ok=True)

    @app.get("/status")
    def status() -> Response:
        return jsonify(status_before(run_id, settings_hash, STARTING, settings.system.max_rounds))

    return app
