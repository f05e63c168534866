"""The worker program against no master, or against something that is none."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from stand_in import StandIn, error, response, unused_url

from flq.protocol.worker_events import Train
from flq.training.results import LocalUpdate
from flq.worker.instance import take
from flq.worker.program import LONGEST_BEAT_S, SHORTEST_BEAT_S, Worker, beat_s, parse_flags

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def run_worker(tmp_path):
    """Return a function that runs flq_worker.py to its end; its exit code, and what it says."""
    for name in "flq", "flq_worker.py":  # a project of links: logs stay out of the repository
        os.symlink(os.path.join(REPOSITORY, name), str(tmp_path / name))

    def run(url, *flags):
        port = url.rpartition(":")[2]
        argv = ["flq_worker.py", "--worker_id", "0", "--master_ip", "127.0.0.1", "--port", port] + list(flags)
        done = subprocess.run([sys.executable] + argv, cwd=str(tmp_path), timeout=60, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
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
    with StandIn([error("422 X", "worker id must be in 0..3, got 7", "use another --worker_id")]) as stand_in:
        code, lines = run_worker(stand_in.url)
    assert code == 2
    assert len(lines) == 1 and lines[0].endswith("worker id must be in 0..3, got 7 (use another --worker_id)")


def test_a_master_that_is_not_ready_is_asked_again(run_worker):
    ended = {"run_id": "r", "ended": True, "epoch": 0, "lease_s": 300.0, "start_crc": 5, "layout": [["w", [4]]],
             "settings": {}}
    with StandIn([error("503 X", "the model is being built", headers=("Retry-After: 0",)),
                  response("200 OK", ended)]) as stand_in:
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


def test_a_state_folder_that_can_not_be_made_is_exit_code_1_and_one_sentence(run_worker, tmp_path):
    (tmp_path / "file").write_text("x")
    code, lines = run_worker(unused_url(), "--state_dir", str(tmp_path / "file"))
    assert code == 1
    assert len(lines) == 1 and str(tmp_path / "file") in lines[0]


@pytest.mark.parametrize("flags", [
    ("--worker_id", "x"), ("--nonsense",), ("--port", "many"), ("--port", "0"), ("--port", "65536"), ("--port", "-1"),
    ("--master_ip", ""), ("--master_ip", " "), ("--master_ip", "10.0.0 .1"), ("--master_ip", "10.0.0.1\n"),
    ("--master_ip", "http://10.0.0.1:5000"), ("--worker_id", "-1"), ("--give_up_s", "nan"), ("--give_up_s", "inf"),
    ("--give_up_s", "-1")], ids=repr)
def test_flags_that_make_no_sense_are_one_sentence_and_exit_code_2(run_worker, tmp_path, flags):
    code, lines = run_worker(unused_url(), *flags)
    assert code == 2
    assert len(lines) == 1 and lines[0].startswith("flq_worker.py: error: ") and flags[0] in lines[0]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("address", ["10.0.0.1:5000", "a..b"])
def test_an_address_that_is_none_ends_at_once(run_worker, address):
    code, lines = run_worker(unused_url(), "--master_ip", address)
    assert code == 2
    assert len(lines) == 1 and "can not be the address of a master" in lines[0]


def logged(folder):
    (path,) = (folder / "logs").iterdir()
    return path.read_text()


def test_settings_of_another_version_are_one_sentence_and_the_trace_is_in_the_log(run_worker, tmp_path):
    strange = {"run_id": "r", "ended": False, "epoch": 0, "lease_s": 300.0, "start_crc": 5, "layout": [["w", [4]]],
               "settings": {"system": {"give_up_s": 5.0}}}
    with StandIn([response("200 OK", strange)]) as stand_in:
        code, lines = run_worker(stand_in.url)
    assert code == 1
    assert len(lines) == 1 and "worker 0 can not go on: KeyError: " in lines[0]
    assert "Traceback (most recent call last)" in logged(tmp_path) and lines[0][9:] in logged(tmp_path)


SITE = """
import flq.worker.program as program
def build_trainer(settings, worker_id):
    raise {error}
program.build_trainer = build_trainer
"""


@pytest.mark.parametrize("error, sentence", [
    ("MemoryError()", "worker 0 can not go on: MemoryError: no message"),
    ("RuntimeError('CUDA is out of memory\\nline 2')", "worker 0 can not go on: RuntimeError: CUDA is out of memory")])
def test_an_error_of_the_training_is_one_sentence_and_the_trace_is_in_the_log(run_worker, tmp_path, error, sentence):
    (tmp_path / "flq_worker.py").unlink()
    (tmp_path / "flq_worker.py").write_text(
        "import os, sys" + SITE.format(error=error)
        + "sys.exit(program.main(None, os.path.dirname(os.path.abspath(__file__))))\n")
    body = {"run_id": "r", "ended": False, "epoch": 0, "lease_s": 300.0, "start_crc": 5, "layout": [["w", [4]]],
            "settings": {"system": {"give_up_s": 5.0}}}
    with StandIn([response("200 OK", body)]) as stand_in:
        code, lines = run_worker(stand_in.url)
    assert code == 1
    assert len(lines) == 1 and lines[0].endswith(sentence)
    assert "Traceback (most recent call last)" in logged(tmp_path) and "in build_trainer" in logged(tmp_path)


@pytest.mark.parametrize("lease_s, expected", [
    (300.0, 100.0), (0.03, 0.01), (0.0, SHORTEST_BEAT_S), (-5, SHORTEST_BEAT_S), (1e9, LONGEST_BEAT_S),
    (float("inf"), LONGEST_BEAT_S), (float("nan"), LONGEST_BEAT_S), (10 ** 400, LONGEST_BEAT_S),
    (-10 ** 400, SHORTEST_BEAT_S)], ids=lambda value: repr(value)[:9])
def test_heartbeats_come_three_times_in_a_lease_within_what_a_thread_can_wait(lease_s, expected):
    assert beat_s(lease_s) == expected


def test_a_worker_that_trains_keeps_its_lease():
    with StandIn([response("200 OK", {})] * 3, keeps=True) as stand_in:
        worker = Worker(parse_flags(["--worker_id", "3", "--master_ip", "x"]), "name", stand_in.url)
        worker._machine.lease_s, worker._machine.epoch = 0.03, 2

        class PatientTrainer:
            """Trains until three heartbeats have come."""

            def local_update(self, shared, round_index):
                stand_in.wait()
                return LocalUpdate(shared, 0.25, round_index)

        worker._trainer = PatientTrainer()
        event = worker._train(Train(np.ones(4, np.float32), 7))
    assert event.loss == 0.25 and event.training_s >= 0.03
    assert len(stand_in.requests) == 3
    for request in stand_in.requests:
        assert request.startswith(b"POST /heartbeat ")
        assert json.loads(request.partition(b"\r\n\r\n")[2].decode()) == {"worker_id": 3, "epoch": 2}
