"""GET /get_global_model without a worker's Accept header: JSON, a file, or an error."""

import io
import json
import threading

import numpy as np
import pytest
from local_master import HttpWorker
from test_bad_requests import assert_refused

from flq.core.layout import flatten
from flq.errors import Unavailable
from flq.master.routes import model_files, views
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
def test_json_is_the_default(make_master, query):
    master = make_master(*RUN)
    code, headers, body = master.send("GET", "/get_global_model" + query)
    assert code == 200 and headers["Content-Type"] == "application/json"
    answer = json.loads(body)
    assert answer["round"] == 0
    weights = [np.asarray(array, np.float32) for array in answer["weights"]]
    assert np.array_equal(flatten(weights, master.layout), master.machine.model.state.model)


@pytest.mark.parametrize("wanted", ["hdf5", "", "NPZ", "x" * 500, "../model.npz", "%00"])
def test_any_other_format_is_422(make_master, wanted):
    code, _, body = make_master(*RUN).send("GET", "/get_global_model?format=" + wanted)
    answer = json.loads(body)
    assert code == 422 and answer["detail"].startswith("format must be one of json, npz, keras, h5, got ")
    assert len(answer["detail"]) < 200


def test_the_round_is_how_many_rounds_the_model_holds(make_master):
    master = make_master(*RUN)
    worker = HttpWorker(master, 0, waits=False)
    while not isinstance(worker.action, worker_events.CallAnswer):
        worker.step()
    assert master.status()["current_round"] == 1
    assert json.loads(master.send("GET", "/get_global_model")[2])["round"] == 0  # round 1 is not in it yet
    start = master.run.model_files.newest[1]
    while master.status()["current_round"] < 2:
        worker.step()
    answer = json.loads(master.send("GET", "/get_global_model")[2])
    weights = [np.asarray(array, np.float32) for array in answer["weights"]]
    assert answer["round"] == 1
    assert np.array_equal(flatten(weights, master.layout), master.machine.model.state.model)
    assert not np.array_equal(flatten(weights, master.layout), start)


@pytest.mark.parametrize("wanted", ["json", "npz"])
def test_a_client_that_has_the_model_gets_304(make_master, run_workers, wanted):
    master = make_master(*RUN)
    target = "/get_global_model?format=" + wanted
    before = master.send("GET", target)[1]["ETag"]
    assert before == '"local-0-%s"' % wanted
    for tag in before, "W/" + before, '"other", ' + before, "*":
        code, headers, body = master.send("GET", target, headers={"If-None-Match": tag})
        assert code == 304 and body == b"" and headers["ETag"] == before
    run_workers(master)
    code, headers, body = master.send("GET", target, headers={"If-None-Match": before})
    assert code == 200 and body and headers["ETag"] == '"local-3-%s"' % wanted


def test_a_model_too_large_for_json_is_422_with_a_hint(make_master, monkeypatch):
    master = make_master(*RUN)
    monkeypatch.setattr(model_files, "MOST_JSON_PARAMS", 39)
    answer = master.send("GET", "/get_global_model")
    assert "at most 39 parameters, this model has 40" in assert_refused(answer, 422)
    assert json.loads(answer[2])["hint"] == "use ?format=npz"
    assert master.send("GET", "/get_global_model?format=npz")[0] == 200


def test_a_304_makes_nothing(make_master, monkeypatch):
    master = make_master(*RUN)
    monkeypatch.setattr(master.run.model_files, "form", lambda wanted: pytest.fail("it is made"))
    assert master.send("GET", "/get_global_model", headers={"If-None-Match": '"local-0-json"'})[0] == 304


def test_head_has_the_length(make_master):
    master = make_master(*RUN)
    code, headers, body = master.send("HEAD", "/get_global_model?format=npz")
    assert code == 200 and body == b""
    assert int(headers["Content-Length"]) == len(master.send("GET", "/get_global_model?format=npz")[2])


@pytest.mark.parametrize("wanted", ["keras", "h5"])
def test_a_model_without_keras_is_422_and_the_answer_names_no_path(make_master, tmp_path, wanted, caplog):
    answer = make_master(*RUN).send("GET", "/get_global_model?format=" + wanted)
    assert assert_refused(answer, 422) == "this model cannot be written as model." + wanted
    assert str(tmp_path).encode() not in answer[2] and b"quadratic" not in answer[2]
    assert "the quadratic problem has no Keras model" in caplog.text


def test_an_evaluator_that_is_busy_is_503_with_retry_after(make_master, monkeypatch):
    def busy(path, model, timeout_s):
        raise Unavailable("the evaluator is busy", "try again")

    master = make_master(*RUN)
    monkeypatch.setattr(master.evaluator, "export", busy)
    answer = master.send("GET", "/get_global_model?format=keras")
    assert_refused(answer, 503)
    assert int(answer[1]["Retry-After"]) > 0


def test_a_keras_file_comes_as_a_file(make_master, monkeypatch):
    def export(path, model, timeout_s):
        with open(path, "wb") as stream:
            stream.write(b"a Keras file")

    master = make_master(*RUN)
    monkeypatch.setattr(master.evaluator, "export", export)
    for wanted, kind in ("keras", "application/zip"), ("h5", "application/x-hdf5"):
        code, headers, body = master.send("GET", "/get_global_model?format=" + wanted)
        assert (code, body, headers["Content-Type"]) == (200, b"a Keras file", kind)
        assert headers["Content-Disposition"] == 'attachment; filename="model.%s"' % wanted


def test_a_request_that_would_take_a_workers_thread_gets_503(make_master):
    master = make_master(*RUN)
    app = master.server._server.wsgi_app
    none_left = threading.BoundedSemaphore(1)
    with none_left, app.test_request_context("/get_global_model"):
        with pytest.raises(Unavailable, match="too many requests"):
            views.model_for_people(master.run.model_files, none_left)
