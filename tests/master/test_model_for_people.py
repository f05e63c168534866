"""GET /get_global_model without a worker's Accept header: JSON, .npz, or a refusal."""

import io
import json

import numpy as np
import pytest
from local_master import HttpWorker

from flq.core.params import flatten
from flq.protocol import worker_events

RUN = ("system.total_workers=1", "system.min_workers=1", "system.max_rounds=3")


def test_npz_is_a_file_that_numpy_loads(make_master, run_workers):
    master = make_master(*RUN)
    model = run_workers(master)
    code, headers, body = master.send("GET", "/get_global_model?format=npz")
    assert code == 200 and headers["Content-Type"] == "application/zip"
    assert headers["Content-Disposition"] == 'attachment; filename="model.npz"'
    assert int(headers["Content-Length"]) == len(body)
    with np.load(io.BytesIO(body), allow_pickle=False) as tensors:
        assert np.array_equal(flatten([tensors[tensor.name] for tensor in master.layout.tensors], master.layout), model)


@pytest.mark.parametrize("query", ["", "?format=json"])
def test_json_is_what_one_gets_otherwise(make_master, query):
    master = make_master(*RUN)
    code, headers, body = master.send("GET", "/get_global_model" + query)
    assert code == 200 and headers["Content-Type"] == "application/json"
    answer = json.loads(body)
    assert answer["round"] == 0
    weights = [np.asarray(array, np.float32) for array in answer["weights"]]
    assert np.array_equal(flatten(weights, master.layout), master.machine.server.model)


@pytest.mark.parametrize("wanted", ["h5", "", "NPZ", "x" * 500])
def test_any_other_format_is_422(make_master, wanted):
    code, _, body = make_master(*RUN).send("GET", "/get_global_model?format=" + wanted)
    answer = json.loads(body)
    assert code == 422 and answer["detail"].startswith("format must be json or npz, got ")
    assert len(answer["detail"]) < 200


def test_the_round_is_how_many_rounds_the_model_holds(make_master):
    master = make_master(*RUN)
    worker = HttpWorker(master, 0)
    while not isinstance(worker.action, worker_events.CallAnswer):
        worker.step()
    assert master.status()["current_round"] == 1
    assert json.loads(master.send("GET", "/get_global_model")[2])["round"] == 0  # round 1 is not in it yet
    start = master.service.published[1]
    while master.status()["current_round"] < 2:
        worker.step()
    answer = json.loads(master.send("GET", "/get_global_model")[2])
    weights = [np.asarray(array, np.float32) for array in answer["weights"]]
    assert answer["round"] == 1
    assert np.array_equal(flatten(weights, master.layout), master.machine.server.model)
    assert not np.array_equal(flatten(weights, master.layout), start)
