"""How the program waits for the end of its run, and how signals end it."""

import argparse
import logging
import signal
import threading
from types import SimpleNamespace

import pytest
from local_master import WAIT_S

from flq.master import command_line, program
from flq.master.runtime import assembly
from flq.systemd import Watchdog


@pytest.fixture
def running(make_master, monkeypatch):
    """A program that waits, in a thread: its master, its signal handler, and its later exit code."""
    handlers, codes, is_ready = {}, [], threading.Event()

    def set_handler(number, handler):
        handlers[number] = handler
        if len(handlers) == 2:
            is_ready.set()

    monkeypatch.setattr(assembly.signal, "signal", set_handler)
    master = make_master("system.total_workers=1", "system.min_workers=1")
    monkeypatch.setattr(master.run, "start", lambda: None)  # the fixture has started both
    monkeypatch.setattr(master.server, "start", lambda: None)
    system = SimpleNamespace(linger_s=1e300, quorum=1)  # beyond what any clock can count
    config = SimpleNamespace(system=system, model=SimpleNamespace(name="quadratic"))
    args = argparse.Namespace(host="127.0.0.1", keep_serving=True, tls_cert=None, token_file="tokens")
    thread = threading.Thread(
        target=lambda: codes.append(
            assembly.until_the_end(args, master.run, master.server, config, master.broadcast, Watchdog({}), "a name")
        ),
        daemon=True,
    )
    thread.start()
    assert is_ready.wait(WAIT_S)
    yield SimpleNamespace(master=master, handlers=handlers, codes=codes, thread=thread)
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_a_signal_that_interrupts_a_wait_stops_the_master(running):
    # It interrupts the main thread within ending.wait_released(), which holds this lock: it may not need it.
    with running.master.run.ending._changed:
        handling = threading.Thread(target=running.handlers[signal.SIGTERM], args=(signal.SIGTERM, None), daemon=True)
        handling.start()
        handling.join(WAIT_S)
        assert not handling.is_alive()
    running.thread.join(WAIT_S)
    assert running.codes == [128 + signal.SIGTERM]


def test_a_run_that_cannot_continue_is_exit_code_1(running, monkeypatch):
    def fail(now):
        raise RuntimeError("broken by the test")

    monkeypatch.setattr(running.master.machine, "next_deadline", fail)
    running.thread.join(WAIT_S)
    assert running.codes == [1]


@pytest.fixture
def log():
    """The logger of the programs; handlers that a test adds are removed."""
    logger = logging.getLogger("flq")
    before, level = list(logger.handlers), logger.level
    yield logger
    logger.setLevel(level)
    for handler in set(logger.handlers) - set(before):
        logger.removeHandler(handler)
        handler.close()


@pytest.mark.parametrize(
    "error, sentence",
    [
        (RuntimeError("one\ntwo"), "the master cannot continue: RuntimeError: one two"),
        (MemoryError(), "the master cannot continue: MemoryError in test_program_end.py, line 90"),
    ],
)
def test_an_unexpected_error_is_one_sentence_and_its_traceback_is_in_the_log(
    tmp_path, monkeypatch, capsys, log, error, sentence
):
    def serve(*args):
        raise error

    monkeypatch.setattr(program, "serve", serve)
    (tmp_path / "flq_config.json").write_text("{}")
    assert command_line.main([], str(tmp_path)) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.endswith(" " + sentence + "\n") and err.count("\n") == 1
    (written,) = (tmp_path / "logs").iterdir()
    text = written.read_text()
    assert sentence in text and "Traceback" in text and "in serve" in text


def test_a_run_without_a_workbook_is_exit_code_1(running, monkeypatch):
    monkeypatch.setattr(running.master.run.results, "save_workbook", lambda make: None)
    code, _, body = running.master.send("POST", "/stop")
    assert code == 500 and b"not written" in body
    running.thread.join(WAIT_S)
    assert running.codes == [1]
