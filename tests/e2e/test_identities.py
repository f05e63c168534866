"""Processes that answer as one worker: restarted, with a copied state folder, with a stolen token. Real processes."""

import http.client
import json
import os
import shutil
import signal
from contextlib import closing

from cluster import ask, settings_of
from waits import wait_until

from flq.config_file import load_config
from flq.engines import simulation
from flq.protocol.messages import Answer, Kind
from flq.protocol.wire import VERSION, encode, link_of
from flq.training.frameworks import make_task

RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=200",
    "system.total_workers=2",
    "system.min_workers=2",
    "memory=residual",
)
ENDLESS = RUN + ("system.max_rounds=100000",)


def of_rounds(n_rounds):
    return RUN + ("system.max_rounds=%d" % n_rounds,)


def status(master):
    return ask(master, "/status")


def post(master, path, body):
    """Send a request with worker 0's token and no session key; return the status."""
    with closing(http.client.HTTPConnection("127.0.0.1", master.port, timeout=30)) as connection:
        connection.request("POST", path, body, {"Authorization": "Bearer " + master.tokens()["worker0"]})
        return connection.getresponse().status


def wait_for_round(master, round_index):
    wait_until(lambda: status(master)["current_round"] >= round_index)


def uploads(master, worker_id):
    return status(master)["worker_status"].get(str(worker_id), {"uploaded": 0})["uploaded"]


def wait_for_uploads(master, worker_id, more):
    enough = uploads(master, worker_id) + more
    wait_until(lambda: uploads(master, worker_id) >= enough)


def test_a_worker_that_is_killed_twenty_times_takes_over_at_once_and_the_model_is_the_same(cluster):
    run = of_rounds(120)
    master = cluster.master(*run)
    other, worker = cluster.workers([1, 0], master.port)
    for _ in range(20):
        wait_for_uploads(master, 0, 2)
        worker.signal(signal.SIGKILL)
        worker.wait()
        n_lines, worker = master.n_lines, cluster.worker(0, master.port)
        master.wait_for(r"worker 0 is back .*\(epoch 1\)", after=n_lines)
    assert (worker.wait(), other.wait(), master.wait()) == (0, 0, 0)
    expected = simulation.simulate(settings_of(*run)).master.model.state.result
    assert master.model(settings_of(*run)).tobytes() == expected.tobytes()
    assert master.text.count("worker 0 is back") == 20 and "two processes" not in master.text


def test_of_two_boards_with_a_copied_card_one_continues_and_the_other_gets_409(cluster):
    master = cluster.master(*ENDLESS)
    _, worker = cluster.workers([1, 0], master.port)
    wait_for_round(master, 5)
    state = os.path.join(cluster.folder, "state")
    shutil.copytree(os.path.join(state, "worker0"), os.path.join(state, "copy"))
    copy = cluster.worker(0, master.port, state="copy")
    assert copy.wait() == 2
    assert "another process runs as worker 0, with a copy of this state folder" in copy.text
    assert "--state_dir" in copy.text.splitlines()[-1]
    wait_for_uploads(master, 0, 20)
    assert worker.process.poll() is None
    assert master.text.count("worker 0 joined") + master.text.count("worker 0 is back") <= 3
    assert master.text.count("two processes answer as worker 0") == 1


def test_a_token_alone_answers_for_no_worker_and_the_operator_is_warned(cluster):
    master = cluster.master(*ENDLESS)
    cluster.workers([1, 0], master.port)
    wait_for_round(master, 5)
    settings = load_config(None, ENDLESS)
    link = link_of(status(master)["run_id"], make_task(settings).layout)

    def answer(seq, round_index):
        frame = b"".join(bytes(part) for part in encode(Answer(Kind.SKIP, 0, 1, seq, round_index, 0.5, 0.0), link))
        return post(master, "/offer?worker=0", frame)

    before = uploads(master, 0)
    for ahead in range(60):
        assert answer(before + ahead, status(master)["current_round"]) == 409
    wait_for_uploads(master, 0, 20)
    worker = status(master)["worker_status"]["0"]
    assert (worker["skipped"], worker["late"], worker["lost"]) == (0, 0, 0)
    assert master.text.count("two processes answer as worker 0") == 1


def test_joins_of_one_worker_are_limited_and_the_run_continues(cluster):
    master = cluster.master(*ENDLESS)
    cluster.workers([1, 0], master.port)
    wait_for_round(master, 2)
    body = {"wire": VERSION, "worker_id": 0, "instance": "a stranger's", "n_samples": 5, "layout_crc": 0}
    codes = [post(master, "/register", json.dumps(body)) for _ in range(60)]
    assert set(codes) == {409, 429} and codes[:20] == [409] * 20 and codes.count(429) >= 20
    wait_for_uploads(master, 0, 5)
