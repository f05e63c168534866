"""Endpoints for people and their tools: rounds, files, metrics and model of a run.

All data come from snapshots, without the thread that owns the machine.
"""

import os
from typing import BinaryIO, Iterator

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import NotFound

from ...errors import BadValues, Unavailable
from ..http.bodies import PIECE, frames
from ..live.history import DEFAULT_ROWS, MAX_ROWS, history
from ..records.artifacts import content_type_of
from ..runtime.run import Run
from .base_app import Semaphore, integer_within, one_of
from .metrics import CONTENT_TYPE, Metrics
from .model_files import CONTENT_TYPES, ModelFiles

LAST_ROUND = 2**63 - 1


def add_views(app: Flask, run: Run) -> None:
    """Add the routes to an application."""
    metrics = Metrics(lambda: run.status)

    @app.get("/history")
    def get_history() -> Response:
        unknown = sorted(set(request.args) - {"since", "limit"})
        if unknown:
            raise BadValues("the query may hold since and limit, got %.80r" % unknown[0])
        since = integer_within(request.args, "since", 0, LAST_ROUND, 0)
        limit = integer_within(request.args, "limit", 1, MAX_ROWS, DEFAULT_ROWS)
        return jsonify(history(run.record.rounds(since, limit), since))

    @app.get("/metrics")
    def get_metrics() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    @app.get("/results")
    def get_results() -> Response:
        return jsonify(
            files=[
                {"name": file.name, "kind": file.kind, "bytes": file.n_bytes, "path": file.path}
                for file in run.results.files()
            ]
        )

    @app.get("/results/<name>")
    def get_result(name: str) -> Response:
        path = {file.name: file.path for file in run.results.files()}.get(name)
        try:
            if path is not None:
                return _download(open(path, "rb"), name)
        except OSError:  # removed meanwhile
            pass
        raise NotFound()


def model_for_people(files: ModelFiles, patience: Semaphore) -> Response:
    """Return the response to GET /get_global_model for people.

    Parameters
    ----------
    files : ModelFiles
    patience : semaphore
        Of the threads that may wait.
    """
    wanted = request.args.get("format", "json")
    tag = files.tag(wanted)
    if request.if_none_match.contains_weak(tag):
        response = Response(status=304)
    else:
        with one_of(patience) as has_thread:
            if not has_thread:
                raise Unavailable("too many requests are waiting", "try again")
            tag, body = files.form(wanted)
        response = frames([body])
        response.content_type = CONTENT_TYPES[wanted]
        if wanted != "json":
            response.headers["Content-Disposition"] = 'attachment; filename="model.%s"' % wanted
    response.set_etag(tag)
    response.headers["Cache-Control"] = "no-cache"  # ask whether there is a newer one
    return response


def _download(stream: BinaryIO, name: str) -> Response:
    """Return a response that streams a file; if it is replaced meanwhile, the old content is sent."""

    def pieces() -> Iterator[bytes]:
        while True:
            piece = stream.read(PIECE)
            if not piece:
                return
            yield piece

    response = Response(pieces(), content_type=content_type_of(name))
    response.content_length = os.fstat(stream.fileno()).st_size
    response.headers["Content-Disposition"] = 'attachment; filename="%s"' % name  # made by the master: no quotes
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox"  # an SVG must not run scripts of this origin
    response.call_on_close(stream.close)
    return response
