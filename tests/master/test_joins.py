"""Joins over HTTP: their limits, their owners, and their keys."""

import hashlib
import json
from pathlib import Path

import pytest
from local_master import registration, token_of_worker

RUN = ("system.total_workers=2", "system.min_workers=2")
MOST_AT_ONCE = 30


def register(master, instance="one", key="a key", **body):
    """Return status, headers and the reply."""
    token = token_of_worker(0) + ("" if key is None else ":" + key)
    status, headers, text = master.send("POST", "/register", json.dumps(registration(0, instance, **body)), token=token)
    return status, headers, json.loads(text)


def join(master, **options):
    return register(master, n_samples=10, layout_crc=master.layout.crc, **options)


@pytest.mark.parametrize("version, named", [({}, "4 or an older one"), ({"wire": 5}, "5"), ({"wire": 7}, "7")])
def test_a_worker_of_another_wire_version_gets_an_error(make_master, version, named):
    body = dict({"worker_id": 0, "instance": "one"}, **version)
    status, _, text = make_master(*RUN).send("POST", "/register", json.dumps(body))
    assert (status, json.loads(text)["detail"]) == (400, "the worker has wire version %s, expected 6" % named)
    assert "the same version of FLQ" in json.loads(text)["hint"]


def test_joins_of_an_instance_are_limited_with_retry_after(make_master):
    master, n_joins = make_master(*RUN), 0
    while n_joins < 500:
        status, headers, reply = join(master)
        if status != 200:
            break
        n_joins += 1
    assert n_joins >= MOST_AT_ONCE and status == 429
    assert int(headers["Retry-After"]) in (1, 2)
    assert register(master)[0] == 200  # a request for the settings changes nothing
    assert master.machine.members[0].epoch == n_joins


def test_a_token_without_the_state_folder_uses_up_no_joins_of_the_worker(make_master):
    master = make_master(*RUN)
    assert join(master)[0] == 200
    statuses = {join(master, instance="thief", key=None)[0] for _ in range(4 * MOST_AT_ONCE)}
    assert statuses == {409, 429}
    assert join(master, key="the key of a process that has just begun")[2]["joined"] is True


@pytest.mark.parametrize(
    "key, status", [(None, 200), ("", 200), ("k" * 64, 200), ("k" * 65, 422), ("\xe9\xff", 200), ("a, b", 200)]
)
def test_a_key_is_any_text_of_64_characters_at_most(make_master, key, status):
    code, _, reply = join(make_master(*RUN), key=key)
    assert code == status
    assert "kkk" not in json.dumps(reply)


def test_the_key_is_nowhere_but_in_the_request(make_master, tmp_path, caplog):
    master, key = make_master(*RUN), "a-key-to-look-for"
    join(master, key=key)
    assert join(master, key=key + "-2", known_sessions=1)[2]["n_sessions"] == 2
    assert join(master, key=key, known_sessions=2)[2]["joined"] is True  # two processes
    status, _, refused = register(master, key=key + "-2")
    assert status == 409
    files = b"".join(path.read_bytes() for path in Path(str(tmp_path)).rglob("*") if path.is_file())
    said = caplog.text + json.dumps([refused, master.status()])
    assert hashlib.sha256(key.encode()).hexdigest()[:32].encode() in files  # so the search would find any written key
    assert key.encode() not in files and key not in said
