"""The file formats of the model: each is made once per round for all requests, and no file is left behind."""

import os
import threading

import numpy as np
import pytest
from local_master import WAIT_S

from flq.core.layout import Layout, Tensor
from flq.errors import BadValues, DataError, FlqError, Unavailable
from flq.master.routes import model_files
from flq.master.routes.model_files import ModelFiles

LAYOUT = Layout((Tensor("a/kernel", (2, 2)), Tensor("a/bias", (2,))))


class Run:
    """The run for ModelFiles: a model per round, and an evaluator that waits for permission to write."""

    def __init__(self, folder):
        self.paths = []
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        self.files = ModelFiles("run", LAYOUT, self.model(0), self, folder)

    @property
    def n_rounds(self):
        return self.files.newest[0]

    @n_rounds.setter
    def n_rounds(self, n_rounds):
        self.files.newest = n_rounds, self.model(n_rounds)

    def model(self, n_rounds):
        return np.full(LAYOUT.n_params, n_rounds, np.float32)

    def export(self, path, model, timeout_s):
        self.paths.append(path)
        self.begun.set()
        assert self.may_end.wait(WAIT_S)
        with open(path, "wb") as stream:
            stream.write(model.tobytes())

    def in_threads(self, n_threads, wanted):
        """Send requests in several threads; return the threads and the list of responses."""
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.files.form(wanted))) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        return threads, got


@pytest.fixture
def run(tmp_path):
    made = Run(str(tmp_path))
    yield made
    made.may_end.set()
    assert os.listdir(str(tmp_path)) == []  # in any case


def join(threads):
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("wanted", ["keras", "h5"])
def test_concurrent_requests_get_one_file(run, wanted):
    run.may_end.clear()
    threads, got = run.in_threads(12, wanted)
    assert run.begun.wait(WAIT_S)
    assert got == []
    run.may_end.set()
    join(threads)
    assert len(run.paths) == 1 and run.paths[0].endswith("model." + wanted)
    assert len(got) == 12 and all(form is got[0] for form in got)
    assert got[0] == ("run-0-" + wanted, run.model(0).tobytes())


@pytest.mark.parametrize("wanted, maker", [("json", "json_form"), ("npz", "write_npz")])
def test_json_and_npz_are_made_once_too(run, monkeypatch, wanted, maker):
    calls, make = [], getattr(model_files, maker)
    monkeypatch.setattr(model_files, maker, lambda *args: calls.append(1) or make(*args))
    threads, got = run.in_threads(12, wanted)
    join(threads)
    assert calls == [1] and all(form is got[0] for form in got) and len(got) == 12


def test_one_form_does_not_wait_for_another(run):
    run.may_end.clear()
    threads, got = run.in_threads(1, "keras")
    assert run.begun.wait(WAIT_S)
    assert run.files.form("json").tag == "run-0-json"
    assert got == []
    run.may_end.set()
    join(threads)


def test_a_newer_round_drops_the_forms_of_older_ones(run):
    for wanted in model_files.CONTENT_TYPES:
        run.files.form(wanted)
    run.n_rounds = 1
    assert run.files.form("npz").tag == "run-1-npz"
    assert [form.tag for form in run.files._kept.values()] == ["run-1-npz"]


def test_a_form_that_is_overtaken_while_it_is_made_is_answered_but_not_kept(run):
    run.may_end.clear()
    threads, got = run.in_threads(1, "keras")
    assert run.begun.wait(WAIT_S)
    run.n_rounds = 1
    run.files.form("npz")
    run.may_end.set()
    join(threads)
    assert got == [("run-0-keras", run.model(0).tobytes())]
    assert [form.tag for form in run.files._kept.values()] == ["run-1-npz"]


def test_json_of_a_model_that_is_too_large_is_refused_before_it_is_made(run, monkeypatch):
    monkeypatch.setattr(model_files, "MOST_JSON_PARAMS", LAYOUT.n_params)
    assert run.files.form("json").tag == "run-0-json"
    monkeypatch.setattr(model_files, "MOST_JSON_PARAMS", LAYOUT.n_params - 1)
    monkeypatch.setattr(model_files, "json_form", lambda *_: pytest.fail("it is made"))
    for ask in run.files.form, run.files.tag:
        with pytest.raises(BadValues, match="at most 5 parameters, this model has 6 .use .format=npz"):
            ask("json")
    assert run.files.form("npz").tag == "run-0-npz"


def test_of_each_form_only_the_last_round_is_kept(run):
    for run.n_rounds in range(4):
        for wanted in model_files.CONTENT_TYPES:
            assert run.files.form(wanted).tag == run.files.tag(wanted) == "run-%d-%s" % (run.n_rounds, wanted)
    assert len(run.paths) == 8
    assert [form.tag for form in run.files._kept.values()] == ["run-3-" + wanted for wanted in run.files._kept]


def test_a_request_that_waits_while_a_round_closes_gets_the_newest_model(run):
    run.may_end.clear()
    threads, got = run.in_threads(1, "keras")
    assert run.begun.wait(WAIT_S)
    run.n_rounds = 1
    more, newer = run.in_threads(3, "keras")
    run.may_end.set()
    join(threads + more)
    assert got == [("run-0-keras", run.model(0).tobytes())]
    assert [form.body for form in newer] == [run.model(1).tobytes()] * 3 and len(run.paths) == 2


def test_no_request_waits_for_ever(run, monkeypatch):
    run.may_end.clear()
    threads, _ = run.in_threads(1, "keras")
    assert run.begun.wait(WAIT_S)
    monkeypatch.setattr(model_files, "BUILDER_S", 0.01)
    with pytest.raises(Unavailable, match="still being made"):
        run.files.form("keras")
    run.may_end.set()
    join(threads)


@pytest.mark.parametrize(
    "error, expected",
    [
        (DataError("no such thing at /secret/place"), DataError),
        (Unavailable("busy"), Unavailable),
        (OSError(28, "No space left on device", "/secret/place"), FlqError),
    ],
)
def test_a_file_that_fails_is_made_when_it_is_asked_for_again(run, monkeypatch, caplog, error, expected):
    def fail(path, model, timeout_s):
        with open(path + ".partial.keras", "wb") as stream:
            stream.write(b"half of it")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(run, "export", fail)
        with pytest.raises(expected) as caught:
            run.files.form("keras")
    assert type(caught.value) is expected and "secret" not in str(caught.value)
    assert expected is Unavailable or "secret" in caplog.text
    assert run.files.form("keras").body == run.model(0).tobytes()


def test_a_missing_folder_is_reported_without_its_name(run, tmp_path, monkeypatch):
    monkeypatch.setattr(run.files, "_run_dir", str(tmp_path / "gone"))
    with pytest.raises(FlqError) as caught:
        run.files.form("h5")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("wanted", ["", "JSON", "../json", "pickle"])
def test_there_are_no_other_forms(run, wanted):
    for ask in run.files.form, run.files.tag:
        with pytest.raises(BadValues, match="format must be one of json, npz, keras, h5"):
            ask(wanted)
