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
from flq.worker.program import Worker, parse_flags

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


@pytest.mark.parametrize("flags", [("--worker_id", "x"), ("--nonsense",), ("--port", "many")], ids=" ".join)
def test_flags_that_make_no_sense_are_exit_code_2(run_worker, flags):
    code, lines = run_worker(unused_url(), *flags)
    assert code == 2
    assert lines[-1].startswith("flq_worker.py: error: ")


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
