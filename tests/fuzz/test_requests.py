"""Garbage at every endpoint while four workers train: it is rejected, and the model is that of an undisturbed run."""

from random import Random

import numpy as np
from frames import LINKS
from garbage import Garbage
from local_master import TOKENS
from odd_values import PATHS
from run_requests import fuzz

N_REQUESTS = 1500  # of run_requests.py, which sends 50,000 by hand
KINDS = {"path", "query", "json", "frame", "poll", "broken", "length", "coding", "cut", "mutated"}


def test_a_run_under_garbage_makes_the_undisturbed_model(tmp_path):
    outcome = fuzz(str(tmp_path), N_REQUESTS, seed=20260101)
    assert outcome.problems == []
    assert np.array_equal(outcome.model, outcome.undisturbed)
    assert sum(outcome.answers.values()) == N_REQUESTS
    assert {kind for kind, _ in outcome.answers} == KINDS
    assert {status for _, status in outcome.answers} >= {200, 400, 401, 403, 404, 405, 409, 413, 422}
    assert outcome.more_threads <= 0
    assert outcome.more_bytes < 64 * 2**20


def requests_of(seed, n=3000):
    garbage = Garbage(Random(seed), TOKENS, LINKS[0])
    return [garbage.next() for _ in range(n)]


def test_a_seed_determines_the_requests():
    assert requests_of(1, 100) == requests_of(1, 100) != requests_of(2, 100)


def test_every_endpoint_gets_some_with_every_kind_of_token():
    sent = requests_of(5, 6000)
    for path in PATHS:
        start = path.partition("{")[0].encode()
        heads = [
            request.data.partition(b"\r\n\r\n")[0]
            for request in sent
            if request.is_whole and request.data.split(b" ")[1].startswith(start)
        ]
        names = {name for name, token in TOKENS.items() for head in heads if token.encode() in head}
        assert names & {"worker0", "worker4"} and ("operator" in names or path == "/stop"), path
        assert any(b"Authorization" not in head for head in heads)


def test_no_request_ends_the_run_as_the_operator_may():
    for request in requests_of(4):
        head = request.data.partition(b"\r\n\r\n")[0]
        assert not (head.startswith(b"POST") and TOKENS["operator"].encode() in head and b"stop" in head.split(b" ")[1])
