"""Promised versions survive a power failure at any operation.

First the drill itself is tested: it must find planted bugs. Then it tests the writers of FLQ.
"""

import re
import sqlite3

import numpy as np
import pytest
import recorded_master
from disk_model import SYNC
from power_loss import Drill, drill
from storage_writers import SIZE, arrays, content, entry

from flq import durable
from flq.errors import FlqError
from flq.master.storage import journal
from flq.master.storage.snapshots import Snapshots
from flq.worker import instance


def promised(said):
    """Return the newest version that must not be lost."""
    return max([int(text.split()[1]) for text in said if text.startswith("promised")], default=0)


def judge(version, said):
    """Return the complaint about a recovered version, or None."""
    if version is None:
        return "the run is gone" if "begun" in said else None
    if version < promised(said):
        return f"version {promised(said)} was promised, version {version} is there"
    return None


def recover_file(folder):
    path = folder / "file"
    if not path.exists():
        return 0
    found = path.read_bytes()
    assert len(found) == SIZE and found == content(found[0]), "it is torn"
    return found[0]


def same_arrays(found, expected):
    return set(found) == set(expected) and all(np.array_equal(found[name], expected[name]) for name in expected)


def recover_state(folder):
    path = folder / "state.npz"
    if not path.exists():
        return 0
    meta, found = durable.load_state(str(path))
    assert same_arrays(found, arrays(meta["version"]))
    return meta["version"]


def recover_folders(folder):
    versions = [recover_file(inner) for inner in folder.glob("outer/inner*")]
    return max(versions, default=0)


def recover_database(folder):
    connection = sqlite3.connect(str(folder / "journal.sqlite"))
    try:
        if connection.execute("SELECT name FROM sqlite_master").fetchall() == []:
            return 0
        rows = connection.execute("SELECT seq, payload FROM entries ORDER BY seq").fetchall()
    finally:
        connection.close()
    assert rows == [(version, content(version)) for version in range(1, len(rows) + 1)], "entries are missing"
    return len(rows)


def recover_journal(folder):
    """Return the number of the last entry, once all that a restart needs is found to be there; None: no run."""
    run = str(folder / "results" / "run")
    try:
        opened = journal.open_journal(run)
    except FlqError:
        return None
    try:
        last = opened.last_seq()
        try:
            meta, found = Snapshots(run, 2).newest(lambda meta, arrays: None)
        except FlqError:
            return None
        assert meta["seq"] <= last
        numbers = [number for number, _, _, _ in opened.entries(after=opened.extent.forgotten)]
        assert numbers == list(range(opened.extent.forgotten + 1, last + 1)), "entries are missing"
        assert same_arrays(found, arrays(meta["seq"]))
        for number, _, body, frame in opened.entries(after=meta["seq"]):
            assert body == entry(number).body and bytes(frame) == entry(number).frame
        assert {number for number, _, _ in opened.deltas()} >= set(range(meta["oldest_delta"] + 1, last + 1))
        assert opened.rounds() == [(number, {"round": number}) for number in range(1, last + 1)]
        assert opened.about().get("counted", 0) == last
    finally:
        opened.close()
    return last


def recover_instance(folder):
    name, lock = instance.take(str(folder / "state" / "worker0"))
    lock.close()
    assert re.fullmatch("[0-9a-f]{32}", name), "a name that no worker gives itself"
    return name


def judge_name(name, said):
    return None if said in ([], ["named " + name]) else f"{said[0]}, {name} is there"


RECOVER = {
    "state": recover_state,
    "folders": recover_folders,
    "folders_unsynced": recover_folders,
    "database_normal": recover_database,
    "journal": recover_journal,
    "instance": recover_instance,
}
AGAIN = {"state": "read_state", "journal": "resumed_run"}  # the program after a kill, if it is another one


def run_drill(recorder, name, count, recover=recover_file):
    """Record a program, and fail the power at each of its operations."""
    ops = recorder.run(name, recorder.disk, count)
    found = drill(ops, recorder.scratch, RECOVER.get(name, recover), judge)
    print(f"power loss, {name}: {found}")
    assert found.crash_points > 0 and found.at_risk > 0, "nothing could be lost, so nothing was tried"
    return found


def together(drills):
    """Return the sum of some drills."""
    return Drill(*(sum(column, type(column[0])()) for column in zip(*drills)))


# ---- bugs that were planted ----


@pytest.mark.parametrize("name", ["forgets_file", "forgets_folder", "in_place", "folders_unsynced", "database_normal"])
def test_a_planted_bug_is_found(recorder, name):
    assert run_drill(recorder, name, 3).losses != []


def test_a_program_that_passes_the_layer_by_is_noticed(recorder):
    with pytest.raises(AssertionError, match="passed the test layer by"):
        recorder.run("passes_by", recorder.disk, 3)


def test_a_program_that_cannot_be_rebuilt_is_rejected(recorder):
    with pytest.raises(ValueError, match="can not rebuild: truncate of file"):
        recorder.run("can_not_be_rebuilt", recorder.disk, 3)


# ---- the writers ----


@pytest.mark.parametrize("name", ["sound", "state", "folders"])
def test_promised_versions_survive_a_power_failure(recorder, name):
    assert run_drill(recorder, name, 4).losses == []


def test_every_commit_of_the_journal_survives_a_power_failure(recorder):
    assert run_drill(recorder, "journal", 8).losses == []


def test_a_master_comes_back_bit_for_bit_as_it_was_at_its_last_answer_or_later(recorder):
    states = recorded_master.states_of(5)

    def recover(folder):
        try:
            last, state = recorded_master.revived(str(folder / "results" / "run"))
        except FlqError:
            return None
        assert state == states[last], "it is another"
        return last

    assert len(states) > 10
    found = run_drill(recorder, "master", 5, recover)
    assert found.losses == []


def kill_and_fail(make_recorder, name, count, more, judge):
    """Kill a program right before a sync, restart it, and then fail the power.

    Parameters
    ----------
    more : int
        The number of versions of the second program.
    """
    recorder = make_recorder()
    ops = recorder.run(name, recorder.disk, count)
    begun = next((at for at, op in enumerate(ops) if op.path == "begun"), 0)
    moments = [at for at in range(begun, len(ops) - 1) if ops[at + 1].kind == SYNC]
    drills = []
    for kill_at in moments:
        recorder = make_recorder()
        before = recorder.run(name, recorder.disk, count, kill_at=kill_at)
        ops = recorder.run(AGAIN.get(name, name), recorder.disk, more)
        drills.append(drill(ops, recorder.scratch, RECOVER[name], judge, seeds=1, begin_at=len(before)))
    found = together(drills)
    print(f"kill, then power loss, {name}: {len(moments)} kills, {found}")
    assert found.at_risk > 0, "nothing could be lost, so nothing was tried"
    return found


@pytest.mark.parametrize("name, count, more", [("state", 1, 0), ("folders", 1, 1), ("journal", 2, 1)])
def test_versions_read_after_a_kill_survive_a_power_failure(make_recorder, name, count, more):
    assert kill_and_fail(make_recorder, name, count, more, judge).losses == []


def test_the_name_of_a_worker_survives_a_power_failure(make_recorder):
    assert kill_and_fail(make_recorder, "instance", 1, 1, judge_name).losses == []
