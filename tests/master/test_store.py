"""The store: events are written before their effects, and a disk that fails is retried."""

import errno
import sqlite3
import threading
from types import SimpleNamespace

import pytest
from factory import settings_with
from local_master import WAIT_S, HttpWorker

from flq import locks
from flq.core.rng import start_values
from flq.engines.simulation import simulate
from flq.errors import ConfigError, Conflict, Unavailable
from flq.master.storage import store as store_module
from flq.master.storage.journal import Batch, open_journal
from flq.master.storage.resume import begin_journal, check_may_resume, differences, hold, resume_run
from flq.master.storage.run_index import alone, make_run_folder
from flq.master.storage.store import Store
from flq.protocol.master_machine import MasterMachine
from flq.run_end import KEY, RunEnd, Stage, end_of

SMALL = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=7", "system.snapshot_every=2")


def in_threads(workers):
    threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    return threads


def test_the_journal_of_a_run_leads_to_its_model(make_master, tmp_path):
    master = make_master(*SMALL)
    for thread in in_threads([HttpWorker(master, worker_id) for worker_id in range(2)]):
        thread.join(WAIT_S)
    master.run.ending.wait(Stage.SAVED, WAIT_S)
    expected = simulate(master.settings)
    assert master.machine.model.state.model.tobytes() == expected.model.tobytes()
    master.store.snapshots.wait()
    journal = open_journal(str(tmp_path / "master0"))
    machine = MasterMachine(master.machine.options, start_values(master.layout, 0))  # another start: it is not used
    restored, closed = [], []
    reason = Store(str(tmp_path / "master0"), journal, 2, 2).replay(machine, restored.append, closed.append)
    assert reason == "7 rounds are done"
    assert machine.model.state.model.tobytes() == expected.model.tobytes()
    again = [effect.report.round_index for effect in closed]  # after the newest snapshot
    meta, _ = master.store.snapshots.newest(lambda meta, arrays: None)
    assert restored == [meta["round_index"] - (meta["open_round"] is not None)]
    assert again == list(range(restored[0] + 1, 8))
    assert [index for index, _ in journal.rounds()] == list(range(1, 8))
    assert [index for index, _ in journal.tested()] == list(range(1, 8))
    journal.close()


def test_a_run_has_ended_for_good_when_its_master_has(make_master, tmp_path):
    master = make_master(*SMALL)
    for thread in in_threads([HttpWorker(master, worker_id) for worker_id in range(2)]):
        thread.join(WAIT_S)
    assert master.run.ending.wait(Stage.SAVED, WAIT_S)

    def ended():
        journal = open_journal(str(tmp_path / "master0"))
        try:
            return end_of(journal.about())
        finally:
            journal.close()

    assert ended()[:2] == (Stage.ENDED, "7 rounds are done")  # killed now, it could be resumed, and tell the others
    master.run.finish()
    master.close()
    assert ended() == (Stage.OVER, "7 rounds are done", [0, 1])


def test_requests_are_answered_only_after_the_journal_is_written(make_master, monkeypatch):
    monkeypatch.setattr(store_module, "RETRY_S", 0.01)
    master = make_master(*SMALL)
    is_full, has_failed = threading.Event(), threading.Event()
    write = master.store._journal.write
    begun_anew = []
    restart = master.machine.restart_clocks
    monkeypatch.setattr(master.machine, "restart_clocks", lambda now: [begun_anew.append(now), restart(now)])

    def write_unless_full(batch):
        if is_full.is_set():
            has_failed.set()
            raise sqlite3.OperationalError("database or disk is full")
        write(batch)

    monkeypatch.setattr(master.store._journal, "write", write_unless_full)
    is_full.set()
    workers = [HttpWorker(master, worker_id) for worker_id in range(2)]
    threads = in_threads(workers)
    assert has_failed.wait(WAIT_S)
    assert master.status()["problem"] == "the journal cannot be written: database or disk is full"
    assert master.machine.members and not workers[0].machine.epoch and not workers[1].machine.epoch
    is_full.clear()
    for thread in threads:
        thread.join(WAIT_S)
    assert master.status()["problem"] is None
    assert len(begun_anew) == 1  # leases and deadlines: no request could be processed meanwhile
    assert master.machine.model.state.model.tobytes() == simulate(master.settings).model.tobytes()


def test_a_master_that_ends_with_a_full_disk_reports_it(make_master, monkeypatch):
    def fail(batch):
        raise sqlite3.OperationalError("database or disk is full")

    master = make_master(*SMALL)
    master.store.note_about(any_key=1)
    monkeypatch.setattr(master.store._journal, "write", fail)
    master.store.give_up()
    with pytest.raises(Unavailable, match="disk is full"):
        master.store.commit(dict)
    monkeypatch.undo()


def test_a_damaged_journal_is_not_waited_for(make_master, monkeypatch):
    def fail(batch):
        raise sqlite3.DatabaseError("database disk image is malformed")

    master = make_master(*SMALL)
    master.store.note_about(any_key=1)
    monkeypatch.setattr(master.store._journal, "write", fail)
    with pytest.raises(sqlite3.DatabaseError):
        master.store.commit(dict)
    monkeypatch.undo()


def test_a_run_has_one_master_at_a_time(make_master, tmp_path):
    with hold(str(tmp_path)):
        with pytest.raises(Conflict, match="another master is running"):
            hold(str(tmp_path))
    hold(str(tmp_path)).close()


def test_the_folder_of_a_run_needs_a_file_system_with_locks(monkeypatch, tmp_path):
    def flock(stream, flags):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    for begin in (lambda: hold(str(tmp_path)), lambda: alone(str(tmp_path)).__enter__()):
        with pytest.raises(
            ConfigError, match="lock has no working locks: No locks available .choose a report.results_dir on"
        ):
            begin()


def test_a_folder_that_cannot_be_created_is_one_sentence_with_the_setting(tmp_path):
    in_the_way = tmp_path / "results"
    in_the_way.write_text("a file")
    with pytest.raises(ConfigError, match="cannot be made: %s is not a folder .report.results_dir must" % in_the_way):
        make_run_folder(str(in_the_way / "run"))


def settings_of(master, **changes):
    return settings_with(master.settings, **changes)


def test_another_configuration_is_refused_with_the_difference(make_master, tmp_path):
    master = make_master(*SMALL)
    begun = tmp_path / "results" / "run"
    begin_journal(str(begun), "run", master.settings, master.layout).close()
    past = resume_run("run", str(tmp_path / "results"))
    with past.lock:
        check_may_resume(past, master.settings)
        with pytest.raises(ConfigError, match="model.lr was 0.05 and is 0.1; model.name was 'quadratic' and is 'mlp'"):
            check_may_resume(past, settings_of(master, lr=0.1, name="mlp"))
        begun = settings_with(master.settings, max_rounds=8)
        check_may_resume(past, begun)  # it may grow
        past.journal.write(Batch([], [], [(index, {}) for index in range(1, 6)], [], {}))
        for n_rounds in (3, 5):
            shorter = settings_with(master.settings, max_rounds=n_rounds)
            with pytest.raises(ConfigError, match="has done 5 rounds already, got system.max_rounds = %d" % n_rounds):
                check_may_resume(past, shorter)
    past.journal.close()


def test_a_run_that_is_over_is_extended_only_after_its_last_round(make_master, tmp_path):
    master = make_master(*SMALL)
    begin_journal(str(tmp_path / "results" / "run"), "run", master.settings, master.layout).close()
    past = resume_run("run", str(tmp_path / "results"))
    longer = settings_with(master.settings, max_rounds=8)

    def now(n_rounds, stage):
        rows = [(index, {}) for index in range(1, n_rounds + 1)]
        past.journal.write(Batch([], [], rows, [], {KEY: RunEnd(stage, "because").to_json()}))
        return past._replace(about=past.journal.about())

    with past.lock:
        for stage in set(Stage) - {Stage.OVER}:  # its results may not be written
            check_may_resume(now(5, stage), master.settings)
            check_may_resume(now(5, stage), longer)
        for settings in (master.settings, longer):
            with pytest.raises(ConfigError, match="run run has ended: because .begin a new run"):
                check_may_resume(now(5, Stage.OVER), settings)
        with pytest.raises(
            ConfigError, match="run run has ended: because .to resume it, add --set system.max_rounds=N"
        ):
            check_may_resume(now(7, Stage.OVER), master.settings)
        check_may_resume(now(7, Stage.OVER), longer)
    past.journal.close()


def test_differences_omit_settings_that_do_not_change_the_model():
    before = {"system": {"seed": 1, "linger_s": 1}, "report": {"results_dir": "a"}}
    now = {"system": {"seed": 2, "linger_s": 2}, "report": {"results_dir": "b"}}
    assert differences(before, now) == ["system.seed was 1 and is 2"]


def test_a_run_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no unfinished run"):
        resume_run("", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no run 2026"):
        resume_run("2026", str(tmp_path))


def test_the_size_of_the_folder_is_measured_again_after_a_moment(tmp_path, monkeypatch):
    store = Store(str(tmp_path), SimpleNamespace(last_seq=lambda: 0, path="journal"), 1, 1)
    monkeypatch.setattr(store_module, "LOOK_S", 1e9)
    (tmp_path / "one").write_bytes(bytes(100))
    assert store.disk_bytes() == 100
    (tmp_path / "two").write_bytes(bytes(1000))
    assert store.disk_bytes() == 100
    store._next_look = 0.0
    assert store.disk_bytes() == 1100
