"""The description of all endpoints in OpenAPI 3.1, for GET /openapi.json.

It is composed of small pieces that the endpoints share. tests/master/test_openapi.py compares it with the
routes, tests/fuzz/ with the responses.
"""

from typing import Any, Dict, Optional, Sequence, get_type_hints

from flask import Flask, Response, jsonify

from ... import __version__
from ...core.data_report import LARGEST_SCALE, LEAST_SCALE, MOST_AXES, MOST_CLASSES, MOST_OF_A_DTYPE, MOST_OF_A_NAME
from ...core.statuses import STATUSES
from ...device.report import FIELDS
from ...protocol.wire import MEDIA_TYPE
from ...report.rows import RoundRow
from ..live.history import DEFAULT_ROWS, MAX_ROWS
from ..live.page_files import TYPES
from ..records.artifacts import BINARY as BYTES
from ..records.artifacts import FIGURE, KINDS, PICTURES
from .metrics import CONTENT_TYPE as METRICS
from .model_files import CONTENT_TYPES

Json = Dict[str, Any]

BEARER: Sequence[Json] = ({"bearer": []},)
OPEN: Sequence[Json] = ({}, {"bearer": []})  # without a token, at least from the master's own machine
STATES = ("STARTING", "LOBBY", "OPEN", "CLOSING", "FINISHED")
BINARY: Json = {}  # any bytes
TEXT, FLAG, INTEGER, NUMBER = ({"type": name} for name in ("string", "boolean", "integer", "number"))
COUNT: Json = {"type": "integer", "minimum": 0}
ID: Json = {"type": "integer", "minimum": 0, "description": "of a worker, below system.total_workers"}

RETRY_AFTER = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "string"}}}
CHALLENGE = {"WWW-Authenticate": {"required": True, "schema": TEXT}}
REFUSALS = {
    400: ("the request is malformed", {}),
    401: ("a valid token is required", CHALLENGE),
    403: ("the token does not allow this", {}),
    404: ("not found", {}),
    408: ("the request arrived too slowly", {}),
    409: ("the request conflicts with the state of the run", {}),
    413: ("the body is too large", {}),
    422: ("the request is well-formed, but its values are invalid", {}),
    429: ("too many requests from this client", RETRY_AFTER),
    500: ("something could not be written", {}),
    503: ("temporarily unavailable", RETRY_AFTER),
}
ANYWHERE = (400, 401, 403, 408, 413, 429, 503)


def add_openapi(app: Flask) -> None:
    """Add the route to an application."""

    @app.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(DESCRIPTION)


def _object(properties: Dict[str, Json], optional: Sequence[str] = (), **more: Any) -> Json:
    """Describe an object that has these properties, and no others."""
    required = [name for name in properties if name not in optional]
    return dict(
        {"type": "object", "properties": properties, "required": required, "additionalProperties": False}, **more
    )


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _or_null(schema: Json) -> Json:
    return dict(schema, type=[schema["type"], "null"])


def _body(content_type: str, schema: Json) -> Json:
    return {"required": True, "content": {content_type: {"schema": schema}}}


def _query(name: str, schema: Json, description: str, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def _operation(
    summary: str,
    content: Dict[str, Json],
    refusals: Sequence[int] = (),
    security: Sequence[Json] = BEARER,
    others: Optional[Json] = None,
    **more: Any,
) -> Json:
    """Describe one method of a path: response 200 by content type, other responses, and errors."""
    responses = {
        "200": {"description": "done", "content": {name: {"schema": schema} for name, schema in content.items()}}
    }
    responses.update(others or {})
    for status in sorted(ANYWHERE + tuple(refusals)):
        responses[str(status)] = {"$ref": "#/components/responses/%d" % status}
    return dict({"summary": summary, "security": list(security), "responses": responses}, **more)


def _get(*args: Any, **more: Any) -> Json:
    """Describe a path with GET and HEAD, which has the same response without a body."""
    get = _operation(*args, **more)
    bodiless = {
        status: _refusal(int(status)) if "$ref" in answer else {"description": answer["description"]}
        for status, answer in get["responses"].items()
    }
    return {"get": get, "head": dict(get, responses=bodiless)}


def _refusal(status: int) -> Json:
    """Describe an error response, without its body."""
    words, headers = REFUSALS[status]
    return {"description": words, "headers": headers} if headers else {"description": words}


def _post(*args: Any, **more: Any) -> Json:
    return {"post": _operation(*args, **more)}


def _row() -> Json:
    """Describe a closed round, from the types of RoundRow's fields."""
    kinds = {int: INTEGER, float: NUMBER, Optional[float]: _or_null(NUMBER)}
    return _object({name: kinds[kind] for name, kind in get_type_hints(RoundRow).items()})


WIRE = {"wire_bytes_up": COUNT, "wire_bytes_down": COUNT}
TALLY = {status: COUNT for status in STATUSES}
KINDS_OF_FIELDS: Dict[str, Json] = {
    "number": NUMBER,
    "whole": COUNT,
    "flag": FLAG,
    "text": TEXT,
    "life": TEXT,
    "rails": {"type": "object", "additionalProperties": NUMBER},
}
READINGS = {name: dict(KINDS_OF_FIELDS[field.kind], description=field.meaning) for name, field in FIELDS.items()}
DEVICE = _object(
    dict({name: schema for name, schema in READINGS.items() if name != "life"}, age_s=_or_null(NUMBER)),
    optional=tuple(READINGS),
)
WORKER = _object(
    dict(
        TALLY,
        connected=FLAG,
        samples=COUNT,
        round=COUNT,
        loss=_or_null(NUMBER),
        last_seen_s=NUMBER,
        device=_or_null(DEVICE),
        **WIRE,
    )
)
TOTALS = _object(
    dict(
        {
            name: COUNT
            for name in (
                "payload_bits_up",
                "payload_bits_down",
                "frame_bytes_up",
                "frame_bytes_down",
                "retransmitted_bytes",
            )
        },
        **WIRE,
        **TALLY,
    )
)
DIVERGENCE = _object(
    {"quantity": TEXT, "value": _or_null(NUMBER), "round_index": COUNT, "first": _or_null(NUMBER), "first_round": COUNT}
)
DATA = _object(
    {
        "n_train": COUNT,
        "n_test": COUNT,
        "shape": dict(_list(COUNT), minItems=1, maxItems=MOST_AXES),
        "dtype": {"type": "string", "maxLength": MOST_OF_A_DTYPE},
        "lowest": NUMBER,
        "highest": NUMBER,
        "n_classes": COUNT,
        "class_names": _or_null(dict(_list({"type": "string", "maxLength": MOST_OF_A_NAME}), maxItems=MOST_CLASSES)),
        "class_counts": dict(_list(COUNT), maxItems=MOST_CLASSES),
        "checksum": dict(COUNT, maximum=2**32 - 1),
        "scale": dict(NUMBER, minimum=LEAST_SCALE, maximum=LARGEST_SCALE),
        "auto_scale": dict(NUMBER, minimum=LEAST_SCALE, maximum=LARGEST_SCALE),
        "columns": dict(COUNT, maximum=2**32 - 1),
    },
    optional=("class_names",),
)
SHOWN = set(DATA["properties"]) - {"auto_scale", "columns", "checksum"}
SEEN = _object(
    dict({name: schema for name, schema in DATA["properties"].items() if name in SHOWN}, checksum=_or_null(TEXT))
)
STATUS = _object(
    {
        "run_id": TEXT,
        "config_hash": TEXT,
        "state": {"type": "string", "enum": list(STATES)},
        "current_round": COUNT,
        "max_rounds": COUNT,
        "connected_workers": COUNT,
        "worker_status": {"type": "object", "additionalProperties": WORKER, "description": "by worker id"},
        "totals": TOTALS,
        "accuracy": _or_null(NUMBER),
        "test_loss": _or_null(NUMBER),
        "memory_bytes": _or_null(COUNT),
        "disk_bytes": COUNT,
        "problem": _or_null(TEXT),
        "divergence": _or_null(DIVERGENCE),
        "data": _or_null(SEEN),
    }
)
POINTS = _object({"round": _list(COUNT), "bytes": _list(COUNT), "value": _list(NUMBER)})
ON_PAGE = _object(
    dict(
        TALLY,
        id=COUNT,
        connected=FLAG,
        samples=COUNT,
        last_seen_s=NUMBER,
        loss=_or_null(NUMBER),
        wire_bytes=COUNT,
        name=_or_null(TEXT),
        temperature_c=_or_null(NUMBER),
        power_w=_or_null(NUMBER),
        throttled=_or_null(FLAG),
        problem=_or_null(TEXT),
    )
)
FEED = _object(
    {
        "state": _object(
            dict(
                {
                    name: STATUS["properties"][name]
                    for name in (
                        "run_id",
                        "state",
                        "problem",
                        "divergence",
                        "data",
                        "current_round",
                        "max_rounds",
                        "connected_workers",
                    )
                },
                results=_or_null(_object({"workbook": _or_null(TEXT), "folder": TEXT})),
                workers=_list(ON_PAGE),
                model=TEXT,
                dataset=TEXT,
                mode=TEXT,
                has_own_data=FLAG,
                total_workers=COUNT,
                min_workers=COUNT,
                n_params=COUNT,
                budget_bits=COUNT,
            )
        ),
        "rounds": _object(
            {
                "n_rounds": COUNT,
                "curves": _object(dict.fromkeys(("accuracy", "test_loss", "training_loss"), POINTS)),
                "histories": {
                    "type": "object",
                    "additionalProperties": TEXT,
                    "description": "by worker id, a letter a round",
                },
                "time_left_s": _or_null(NUMBER),
                "snapshot": _or_null(
                    _object(
                        dict(
                            WIRE,
                            round=COUNT,
                            accuracy=_or_null(NUMBER),
                            highest=_or_null(NUMBER),
                            test_loss=_or_null(NUMBER),
                            lowest=_or_null(NUMBER),
                            training_loss=_or_null(NUMBER),
                            float_bytes=COUNT,
                            budget=_or_null(_object({"bits": COUNT, "last": NUMBER, "mean": NUMBER})),
                        )
                    )
                ),
            }
        ),
        "log": _object(
            {
                "items": _list(
                    _object(
                        {
                            "number": COUNT,
                            "at": NUMBER,
                            "kind": TEXT,
                            "text": TEXT,
                            "worker_id": _or_null(INTEGER),
                            "round_index": COUNT,
                        }
                    )
                )
            }
        ),
    }
)
FILE = _object(
    {
        "name": TEXT,
        "kind": {"type": "string", "enum": sorted({"workbook", FIGURE, *KINDS.values()})},
        "bytes": COUNT,
        "path": TEXT,
    }
)
LAYOUT: Json = {"type": "array", "description": "[name, shape] of each array", "items": {"type": "array"}}
MODEL = _object({"round": COUNT, "layers": LAYOUT, "weights": _list({"type": ["array", "number"]})})
REGISTRATION = _object(
    {
        "worker_id": ID,
        "instance": {"type": "string", "minLength": 1, "maxLength": 64},
        "wire": INTEGER,
        "n_samples": INTEGER,
        "layout_crc": INTEGER,
        "claimed_epoch": INTEGER,
        "claimed_seq": INTEGER,
        "claimed_round": INTEGER,
        "undecided": FLAG,
        "known_epoch": INTEGER,
        "known_sessions": INTEGER,
        "codings": _list(TEXT),
        "data": _or_null(dict(DATA, additionalProperties=True)),
    },
    optional=(
        "n_samples",
        "layout_crc",
        "claimed_epoch",
        "claimed_seq",
        "claimed_round",
        "undecided",
        "known_epoch",
        "known_sessions",
        "codings",
        "data",
    ),
    additionalProperties=True,
    description="without n_samples the worker only requests the settings; with it the worker joins",
)
REGISTERED = _object(
    {
        "wire": COUNT,
        "run_id": TEXT,
        "ended": FLAG,
        "epoch": COUNT,
        "joined": FLAG,
        "resumed": FLAG,
        "n_sessions": COUNT,
        "lease_s": NUMBER,
        "start_crc": COUNT,
        "layout": LAYOUT,
        "settings": {"type": "object"},
        "codings": _list(TEXT),
        "warning": _or_null(TEXT),
    }
)
HEARTBEAT = _object(
    {
        "worker_id": ID,
        "epoch": INTEGER,
        "renews": FLAG,
        "device": _object(READINGS, optional=[name for name in READINGS if name != "life"]),
    },
    optional=("renews", "device"),
    additionalProperties=True,
)
ANSWER_QUERY = [
    _query("worker", ID, "the worker that sends the frame", required=True),
    _query(
        "have",
        INTEGER,
        "its version of the shared copy: the reply may wait for the next round and include it; docs/wire.md",
    ),
]

IF_NONE_MATCH = {"name": "If-None-Match", "in": "header", "required": False, "schema": TEXT}
NOT_MODIFIED = {"304": {"description": "If-None-Match names the current version"}}

PATHS: Json = {
    "/": _get("The live page", {"text/html": TEXT}, security=OPEN, others=NOT_MODIFIED, parameters=[IF_NONE_MATCH]),
    "/page/{name}": _get(
        "A file of the live page",
        {kind.split(";")[0]: BINARY for kind in TYPES.values()},
        [404],
        security=OPEN,
        others=NOT_MODIFIED,
        parameters=[IF_NONE_MATCH, {"name": "name", "in": "path", "required": True, "schema": TEXT}],
    ),
    "/feed": _get(
        "The data of the live page",
        {"application/json": FEED},
        security=OPEN,
        others=NOT_MODIFIED,
        parameters=[IF_NONE_MATCH],
    ),
    "/events": _get(
        "The parts of /feed as server-sent events, when they change",
        {"text/event-stream": TEXT},
        security=OPEN,
        parameters=[{"name": "Last-Event-ID", "in": "header", "required": False, "schema": TEXT}],
    ),
    "/healthz": _get("Whether the process serves", {"application/json": _object({"ok": FLAG})}, security=OPEN),
    "/status": _get("The status of the run", {"application/json": STATUS}, security=OPEN),
    "/history": _get(
        "The closed rounds",
        {"application/json": _object({"rounds": _list(_row()), "next": COUNT})},
        [422],
        parameters=[
            _query("since", COUNT, "only rounds after this one; default 0"),
            _query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_ROWS},
                "maximum number of rounds; default %d" % DEFAULT_ROWS,
            ),
        ],
    ),
    "/metrics": _get("Counts and gauges for Prometheus", {METRICS: TEXT}),
    "/results": _get("The files of the run", {"application/json": _object({"files": _list(FILE)})}),
    "/results/{name}": _get(
        "One file of the run",
        dict.fromkeys([BYTES, *PICTURES.values()], BINARY),
        [404],
        parameters=[{"name": "name", "in": "path", "required": True, "schema": TEXT}],
    ),
    "/openapi.json": _get("This description", {"application/json": {"type": "object"}}),
    "/get_global_model": _get(
        "The newest model; for workers, which accept %s, the next round" % MEDIA_TYPE,
        dict({kind: BINARY for kind in CONTENT_TYPES.values()}, **{"application/json": MODEL, MEDIA_TYPE: BINARY}),
        [409, 422],
        security=OPEN,
        others={
            "204": {"description": "for workers: nothing new yet"},
            "206": {
                "description": "for workers: the rest of a reply that was cut off",
                "content": {MEDIA_TYPE: {"schema": BINARY}},
            },
            "304": {"description": "If-None-Match names the current model"},
        },
        parameters=[
            _query("format", {"type": "string", "enum": list(CONTENT_TYPES)}, "for people; default json"),
            IF_NONE_MATCH,
        ]
        + [_query(name, INTEGER, "for workers; docs/wire.md") for name in ("worker", "epoch", "have", "answered")],
    ),
    "/register": _post(
        "A worker requests the settings, or joins",
        {"application/json": REGISTERED},
        [409, 422],
        requestBody=_body("application/json", REGISTRATION),
    ),
    "/heartbeat": _post(
        "A worker's heartbeat",
        {"application/json": _object({"state": TEXT, "round": COUNT})},
        [409, 422],
        requestBody=_body("application/json", HEARTBEAT),
    ),
    "/offer": _post(
        "A worker's offer or skip as a frame; the response is frames, without a content type",
        {},
        [409, 422],
        parameters=ANSWER_QUERY,
        requestBody=_body(MEDIA_TYPE, BINARY),
    ),
    "/upload_update": _post(
        "A worker's update as a frame; the response is frames, without a content type",
        {},
        [409, 422],
        parameters=ANSWER_QUERY,
        requestBody=_body(MEDIA_TYPE, BINARY),
    ),
    "/stop": _post(
        "End the run and save its results",
        {"application/json": _object({"status": TEXT, "results_saved": TEXT})},
        [500],
        security=OPEN,
    ),
}

ERROR = _object({"error": TEXT, "detail": {"type": "string", "minLength": 1}, "hint": TEXT})

DESCRIPTION: Json = {
    "openapi": "3.1.0",
    "info": {
        "title": "FLQ master",
        "version": __version__,
        "description": "The endpoints of the master. docs/endpoints.md explains them, docs/wire.md the frames, "
        "docs/security.md the tokens.",
    },
    "paths": PATHS,
    "components": {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "a line of state/tokens"}},
        "schemas": {"Error": ERROR},
        "responses": {
            str(status): dict(
                _refusal(status), content={"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
            )
            for status in REFUSALS
        },
    },
}
