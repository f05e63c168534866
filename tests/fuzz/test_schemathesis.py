"""Schemathesis reads /openapi.json and generates valid and invalid requests while four workers train.

Users' requests have the operator's token. All others, and POST /stop, which would end the run, have the token of a
worker that has not joined.
"""

import logging
from random import Random

import numpy as np
import pytest
import schemathesis
from frames import Frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_master import TOKENS, LocalMaster
from odd_values import FRAMES_TYPE, PATHS, WORKERS
from run_requests import RUN, Complaints, Training, model_of, undisturbed
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

N_EXAMPLES = 10  # for each method of each path, and each mode
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

SOME = Frames(Random(1))
schemathesis.openapi.media_type(
    FRAMES_TYPE, st.sampled_from([bytes(SOME.fuzzed()[1]) for _ in range(50)]) | st.binary(max_size=200)
)


@pytest.fixture
def complaints():
    """Return the errors logged meanwhile."""
    kept = Complaints()
    logging.getLogger().addHandler(kept)
    yield kept.texts
    logging.getLogger().removeHandler(kept)


def test_a_run_under_schemathesis_makes_the_undisturbed_model(tmp_path, complaints):
    codes = {}
    with LocalMaster(str(tmp_path / "fuzzed"), *RUN) as master:
        training = Training(master)
        schema = schemathesis.openapi.from_url(master.url + "/openapi.json", headers=authorization("operator"))
        assert set(schema) == {*PATHS, "/events"}
        for path in PATHS:
            name = "worker4" if path in WORKERS + ("/stop",) else "operator"
            for method in schema[path]:
                for mode in modes_of(schema[path][method]):
                    codes[path, method, mode] = codes_of(schema[path][method], mode, master.url, name)
            training.let_a_round_pass()
        model = model_of(master, training)
    assert complaints == []
    assert np.array_equal(model, undisturbed(str(tmp_path / "undisturbed")))
    assert set().union(*codes.values()) >= {200, 400, 403, 404, 409, 422}


def authorization(name):
    return {"Authorization": "Bearer " + TOKENS[name]}


def modes_of(operation):
    """Return POSITIVE, and NEGATIVE if the description forbids anything."""
    content = operation.definition.raw
    has_types = "requestBody" in content or any(item["in"] == "query" for item in content.get("parameters", ()))
    is_new = has_types and operation.method.upper() != "HEAD"  # which takes what GET takes
    return (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if is_new else (GenerationMode.POSITIVE,)


def speak_of_worker4(case):
    """Let a request name the worker of its token."""
    if "worker" in (case.query or {}):
        case.query["worker"] = 4
    if isinstance(case.body, dict):
        case.body["worker_id"] = 4


def codes_of(operation, mode, url, name):
    """Send requests of one kind, and check the responses against the description; return the status codes."""
    codes = set()

    @settings(
        max_examples=N_EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case):
        if mode is GenerationMode.POSITIVE and name == "worker4":
            speak_of_worker4(case)
        response = case.call(base_url=url, headers=authorization(name))
        codes.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    send()
    return codes
