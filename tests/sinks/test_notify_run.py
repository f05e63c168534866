"""A master that sends notifications: they arrive, nothing waits for them, and secrets are not leaked."""

import json
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cluster import Cluster, ask, children_of, end_well, free_port, settings_of, stop
from stand_ins import Service
from test_notify_process import CHAT, PARTS, TELEGRAM, parts_of, picture_of

from flq.engines import simulation

SMALL = ("model.name=quadratic", "model.lr=0.05", "model.dim=40", "system.total_workers=2", "system.min_workers=2")


@pytest.fixture
def cluster(tmp_path):
    """Return a Cluster in a fresh folder; its programs are ended afterwards."""
    with Cluster(str(tmp_path / "project")) as made:
        yield made


def write_secrets(cluster, *rows):
    """Write state/notify as a user does."""
    os.makedirs(os.path.join(cluster.folder, "state"), exist_ok=True)
    path = os.path.join(cluster.folder, "state", "notify")
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        stream.write("\n".join(rows) + "\n")
    return path


def text_of(asked):
    """Return the text that Telegram would show."""
    if asked.path.endswith("/sendPhoto"):
        return parts_of(asked)["caption"].decode()
    return json.loads(asked.body)["text"]


def has(text):
    """Return a condition: a message contains this text."""
    return lambda asked: any(text in text_of(one) for one in asked)


def everything_of(folder, secrets):
    """Yield name and content of every file under a folder except the secrets; workbooks are unpacked."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.realpath(path) != os.path.realpath(secrets):
                with open(path, "rb") as stream:
                    yield path, stream.read()
                if name.endswith(".xlsx"):
                    with zipfile.ZipFile(path) as archive:
                        for part in archive.namelist():
                            yield "%s: %s" % (path, part), archive.read(part)


def test_events_of_a_run_reach_a_phone_and_the_token_reaches_no_others(cluster, telegram):
    service, proxy = telegram()
    secrets = write_secrets(cluster, "# my phone", TELEGRAM, "proxy = socks5h://127.0.0.1:%d" % proxy.port)
    master = cluster.master(*SMALL, "system.max_rounds=1000000", "system.lease_s=6", "notify.min_interval_s=1")
    workers = cluster.workers([0, 1], master.port)
    service.wait_for(has("a run has started"))
    service.wait_for(has("new best loss"))
    workers[1].signal(signal.SIGKILL)
    service.wait_for(has("worker 1 is lost"))
    workers.append(cluster.worker(1, master.port, state="another"))
    service.wait_for(has("worker 1 is back"))
    commands = [Path("/proc/%d/cmdline" % pid).read_bytes() for pid in [master.pid] + children_of(master.pid)]
    assert any(b"flq.sinks.notify" in command for command in commands)
    shown = json.dumps([ask(master, "/status"), ask(master, "/history")])
    stop(master)
    for program in (workers[0], workers[2], master):
        assert program.wait() == 0, program.text
    asked = service.wait_for(has("the run has finished"))
    form = parts_of(asked[-1])
    assert form["chat_id"] == b"%d" % CHAT and picture_of(form["photo"]).size == (800, 500)
    assert set(proxy.asked) == {"api.telegram.org:443"}

    for place, content in [
        ("terminal", master.text.encode()),
        ("status", shown.encode()),
        ("workers", "".join(worker.text for worker in workers).encode()),
        ("commands", b"\0".join(commands)),
    ] + list(everything_of(cluster.folder, secrets)):
        assert not PARTS.search(content.decode("latin-1")), place
    assert "notifications: messages are sent to Telegram (address 1)" in master.text


def test_services_in_trouble_change_nothing_of_a_run(cluster, run_stand_in, monkeypatch):
    hanging, cutting, busy, refusing = services = [
        run_stand_in(Service(always=always))
        for always in ("hang", "cut", (429, {"parameters": {"retry_after": 1}}), None)
    ]
    refusing.close()
    monkeypatch.setenv("FLQ_NOTIFY", " ".join("json://127.0.0.1:%d/hooksecret" % one.port for one in services))
    overrides = SMALL + ("system.max_rounds=12",)
    master = cluster.master(*overrides, "notify.min_interval_s=1", "notify.timeout_s=1", "notify.figure=false")
    workers = cluster.workers([0, 1], master.port)
    end_well(master, workers)
    assert np.array_equal(
        master.model(settings_of(*overrides)), simulation.simulate(settings_of(*overrides)).master.model.state.result
    )
    assert [row["round"] for row in master.table("Rounds")] == list(range(1, 13))
    assert all(one.asked for one in (hanging, cutting, busy))
    for number in (1, 2, 3, 4):
        assert "a message to JSON (address %d) was not sent" % number in master.text
    assert "hooksecret" not in master.text


def test_secrets_that_others_can_read_are_rejected_and_the_run_continues(cluster):
    os.chmod(write_secrets(cluster, TELEGRAM), 0o644)
    master = cluster.master(*SMALL, "system.max_rounds=2")
    end_well(master, cluster.workers([0, 1], master.port))
    assert master.text.count("others can read") == 1 and "notifications are off" in master.text
    assert not PARTS.search(master.text)


def test_a_killed_master_is_reported_and_so_is_the_resume(cluster, run_stand_in, monkeypatch):
    hook = run_stand_in(Service())
    monkeypatch.setenv("FLQ_NOTIFY", "json://127.0.0.1:%d" % hook.port)

    def told(title):
        return lambda asked: any(title in json.loads(one.body)["title"] for one in asked)

    flags = ("notify.min_interval_s=1", "notify.figure=false", "notify.best=false")
    master = cluster.master(*SMALL, "system.max_rounds=1000000", *flags, port=free_port())
    workers = cluster.workers([0, 1], master.port)
    master.wait_for("round=5/")
    hook.wait_for(told("a run has started"))
    master.signal(signal.SIGKILL)
    assert master.wait() == -signal.SIGKILL
    hook.wait_for(told("the master has ended unexpectedly"))
    n_told = len(hook.asked)
    again = cluster.master(*flags, flags=("--resume",), port=master.port)
    hook.wait_for(told("the run resumes"))
    stop(again)
    end_well(again, workers)  # among them the last messages
    titles = [json.loads(one.body)["title"] for one in hook.asked[n_told:]]
    assert titles[0] == "FLQ: the run resumes" and titles[-1].startswith("FLQ: the run has finished")
    assert len(titles) == 2  # nothing of the rounds that were before


def test_a_run_keeps_the_files_of_its_trackers_which_do_not_know_the_secret(cluster, run_stand_in, monkeypatch):
    hook = run_stand_in(Service())
    monkeypatch.setenv("FLQ_NOTIFY", "json://127.0.0.1:%d/hooksecret" % hook.port)
    master = cluster.master(*SMALL, "system.max_rounds=5", "report.trackers=jsonl", "notify.figure=false")
    end_well(master, cluster.workers([0, 1], master.port))
    (path,) = master.files(".jsonl")
    first, *rounds = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert path == os.path.join(master.results_dir, "trackers", "jsonl", first["run_id"] + ".jsonl")
    assert [line["round"] for line in rounds] == [1, 2, 3, 4, 5] and all(line["test/loss"] > 0 for line in rounds)
    assert "hooksecret" not in Path(path).read_text() and hook.asked[-1].path == "/hooksecret"
