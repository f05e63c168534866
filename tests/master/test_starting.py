"""A user's own model: the master reports that it is being built, and then trains it."""

import json
import os
import queue
import socket
import threading
from contextlib import ExitStack
from http.client import HTTPConnection
from types import SimpleNamespace

import pytest
from local_master import TOKENS, WAIT_S, LocalMaster, registration, token_of_worker, write_tokens
from test_bad_requests import assert_refused

from flq.config_file import load_config
from flq.core.layout import Layout, Tensor
from flq.master import command_line, program
from flq.master.http.auth import Gate
from flq.master.http.limits import STREAMS_OF_ONE
from flq.master.http.server import Server, n_threads
from flq.master.live.broadcast import Broadcast
from flq.master.live.sources import sources_before
from flq.master.records.wire_meter import Meter
from flq.master.routes.app import create_app
from flq.master.routes.starting import STARTING, Switch, starting_app
from flq.master.runtime import assembly, child_process, evaluator_child
from flq.master.storage.run_index import LOCK
from flq.protocol import worker_events
from flq.worker.http_client import MasterClient

LAYOUT = Layout((Tensor("mine/kernel", (2, 2)), Tensor("mine/moving_mean", (2,))), 1)
READY = {"ready": True, "n_params": 6, "layout": LAYOUT.to_json()}
START = "0.5 -1 2 3 0 7"
RUN = ("system.total_workers=1", "system.min_workers=1")
HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT, STAND_IN = os.path.dirname(os.path.dirname(HERE)), os.path.join(HERE, "stand_in_evaluator.py")


@pytest.fixture
def starting(tmp_path):
    """A server with the application of a master that is not ready."""
    settings = load_config(None, ("model.name=mine:make",) + RUN)
    broadcast = Broadcast(sources_before("run", settings, "0" * 64, STARTING))
    gate = Gate(TOKENS, settings.security, n_threads(1))
    switch = Switch(starting_app("run", settings, "0" * 64, gate, broadcast))
    server = Server(switch, "127.0.0.1", 0, 1, Meter())
    server.start()
    send = LocalMaster.send
    yield SimpleNamespace(
        switch=switch,
        gate=gate,
        broadcast=broadcast,
        port=server.port,
        url="http://127.0.0.1:%d" % server.port,
        send=lambda *args, **kwargs: send(SimpleNamespace(port=server.port), *args, **kwargs),
    )
    broadcast.close()  # the threads of streams end
    server.stop()


def test_a_starting_master_is_alive_and_reports_its_state(starting):
    assert json.loads(starting.send("GET", "/healthz")[2]) == {"ok": True}
    code, _, body = starting.send("GET", "/status")
    status = json.loads(body)
    assert code == 200 and status["state"] == "STARTING" and status["connected_workers"] == 0
    assert status["run_id"] == "run" and status["config_hash"] == "0" * 64


def test_streams_that_began_before_the_run_count_with_those_of_the_run(starting, make_master):
    with ExitStack() as stack:
        for _ in range(STREAMS_OF_ONE):
            viewer = HTTPConnection("127.0.0.1", starting.port, timeout=WAIT_S)
            stack.callback(viewer.close)
            viewer.request("GET", "/events")
            assert viewer.getresponse().status == 200
        starting.switch.app = create_app(make_master(*RUN).run, starting.gate, starting.broadcast)
        assert_refused(starting.send("GET", "/events"), 503)


def test_its_status_has_the_keys_of_a_run(starting, make_master):
    early, later = json.loads(starting.send("GET", "/status")[2]), make_master(*RUN).status()
    assert list(early) == list(later) and list(early["totals"]) == list(later["totals"])
    assert set(early["totals"].values()) == {0} and early["worker_status"] == {}
    assert early["accuracy"] is None and early["test_loss"] is None
    assert early["max_rounds"] == later["max_rounds"] and early["current_round"] == 0


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/register"),
        ("GET", "/get_global_model"),
        ("POST", "/offer?worker=0"),
        ("POST", "/upload_update?worker=0"),
        ("POST", "/heartbeat"),
        ("POST", "/stop"),
        ("GET", "/history"),
        ("GET", "/results"),
        ("GET", "/metrics"),
        ("GET", "/nope"),
        ("DELETE", "/register"),
    ],
)
def test_all_other_requests_get_503(starting, method, path):
    answer = starting.send(method, path, b"{}" if method == "POST" else None)
    assert assert_refused(answer, 503) == "the master is starting: model mine:make is being built"
    assert int(answer[1]["Retry-After"]) > 0


def test_invalid_requests_are_rejected_as_usual(starting):
    assert_refused(starting.send("POST", "/status"), 405)
    assert_refused(starting.send("POST", "/register", b" " * 70000), 413)
    code, _, _ = starting.send("HEAD", "/status")
    assert code == 200


def test_a_worker_that_was_too_early_registers_on_the_same_connection(starting, make_master):
    client = MasterClient(starting.url, 0, lambda: token_of_worker(0))
    call = worker_events.CallRegister(registration(0))
    problem = client.do(call)
    assert isinstance(problem, worker_events.Problem) and problem.status == 503 and problem.retry_after_s > 0
    starting.switch.app = make_master(*RUN).server._server.wsgi_app
    assert isinstance(client.do(call), worker_events.Registered)


def test_the_page_is_served_and_shows_the_start(starting):
    assert starting.send("GET", "/", token=None)[0] == starting.send("GET", "/page/main.js", token=None)[0] == 200
    feed = json.loads(starting.send("GET", "/feed", token=None)[2])
    assert feed["state"]["state"] == "STARTING" and feed["state"]["workers"] == []
    assert feed["rounds"]["n_rounds"] == 0 and feed["log"] == {"items": []}


def test_a_connection_outlives_the_change(starting, make_master):
    connection = HTTPConnection("127.0.0.1", starting.port, timeout=WAIT_S)
    shown = {"Authorization": "Bearer " + token_of_worker(0)}
    connection.request("POST", "/register", json.dumps(registration(0)).encode(), shown)
    response = connection.getresponse()
    assert (response.status, bool(response.read())) == (503, True)
    sock = connection.sock
    starting.switch.app = make_master(*RUN).server._server.wsgi_app
    connection.request("POST", "/register", json.dumps(registration(0)).encode(), shown)
    assert connection.getresponse().status == 200 and connection.sock is sock
    connection.close()


# -- the whole program, with a stand-in for the evaluator process --------------------------


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Return a function that runs the master program in a thread; it needs no TensorFlow."""
    servers, made, threads = queue.Queue(), [], []
    write_tokens(str(tmp_path))

    def run(reply, numbers="", gate=""):
        def begin_stand_in(argv):
            return child_process.begin([STAND_IN, json.dumps(reply), numbers, gate], {"PYTHONPATH": PROJECT})

        def serve(*args):
            made.append(Server(*args))
            servers.put(made[-1])
            return made[-1]

        monkeypatch.setattr(evaluator_child, "begin", begin_stand_in)
        monkeypatch.setattr(assembly, "Server", serve)
        monkeypatch.setattr(program, "set_up_logging", lambda *_: None)
        monkeypatch.setattr(assembly.signal, "signal", lambda *_: None)
        argv = ["--host", "127.0.0.1", "--port", "0", "--config", os.devnull]
        for override in RUN + ("model.name=mine:make", "system.linger_s=0", "system.master_url=http://m:1"):
            argv += ["--set", override]
        monkeypatch.setattr(program, "load_config", lambda path, overrides: load_config(None, overrides))
        codes = []
        threads.append(
            threading.Thread(target=lambda: codes.append(command_line.main(argv, str(tmp_path))), daemon=True)
        )
        threads[-1].start()
        return SimpleNamespace(codes=codes, thread=threads[-1], servers=servers)

    yield run
    for thread in threads:
        if thread.is_alive() and made:  # a test has failed
            LocalMaster.send(made[-1], "POST", "/stop")
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_the_run_begins_when_the_model_is_built(begin, tmp_path, caplog):
    caplog.set_level("INFO", "flq")
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(WAIT_S)
        running = begin(READY, START, str(gate.getsockname()[1]))
        master = running.servers.get(timeout=WAIT_S)
        stand_in, _ = gate.accept()
    with stand_in:  # it waits
        code, _, body = LocalMaster.send(master, "POST", "/register", json.dumps(registration(0)).encode())
        assert code == 503 and b"mine:make is being built" in body
    client = MasterClient("http://127.0.0.1:%d" % master.port, 0, lambda: token_of_worker(0))
    registered = client.do(worker_events.CallRegister(registration(0)))
    while isinstance(registered, worker_events.Problem):
        assert running.thread.is_alive() and registered.status == 503
        registered = client.do(worker_events.CallRegister(registration(0)))
    assert registered.body["layout"] == LAYOUT.to_json()
    assert registered.body["settings"]["dataset"]["input_shape"] == [8, 8, 1]
    assert "master_url" not in registered.body["settings"]["system"]
    model = json.loads(LocalMaster.send(master, "GET", "/get_global_model")[2])
    assert model["weights"] == [[[0.5, -1.0], [2.0, 3.0]], [0.0, 7.0]]
    assert LocalMaster.send(master, "POST", "/stop")[0] == 200
    running.thread.join(WAIT_S)
    assert running.codes == [0]
    (path,) = (tmp_path / "results").glob("*/config.json")
    assert json.loads(path.read_text())["model"]["name"] == "mine:make"
    assert "configuration " in caplog.text


@pytest.mark.parametrize(
    "reply, numbers, sentence",
    [
        ({"error": "model mine:make: there is no module mine"}, "", "model mine:make: there is no module mine"),
        (READY, "0.5 -1 2 3 0 nan", "start values must be finite"),
        (READY, "0.5 -1", "expected 1 vectors of 6"),
        (dict(READY, layout=[["a", [-1]]]), START, "extents of tensor"),
    ],
)
def test_a_model_that_cannot_be_built_is_exit_code_2_with_its_error(begin, tmp_path, caplog, reply, numbers, sentence):
    running = begin(reply, numbers)
    running.thread.join(WAIT_S)
    assert running.codes == [2] and sentence in caplog.text
    assert os.listdir(str(tmp_path / "results")) == [LOCK]  # no folder of a run


def test_an_evaluator_that_dies_is_exit_code_1(begin, caplog):
    running = begin({}, gate="die")
    running.thread.join(WAIT_S)
    assert running.codes == [1] and "the evaluator process has ended" in caplog.text


def test_a_model_that_takes_too_long_is_exit_code_1(begin, caplog, monkeypatch):
    monkeypatch.setattr(assembly, "BUILD_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as gate:
        running = begin(READY, START, str(gate.getsockname()[1]))
        running.thread.join(WAIT_S)
    assert running.codes == [1] and "is not built after" in caplog.text
