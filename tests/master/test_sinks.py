"""Sinks get every event, and the run never waits for them."""

import logging
import os
import resource
import threading
from pathlib import Path

import pytest
from factory import settings_with
from waits import WAIT_S, wait_until

from flq.master.runtime import child_process
from flq.master.runtime import sinks as sinks_module
from flq.master.runtime.sinks import Sink, Sinks
from flq.sinks.messages import Began, Ended, Happened, line_of, read

SCRIPTS = str(Path(__file__).with_name("sink_scripts.py"))
BEGAN = Began("run", settings_with(), "figures", [])
ENDED = Ended("done", False, False, [])
MANY = 1100  # open files; select() knows of 1024


def happened(text):
    return Happened("lost", text, 3, 7, 1.5)


@pytest.fixture
def watch(tmp_path):
    """Return a function that starts a sink, which also copies its messages to a file."""
    made = []

    def begin(how):
        sink = Sink(how, [SCRIPTS, how, str(tmp_path / how)])
        made.append(sink)
        sink.start(lambda: BEGAN)
        return sink

    yield begin
    for sink in made:
        sink.close(0.1)
        assert not sink._thread.is_alive() and sink._child.returncode is not None


def told(tmp_path, how):
    """Return the messages of each child so far."""
    path = tmp_path / how
    children = path.read_bytes().split(b"child\n")[1:] if path.exists() else []
    return [list(read(text.splitlines(keepends=True))) for text in children]


def test_a_sink_gets_earlier_rounds_events_and_the_end(watch, tmp_path, caplog):
    sink = watch("talks")
    with caplog.at_level(logging.INFO, "flq"):
        sink.tell(happened("a"))
        sink.tell(ENDED)
        sink.close(WAIT_S)
    assert told(tmp_path, "talks") == [[BEGAN, happened("a"), ENDED]]
    assert [record.getMessage() for record in caplog.records] == ["talks: all is well"]


def test_a_sink_that_dies_is_restarted_and_gets_what_it_has_missed(watch, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sinks_module, "PAUSE_S", 0.05)
    sink = watch("dies")
    sink.tell(happened("now"))
    wait_until(lambda: len(told(tmp_path, "dies")) == 2)
    sink.tell(happened("later"))
    sink.tell(ENDED)
    sink.close(WAIT_S)
    assert told(tmp_path, "dies") == [[BEGAN, happened("now")], [BEGAN, happened("later"), ENDED]]
    assert any("exit code 7" in record.getMessage() for record in caplog.records)


def test_a_sink_that_has_died_still_gets_the_end(watch, tmp_path):
    sink = watch("dies")
    sink.tell(happened("now"))
    wait_until(lambda: sink._child is not None and sink._child.returncode is not None)
    sink.tell(ENDED)
    sink.close(WAIT_S)
    assert told(tmp_path, "dies")[-1] == [BEGAN, ENDED]


def test_a_sink_that_reads_nothing_delays_nothing_and_is_restarted(watch, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sinks_module, "STUCK_S", 0.2)
    monkeypatch.setattr(sinks_module, "PAUSE_S", 0.05)
    sink = watch("deaf")
    for _ in range(100):  # more than a pipe takes
        sink.tell(happened("x" * 10000))
    wait_until(lambda: any("has read nothing" in record.getMessage() for record in caplog.records))
    wait_until(lambda: len(told(tmp_path, "deaf")) >= 2)


def test_for_one_that_reads_nothing_no_more_lines_are_kept_than_allowed(watch, tmp_path, monkeypatch):
    monkeypatch.setattr(sinks_module, "MOST_WAITING", 10)
    sink = watch("deaf")
    wait_until(lambda: told(tmp_path, "deaf"))
    for _ in range(200):
        sink.tell(happened("x" * 10000))
        assert len(sink._lines) <= 10


def test_a_sink_that_is_too_far_behind_is_restarted(watch, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sinks_module, "MOST_WAITING", 10)
    monkeypatch.setattr(sinks_module, "PAUSE_S", 0.05)
    sink = watch("talks")
    wait_until(lambda: told(tmp_path, "talks") == [[BEGAN]])
    with sink._changed:  # faster than any child takes them
        for number in range(12):
            sink.tell(happened(str(number)))
    wait_until(lambda: len(told(tmp_path, "talks")) == 2)
    sink.close(WAIT_S)
    assert told(tmp_path, "talks") == [[BEGAN], [BEGAN, happened("10"), happened("11")]]
    assert any("talks is too far behind" in record.getMessage() for record in caplog.records)


def test_one_that_never_ends_is_ended_when_its_time_is_over(watch, tmp_path):
    sink = watch("hangs")
    sink.tell(ENDED)
    wait_until(lambda: told(tmp_path, "hangs") == [[BEGAN, ENDED]])
    sink.close(0.1)
    assert sink._child.returncode == -9


def test_one_that_hangs_at_the_end_takes_no_time_from_the_others(watch, tmp_path):
    hangs, talks = watch("hangs"), watch("talks")
    both = Sinks([hangs, talks])
    both.tell(ENDED)
    wait_until(lambda: told(tmp_path, "hangs") == told(tmp_path, "talks") == [[BEGAN, ENDED]])
    waiting = threading.Thread(target=both.close, args=(WAIT_S,))
    waiting.start()
    wait_until(lambda: talks._child.returncode is not None)
    assert hangs._child.returncode is None and waiting.is_alive()
    hangs._child.kill()
    waiting.join(WAIT_S)
    assert (talks._child.returncode, hangs._child.returncode) == (0, -9)


def test_processes_of_a_sink_end_with_it(watch, tmp_path):
    sink = watch("leaves")
    sink.tell(ENDED)
    sink.close(WAIT_S)
    assert sink._child.returncode == 0 and told(tmp_path, "leaves") == [[BEGAN, ENDED]]
    assert "leaves-stderr" not in {thread.name for thread in threading.enumerate()}  # no process holds it any more


def test_a_sink_that_floods_the_log_is_ended_and_its_lines_are_only_text(watch, caplog):
    with caplog.at_level(logging.INFO, "flq"):
        sink = watch("floods")
        wait_until(lambda: "exit code -9" in caplog.text)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert said[0] == "floods: \\x1b[2J" + "x" * (sinks_module.LONGEST_SAID - 4)
    assert 200 <= len(said) < 300 and "floods writes too much to the log, killed" in caplog.text
    assert sink._thread.is_alive()  # to begin another, after a while


def test_a_sink_starts_with_any_number_of_its_pipe(watch, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY + 100:
        pytest.skip("no more than %d files may be open here" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 100), hard))
    taken = []
    try:
        taken += [os.open(os.devnull, os.O_RDONLY) for _ in range(MANY)]  # as of connections
        sink = watch("talks")
        sink.tell(ENDED)
        sink.close(WAIT_S)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert told(tmp_path, "talks") == [[BEGAN, ENDED]]


def test_a_sink_that_cannot_start_is_left_out(caplog, monkeypatch):
    monkeypatch.setattr(child_process.sys, "executable", "/nowhere/python")
    sink = Sink("none", [SCRIPTS])
    sink.start(lambda: BEGAN)
    wait_until(lambda: any("cannot be started" in record.getMessage() for record in caplog.records))
    sink.close(WAIT_S)
    assert not sink._thread.is_alive()


def test_a_message_that_cannot_be_encoded_does_not_affect_its_sender(caplog):
    sinks = Sinks([Sink("one", [SCRIPTS])])
    sinks.tell(happened(object()))
    assert "a message to one is lost" in caplog.text and not sinks.has_ended
    sinks.tell(ENDED)
    assert sinks.has_ended
    sinks.close(0.0)


def test_the_sinks_of_a_run_hear_of_rounds_and_of_its_end(make_master, run_workers, tmp_path):
    lines = []

    class Ear:
        name = "ear"

        def tell(self, message):
            lines.append(line_of(message))

    master = make_master("system.total_workers=2", "system.min_workers=2", "system.max_rounds=3")
    master.run.feed._sinks._sinks.append(Ear())
    run_workers(master)
    heard = list(read(lines))
    rounds = [message for message in heard if type(message).__name__ == "Round"]
    assert [message.row.round_index for message in rounds] == [1, 2, 3]
    assert all(message.roll_call == {0: "uploaded", 1: "uploaded"} for message in rounds)
    assert [type(message).__name__ for message in heard if not isinstance(message, type(rounds[0]))] == [
        "Happened"
    ] * 3 + ["Ended"]
    assert [row.rounds for row in heard[-1].workers] == [3, 3]
    again = master.run._began()
    assert again.run_id == "local" and again.rounds == rounds
