"""The worker program without a master, or with another server instead."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from factory import settings_with
from stand_in import StandIn, error, response, unused_url

from flq.core.held_back import HeldBack
from flq.core.layout import Layout, Tensor
from flq.core.settings import for_workers
from flq.errors import OutOfMemory
from flq.protocol.wire import VERSION
from flq.protocol.worker_events import Build, Built, Train, Unable
from flq.training.sources.report import report_of
from flq.training.sources.seen import Seen
from flq.training.task import LocalUpdate
from flq.worker.command_line import parse_flags
from flq.worker.http_client import MasterClient
from flq.worker.instance import take
from flq.worker.own_settings import read_own_file
from flq.worker.program import Worker

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def run_worker(tmp_path):
    """Return a function that runs flq_worker.py to its end, and returns its exit code and output."""
    for name in "flq", "flq_worker.py":  # a project of links: logs stay out of the repository
        os.symlink(os.path.join(REPOSITORY, name), str(tmp_path / name))

    def run(url, *flags):
        argv = ["flq_worker.py", "--worker_id", "0"]
        if url is not None:
            argv += ["--master_ip", "127.0.0.1", "--port", url.rpartition(":")[2]]
        argv += flags
        done = subprocess.run(
            [sys.executable] + argv,
            cwd=str(tmp_path),
            timeout=60,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        assert "Traceback" not in done.stdout
        return done.returncode, done.stdout.splitlines()

    return run


def test_a_master_that_never_comes_is_tried_again_and_then_given_up(run_worker):
    code, lines = run_worker(unused_url(), "--give_up_s", "0.4")
    assert code == 1
    assert "refused; trying again in" in lines[0]
    assert "giving up after" in lines[-1]


def test_something_that_is_no_master_is_tried_again_and_then_given_up(run_worker):
    page = response("200 OK", b"<html>Please log in</html>", ("Content-Type: text/html",))
    with StandIn([page] * 20) as stand_in:
        code, lines = run_worker(stand_in.url, "--give_up_s", "0.4")
    assert code == 1
    assert "is not an FLQ master" in lines[0]


def test_a_refusal_of_the_master_is_its_sentence_and_exit_code_2(run_worker):
    with StandIn([error("422 X", "worker id must be in 0..3, got 7", "use another --worker_id")] * 2) as stand_in:
        code, lines = run_worker(stand_in.url)
    assert code == 2
    assert len(lines) == 1 and lines[0].endswith("worker id must be in 0..3, got 7 (use another --worker_id)")


def test_a_master_that_is_not_ready_is_asked_again(run_worker):
    ended = {
        "wire": VERSION,
        "run_id": "r",
        "ended": True,
        "joined": False,
        "n_sessions": 0,
        "warning": None,
        "resumed": False,
        "epoch": 0,
        "lease_s": 300.0,
        "start_crc": 5,
        "codings": [],
        "layout": [["w", [4]]],
        "settings": {},
    }
    with StandIn(
        [error("503 X", "the model is being built", headers=("Retry-After: 0",)), response("200 OK", ended)]
    ) as stand_in:
        code, lines = run_worker(stand_in.url)
    assert code == 0
    assert "the model is being built; trying again" in lines[0] and "the run has ended" in lines[-1]
    assert len(stand_in.requests) == 2


def test_a_state_folder_in_use_is_exit_code_2_and_one_sentence(run_worker, tmp_path):
    _, lock = take(str(tmp_path / "taken"))
    with lock:
        code, lines = run_worker(unused_url(), "--state_dir", str(tmp_path / "taken"))
    assert code == 2
    assert len(lines) == 1 and "another worker is running with the state folder" in lines[0]


def test_a_state_folder_that_cannot_be_created_is_exit_code_2_and_one_sentence(run_worker, tmp_path):
    (tmp_path / "file").write_text("x")
    code, lines = run_worker(unused_url(), "--state_dir", str(tmp_path / "file"))
    assert code == 2
    assert len(lines) == 1 and str(tmp_path / "file") in lines[0]


@pytest.mark.parametrize(
    "flags",
    [
        ("--worker_id", "x"),
        ("--nonsense",),
        ("--port", "many"),
        ("--port", "0"),
        ("--port", "65536"),
        ("--port", "-1"),
        ("--master_ip", ""),
        ("--master_ip", " "),
        ("--master_ip", "10.0.0 .1"),
        ("--master_ip", "10.0.0.1\n"),
        ("--master_ip", "http://10.0.0.1:5000"),
        ("--worker_id", "-1"),
        ("--give_up_s", "nan"),
        ("--give_up_s", "inf"),
        ("--give_up_s", "-1"),
        ("--gpu_memory_limit_mb", "0"),
        ("--gpu_memory_limit_mb", "much"),
    ],
    ids=repr,
)
def test_flags_that_make_no_sense_are_one_sentence_and_exit_code_2(run_worker, tmp_path, flags):
    code, lines = run_worker(unused_url(), *flags)
    assert code == 2
    assert len(lines) == 1 and lines[0].startswith("flq_worker.py: error: ") and flags[0] in lines[0]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "address, words",
    [
        ("10.0.0.1:5000", "must be a name or an IP address, without http://"),
        ("a..b", "cannot be the address of a master"),
    ],
)
def test_an_invalid_address_ends_the_program_at_once(run_worker, address, words):
    code, lines = run_worker(unused_url(), "--master_ip", address)
    assert code == 2
    assert len(lines) == 1 and words in lines[0]


def logged(folder):
    (path,) = (folder / "logs").iterdir()
    return path.read_text()


def registration(settings):
    """Return the reply of a master with these settings."""
    return response(
        "200 OK",
        {
            "wire": VERSION,
            "run_id": "r",
            "ended": False,
            "joined": False,
            "n_sessions": 0,
            "warning": None,
            "resumed": False,
            "epoch": 0,
            "lease_s": 300.0,
            "start_crc": 5,
            "codings": [],
            "layout": [["w", [4]]],
            "settings": settings,
        },
    )


@pytest.mark.parametrize(
    "settings, sentence",
    [
        (
            {"system": {"give_up_s": 5.0}},
            "the master's settings lack system.total_workers (install the same version of FLQ",
        ),
        (for_workers(settings_with(lr="fast")), "the master's model.lr must be a number, got 'fast'"),
        (for_workers(settings_with(name="shop:tiny")), "start the worker with --model shop:tiny"),
        (for_workers(settings_with(name="nonesuch")), "model.name must be one of"),
    ],
    ids=["missing", "wrong kind", "not allowed", "unknown"],
)
def test_invalid_settings_are_one_sentence_and_exit_code_2(run_worker, settings, sentence):
    with StandIn([registration(settings)]) as stand_in:
        code, lines = run_worker(stand_in.url)
    assert code == 2
    assert len(lines) == 1 and sentence in lines[0]


def test_the_file_has_the_masters_address(run_worker, tmp_path):
    with StandIn([error("422 X", "worker id must be in 0..3, got 7")] * 2) as stand_in:
        (tmp_path / "own.json").write_text(json.dumps({"system": {"master_url": stand_in.url}}))
        code, lines = run_worker(None, "--config", "own.json")
    assert code == 2
    assert len(lines) == 1 and lines[0].endswith("worker id must be in 0..3, got 7")


@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "use --master_ip, or system.master_url"),
        ("{}", "use --master_ip, or system.master_url"),
        ("{", "is not JSON"),
        ('{"master_url": "elsewhere"}', "system.master_url must be http://host:port"),
    ],
)
def test_a_file_that_does_not_lead_to_a_master_is_one_sentence_and_exit_code_2(run_worker, tmp_path, content, sentence):
    flags = []
    if content is not None:
        (tmp_path / "own.json").write_text(content)
        flags = ["--config", "own.json"]
    code, lines = run_worker(None, *flags)
    assert code == 2
    assert len(lines) == 1 and sentence in lines[0]
    assert not (tmp_path / "state").exists()


def test_a_build_merges_flags_file_environment_and_master_and_logs_the_result(tmp_path, monkeypatch, caplog):
    got = []

    class Trainer:
        """Keeps its arguments."""

        n_samples, layout = 7, Layout((Tensor("w", (4,)),))
        seen = Seen("npz", "a.npz", 7, 1, True, (2,), "float32", -1.0, 2.5, (3, 4), warnings=("it looks odd",))
        data_report = report_of(seen)

        def __init__(self, settings, worker_id):
            self.notes = ["gpu memory limit: requested 256 MB, set to 256 MB on GPU 0 of 1"]
            got.append((settings, worker_id))

    monkeypatch.setattr("flq.worker.program.build_trainer", Trainer)
    (tmp_path / "own.json").write_text('{"jetson_optimization": {"prefetch_size": 9}, "data_dir": "/of/the/file"}')
    args = parse_flags(["--worker_id", "3", "--master_ip", "x", "--gpu_memory_limit_mb", "256"])
    worker = Worker(
        args, "name", MasterClient(unused_url(), 3), read_own_file(str(tmp_path / "own.json")), str(tmp_path)
    )
    with caplog.at_level("INFO", "flq"):
        event = worker.build(Build(settings_with()))
    assert event == Built(7, Trainer.layout, report_of(Trainer.seen))
    ((settings, worker_id),) = got
    assert worker_id == 3 and settings.dataset.data_dir == "/of/the/file"
    assert settings.jetson_optimization == settings_with().jetson_optimization._replace(
        gpu_memory_limit_mb=256, prefetch_size=9
    )
    assert caplog.messages == [
        "worker 3: start=reading_data dataset=digits model=mlp",  # for a bar
        "worker 3: a.npz: 7 rows, 2 features, 2 classes; float32 values -1 to 2.5",
        "worker 3: it looks odd",
        "worker 3: gpu memory limit: requested 256 MB, set to 256 MB on GPU 0 of 1",
        "worker 3: 7 samples, 4 parameters",
        "worker 3: start=waiting_for_the_first_round rounds=30",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING", "INFO", "INFO", "INFO"]


SITE = """
from flq.worker import command_line, program
def build_trainer(settings, worker_id):
    raise {error}
program.build_trainer = build_trainer
"""


@pytest.mark.parametrize(
    "error, sentence",
    [
        ("MemoryError()", "worker 0 failed: MemoryError in flq_worker.py, line 4"),
        ("RuntimeError('CUDA is out of memory\\n\\nline 3')", "worker 0 failed: RuntimeError: CUDA is out of memory"),
    ],
)
def test_an_error_of_the_training_is_one_sentence_and_the_trace_is_in_the_log(run_worker, tmp_path, error, sentence):
    (tmp_path / "flq_worker.py").unlink()
    (tmp_path / "flq_worker.py").write_text(
        "import os, sys"
        + SITE.format(error=error)
        + "sys.exit(command_line.main(None, os.path.dirname(os.path.abspath(__file__))))\n"
    )
    with StandIn([registration(for_workers(settings_with()))]) as stand_in:
        code, lines = run_worker(stand_in.url)
    assert code == 1
    assert len(lines) == 1 and lines[0].endswith(sentence)
    assert "Traceback (most recent call last)" in logged(tmp_path) and "in build_trainer" in logged(tmp_path)


def worker_of(stand_in, tmp_path, trainer):
    """Return a worker that has joined and trains next."""
    worker = Worker(
        parse_flags(["--worker_id", "3", "--master_ip", "x"]),
        "name",
        MasterClient(stand_in.url, 3),
        read_own_file(None),
        str(tmp_path),
    )
    worker.trainer = trainer
    worker._heartbeat.start()
    worker._heartbeat.follow(2, 0.03)
    return worker


def test_a_worker_that_trains_keeps_its_lease(tmp_path):
    with StandIn([response("200 OK", {})] * 3, keeps=True) as stand_in:

        class PatientTrainer:
            """Trains until three heartbeats were sent."""

            notes = []

            def local_update(self, shared, round_index):
                stand_in.wait()
                return LocalUpdate(shared, 0.25, round_index, HeldBack(0.5, 0.75, 10), 64)

        worker = worker_of(stand_in, tmp_path, PatientTrainer())
        event = worker.train(Train(np.ones(4, np.float32), 7))
        worker._heartbeat.close()
    assert event.loss == 0.25 and event.training_s >= 0.03
    assert event.held_back == (0.5, 0.75, 10)
    assert worker._heartbeat.n_samples == 64
    assert len(stand_in.requests) == 3
    for request in stand_in.requests:
        assert request.startswith(b"POST /heartbeat ")
        assert json.loads(request.partition(b"\r\n\r\n")[2].decode()) == {"worker_id": 3, "epoch": 2}


def test_a_device_without_memory_continues_and_reports_it(tmp_path):
    with StandIn([response("200 OK", {})], keeps=True) as stand_in:

        class SmallDevice:
            """Has memory in the second round only."""

            notes = []

            def local_update(self, shared, round_index):
                if round_index == 1:
                    raise OutOfMemory("too little memory for a batch of 4", "lower it")
                return LocalUpdate(shared, 0.25, round_index)

        worker = worker_of(stand_in, tmp_path, SmallDevice())
        worker._heartbeat.close()
        event = worker.train(Train(np.ones(4, np.float32), 1))
        assert isinstance(event, Unable) and event.reason == "too little memory for a batch of 4 (lower it)"
        assert worker._heartbeat.problem == event.reason
        assert worker.train(Train(np.ones(4, np.float32), 2)).loss == 0.25
        assert worker._heartbeat.problem == ""
