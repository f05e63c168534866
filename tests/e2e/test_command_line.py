"""Any error at the start is one sentence, with exit code 1 or 2."""

import os
import socket

import pytest

from flq.tokens import default_path, make_tokens

SMALL = ("model.name=quadratic", "model.lr=0.05")


@pytest.fixture
def cluster(cluster):
    """Return a cluster whose programs are started like a user's."""
    cluster.is_cold = True
    return cluster


def assert_one_sentence(program, code, *words):
    """Check that a program has ended with this code and one line that contains these words."""
    assert program.wait() == code, program.text
    lines = program.text.splitlines()
    assert len(lines) == 1, program.text
    for word in words:
        assert word in lines[0]


def test_a_worker_id_out_of_range_is_exit_code_2(cluster):
    master = cluster.master(*SMALL)
    make_tokens(default_path(cluster.folder), 5)  # as when there were more workers once
    worker = cluster.worker(4, master.port, flags=("--token_file", default_path(cluster.folder)))
    assert_one_sentence(worker, 2, "does not know the token")
    master.close()
    master = cluster.master(*SMALL, name="again")
    worker = cluster.worker(4, master.port)
    assert_one_sentence(worker, 2, "worker id must be in 0..3, got 4")


def test_a_worker_without_a_token_is_exit_code_2_with_a_hint(cluster):
    master = cluster.master(*SMALL)
    worker = cluster.worker(4, master.port)
    assert_one_sentence(
        worker, 2, "needs the worker's token", "--token_file", "FLQ_TOKEN", "use an id in range, or raise"
    )


def test_a_second_instance_of_a_worker_is_exit_code_2(cluster):
    master = cluster.master(*SMALL)
    first = cluster.worker(1, master.port)
    master.wait_for("worker 1 joined")
    second = cluster.worker(1, master.port, state="elsewhere")
    assert_one_sentence(second, 2, "worker 1 is alive elsewhere", "wait 2")  # of 300 s, 299 or less are left
    assert first.process.poll() is None


def test_a_second_worker_with_the_same_state_folder_is_exit_code_2(cluster):
    master = cluster.master(*SMALL)
    first = cluster.worker(1, master.port)
    master.wait_for("worker 1 joined")
    second = cluster.worker(1, master.port)
    assert_one_sentence(second, 2, "another worker is running with the state folder")
    assert first.process.poll() is None


def test_a_port_in_use_is_exit_code_2(cluster):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        master = cluster.start_master(*SMALL, port=port)
        assert_one_sentence(master, 2, "cannot listen on 127.0.0.1 port %d" % port, "--port")
    assert [os.path.basename(path) for path in master.files("")] == [".lock"]  # nothing of a run


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", "is not JSON: line 1, column 2"),
        ('{"system": {"max_round": 3}}', "the nearest is max_rounds"),
        ('{"flq_algorithm": {"b_up": 12}}', "b_up must be one of 1, 2, 3, 4, 5, 6, 7, 8, 32 or null, got 12"),
        ('{"mode": "bbit", "up_budget_bits": 100}', "up_budget_bits 100 admits none"),
    ],
    ids=repr,
)
def test_a_broken_configuration_is_exit_code_2(cluster, content, words):
    path = os.path.join(cluster.folder, "broken.json")
    with open(path, "wb") as stream:
        stream.write(content.encode("latin-1"))
    master = cluster.start_master("model.name=quadratic", flags=("--config", path))
    assert_one_sentence(master, 2, words)


def test_a_missing_configuration_is_exit_code_2(cluster):
    master = cluster.start_master(flags=("--config", "nowhere.json"))
    assert_one_sentence(master, 2, "nowhere.json cannot be read")


@pytest.mark.parametrize("override", ["nonsense", "model.lr=-1"])
def test_a_bad_override_is_exit_code_2(cluster, override):
    assert_one_sentence(cluster.start_master(override), 2, override.partition("=")[0].rpartition(".")[2])


def test_results_that_cannot_be_written_are_exit_code_2(cluster):
    with open(os.path.join(cluster.folder, "results"), "w"):
        pass
    assert_one_sentence(cluster.start_master(*SMALL), 2, os.path.join(cluster.folder, "results"))


def test_programs_log_to_files_of_their_own(cluster):
    master = cluster.master(*SMALL, "system.total_workers=1", "system.min_workers=1", "system.max_rounds=2")
    worker = cluster.worker(0, master.port)
    assert (worker.wait(), master.wait()) == (0, 0)
    names = sorted(os.listdir(os.path.join(cluster.folder, "logs")))
    assert [name.split("_")[0] for name in names] == ["master", "worker0"]
    with open(os.path.join(cluster.folder, "logs", names[0])) as stream:
        assert "INFO flq.master.runtime.evaluations: round=2/2 " in stream.read()
