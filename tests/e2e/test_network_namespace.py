"""From another machine, made of a network namespace: without a token, no request stops the run or acts for a worker."""

import contextlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from cluster import end_well, settings_of

from flq.engines import simulation
from flq.protocol.wire import VERSION

RUN = ("model.name=quadratic", "model.lr=0.05", "system.max_rounds=60", "system.linger_s=5")
HERE, THERE = "10.213.7.1", "10.213.7.2"
NAME = "flq-%d" % os.getpid()
ASK = """
import http.client, json, sys
for method, target, body, headers in json.load(sys.stdin):
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=30)
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    print(json.dumps([answer.status, json.loads(answer.read())]))
    connection.close()
"""


def ip(*words):
    done = subprocess.run(
        ["ip"] + list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    if done.returncode:
        raise OSError("ip %s: %s" % (" ".join(words), done.stdout.strip()))


@pytest.fixture
def elsewhere():
    """Return a function that sends a request to the master at HERE from another network namespace."""
    outside, inside = "flqo%d" % (os.getpid() % 10**6), "flqi%d" % (os.getpid() % 10**6)
    try:
        try:
            ip("netns", "add", NAME)
            ip("link", "add", outside, "type", "veth", "peer", "name", inside)
            ip("link", "set", inside, "netns", NAME)
            ip("addr", "add", HERE + "/30", "dev", outside)
            ip("link", "set", outside, "up")
            ip("netns", "exec", NAME, "ip", "addr", "add", THERE + "/30", "dev", inside)
            ip("netns", "exec", NAME, "ip", "link", "set", inside, "up")
            ip("netns", "exec", NAME, "true")
        except OSError as error:
            pytest.skip("no network namespace can be made here: %s" % error)

        def ask(port, *requests):
            done = subprocess.run(
                ["ip", "netns", "exec", NAME, sys.executable, "-c", ASK, HERE, str(port)],
                input=json.dumps(requests),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                universal_newlines=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
            return [json.loads(line) for line in done.stdout.splitlines()]

        yield ask
    finally:
        for words in (["link", "del", outside], ["netns", "del", NAME]):
            with contextlib.suppress(OSError):
                ip(*words)


def test_from_another_machine_everything_needs_a_token_and_the_run_continues(cluster, elsewhere):
    master = cluster.master(*RUN, flags=("--host", "0.0.0.0"))
    tokens = master.tokens()
    thief = {"Authorization": "Bearer " + tokens["worker0"]}
    register = json.dumps({"wire": VERSION, "worker_id": 1, "instance": "thief"})
    refused = [
        (("POST", "/stop", "", {}), 401),
        (("POST", "/stop", "", {"Host": "localhost"}), 401),
        (("GET", "/get_global_model", None, {}), 401),
        (("GET", "/history", None, {}), 401),
        (("POST", "/register", register, {}), 401),
        (("POST", "/register", register, thief), 403),
        (("POST", "/stop", "", thief), 403),
        (("POST", "/upload_update?worker=1", "x", thief), 403),
        (("GET", "/history", None, {"Authorization": "Bearer guessed"}), 401),
    ]
    assert [code for code, _ in elsewhere(master.port, *[request for request, _ in refused])] == [
        code for _, code in refused
    ]
    workers = cluster.workers(range(3), master.port)
    master.wait_for("worker 2 joined")
    answers = elsewhere(master.port, *[request for request, _ in refused] * 3)
    assert [code for code, _ in answers] == [code for _, code in refused] * 3
    assert "Authorization: Bearer" in answers[0][1]["hint"]
    (code, status), (also, _) = elsewhere(
        master.port,
        ("GET", "/status", None, {}),
        ("GET", "/history", None, {"Authorization": "Bearer " + tokens["operator"]}),
    )
    assert (code, also, status["state"], status["connected_workers"]) == (200, 200, "LOBBY", 3)
    end_well(master, workers + [cluster.worker(3, master.port)])
    settings = settings_of(*RUN)
    assert np.array_equal(master.model(settings), simulation.simulate(settings).model)
    assert not any(token in master.text for token in tokens.values())
    assert "plain HTTP" in master.text
