"""/openapi.json lists exactly the existing routes, and responses match it."""

import json
import re
from pathlib import Path

import pytest
import schemathesis
from local_master import TOKENS, HttpWorker, LocalMaster, registration

from flq import __version__
from flq.master.routes.openapi import DESCRIPTION, PATHS, STATES
from flq.master.routes.starting import STARTING
from flq.protocol import worker_events
from flq.protocol.master_machine import State
from flq.report.rows import RoundRow

ENDPOINTS_MD = Path(__file__).resolve().parent.parent.parent / "docs" / "endpoints.md"
RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")
FRAMES = {"Accept": "application/x-flq"}


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """A master in round 2, and a worker that has a plan of it."""
    with LocalMaster(str(tmp_path_factory.mktemp("described")), *RUN) as made:
        workers = [HttpWorker(made, worker_id, waits=False) for worker_id in range(2)]
        for worker in workers:
            while not isinstance(worker.action, worker_events.CallPoll):
                worker.step()
        for worker in workers:
            while not isinstance(worker.action, worker_events.CallAnswer):
                worker.step()
        for worker in workers:
            worker.step()
        yield made


@pytest.fixture(scope="module")
def operations():
    return schemathesis.openapi.from_dict(DESCRIPTION)


def methods_of(path):
    return {method.upper() for method in PATHS[path]}


def test_it_describes_the_routes_that_there_are_and_no_others(master):
    rules = master.server._server.wsgi_app.url_map.iter_rules()
    there_are = {re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule): rule.methods for rule in rules}
    assert there_are == {path: methods_of(path) for path in PATHS}


def test_it_is_served_by_the_master(master):
    code, headers, body = master.send("GET", "/openapi.json")
    assert (code, headers["Content-Type"], json.loads(body)) == (200, "application/json", DESCRIPTION)
    assert DESCRIPTION["info"]["version"] == __version__


def test_the_document_lists_the_same_endpoints():
    listed = re.findall(r"`(GET|POST) (/[^ `?]*)", ENDPOINTS_MD.read_text(encoding="utf-8"))
    assert {(method, path.replace("<", "{").replace(">", "}")) for method, path in listed} == {
        (method, path) for path in PATHS for method in methods_of(path) - {"HEAD"}
    }


def test_it_is_open_where_no_token_is_needed(master):
    for path in PATHS:
        for method in methods_of(path):
            if path not in ("/stop", "/events"):  # which has no end; tests/page looks at it
                code, _, _ = master.send(method, path.replace("{name}", "config.json"), token=None)
                assert (code != 401) == ({} in PATHS[path][method.lower()]["security"]), path


def test_every_refusal_is_described_as_an_error():
    for path, item in PATHS.items():
        for method, operation in item.items():
            refusals = {status for status in operation["responses"] if status >= "400"}
            assert refusals >= {"400", "401", "403", "408", "413", "429", "503"}, (path, method)
            for status in refusals:
                common, answer = DESCRIPTION["components"]["responses"][status], operation["responses"][status]
                assert "content" in common
                if method == "head":
                    assert answer == {key: value for key, value in common.items() if key != "content"}
                else:
                    assert answer == {"$ref": "#/components/responses/%s" % status}


def test_states_and_fields_are_those_of_the_program():
    assert set(STATES) == {state.value for state in State} | {STARTING}
    page = PATHS["/history"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert page["properties"]["rounds"]["items"]["required"] == list(RoundRow._fields)


def heartbeat(worker_id, **more):
    return json.dumps(dict({"worker_id": worker_id, "epoch": 1}, **more))


@pytest.mark.parametrize(
    "method, path, target, body, headers, codes",
    [
        ("GET", "/healthz", "", None, {}, {200}),
        ("GET", "/status", "", None, {}, {200}),
        ("GET", "/history", "?since=0", None, {}, {200}),
        ("GET", "/history", "?since=x", None, {}, {422}),
        ("GET", "/metrics", "", None, {}, {200}),
        ("GET", "/results", "", None, {}, {200}),
        ("GET", "/", "", None, {}, {200}),
        ("GET", "/feed", "", None, {}, {200}),
        ("GET", "/openapi.json", "", None, {}, {200}),
        ("GET", "/get_global_model", "", None, {}, {200}),
        ("GET", "/get_global_model", "?format=npz", None, {}, {200}),
        ("GET", "/get_global_model", "?format=keras", None, {}, {422}),
        ("GET", "/get_global_model", "", None, {"If-None-Match": '"local-1-json"'}, {304}),
        ("GET", "/get_global_model", "?worker=0&epoch=1&have=0&answered=0", None, FRAMES, {200}),
        ("GET", "/get_global_model", "?worker=0&epoch=9&have=0&answered=0", None, FRAMES, {409}),
        ("POST", "/register", "", json.dumps(registration(0, "instance0")), {}, {200}),
        ("POST", "/register", "", json.dumps(registration(0, "another")), {}, {409}),
        ("POST", "/register", "", "[]", {}, {400}),
        ("POST", "/register", "", "{}", {}, {422}),
        ("POST", "/heartbeat", "", heartbeat(0), {}, {200}),
        ("POST", "/heartbeat", "", heartbeat(0, epoch=3), {}, {409}),
        ("POST", "/offer", "?worker=0", b"x", {}, {400}),
        ("POST", "/upload_update", "?worker=7", b"x", {}, {403, 422}),
    ],
)
def test_responses_match_the_document(master, operations, method, path, target, body, headers, codes):
    code, got, content = master.send(method, path + target, body, headers)
    assert code in codes, content
    check(operations[path][method], master, code, got, content)


def test_files_and_rejections_of_strangers_match_the_document(master, operations):
    for target, token in (
        ("/results/config.json", ""),
        ("/results/nope", ""),
        ("/results/config.json", None),
        ("/results/config.json", TOKENS["worker0"]),
    ):
        check(operations["/results/{name}"]["GET"], master, *master.send("GET", target, token=token))


def check(operation, master, code, headers, body):
    """Check a response against the description of an operation."""
    import requests

    lists = {name: [value] for name, value in headers.items()}
    assert str(code) in operation.definition.raw["responses"]
    operation.validate_response(
        schemathesis.Response(
            status_code=code,
            headers=lists,
            content=body,
            request=requests.Request("GET", master.url).prepare(),
            elapsed=0.0,
            verify=False,
        )
    )


def test_responses_at_the_end_match_the_document(make_master, operations):
    master = make_master(*RUN)
    check(operations["/stop"]["POST"], master, *master.send("POST", "/stop"))
    check(operations["/status"]["GET"], master, *master.send("GET", "/status"))
    check(operations["/results"]["GET"], master, *master.send("GET", "/results"))
