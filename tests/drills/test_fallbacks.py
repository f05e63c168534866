"""A restart with damaged or old files: an older snapshot, payloads encoded again, a newer snapshot."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest
import recorded_master
from recorded_master import revived

from flq import durable
from flq.core.layout import fingerprint
from flq.errors import FlqError
from flq.journal_file import NAME, digest
from flq.master.storage import journal
from flq.master.storage.snapshots import FOLDER
from flq.write_ahead_log import LOG

N_ROUNDS = 7  # a snapshot after each second


@pytest.fixture
def played(scratch):
    """Return the folder of a run killed after some rounds, and its expected entry and state."""
    run_dir = str(scratch / "results" / "run")
    bench = recorded_master.new_bench()
    store = recorded_master.begin(run_dir, bench, lambda seq: store.snapshots.wait())
    recorded_master.play(bench, N_ROUNDS)
    killed = str(scratch / "killed")
    shutil.copytree(run_dir, killed, ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    states = recorded_master.states_of(N_ROUNDS)
    return killed, (max(states), states[max(states)])


def snapshots_of(run_dir):
    folder = os.path.join(run_dir, FOLDER)
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def number_of(path):
    return int(os.path.basename(path)[len("snapshot_") : -len(".npz")])


def change(run_dir, statement, *parameters):
    """Change a row of the journal, with or without its digest."""
    with closing(sqlite3.connect(os.path.join(run_dir, NAME))) as database:
        assert database.execute(statement, parameters).rowcount == 1
        database.commit()


def test_a_run_that_was_killed_leads_to_where_it_was(played, caplog):
    run_dir, expected = played
    assert revived(run_dir) == expected and not caplog.records


def test_a_snapshot_of_another_model_is_passed_over_although_the_file_is_whole(played, caplog):
    run_dir, expected = played
    newest = snapshots_of(run_dir)[-1]
    meta, arrays = durable.load_state(newest)
    arrays["model"] = arrays["model"] + 1
    for prints in (meta["fingerprints"], [fingerprint(arrays[name]) for name in ("model", "shared")]):
        durable.save_state(newest, dict(meta, fingerprints=prints), arrays)
        copy = run_dir + "_copy"
        shutil.copytree(run_dir, copy)
        assert revived(copy) == expected
        assert "its model is not that of the run after round" in caplog.records[-1].getMessage()
        shutil.rmtree(copy)


def test_damaged_deltas_are_encoded_again(played, caplog):
    run_dir, expected = played
    with closing(sqlite3.connect(os.path.join(run_dir, NAME))) as database:
        versions = [version for (version,) in database.execute("SELECT version FROM deltas ORDER BY version")]
    change(run_dir, "UPDATE deltas SET payload = zeroblob(length(payload)) WHERE version = ?", versions[-1])
    assert revived(run_dir) == expected
    assert "left out: delta %d" % versions[-1] in caplog.text


def test_deltas_before_a_damaged_one_lead_nowhere(played, caplog):
    run_dir, (last_seq, state) = played
    change(run_dir, "DELETE FROM deltas WHERE version = 3")
    found_seq, found = revived(run_dir)
    assert (found_seq, found["captured"]) == (last_seq, state["captured"]) and "left out: delta 3" in caplog.text


def test_a_replay_that_leads_elsewhere_is_refused(played):
    run_dir, _ = played
    with closing(sqlite3.connect(os.path.join(run_dir, NAME))) as database:
        (report,) = database.execute("SELECT report FROM rounds WHERE round = ?", (N_ROUNDS,)).fetchone()
    start = report.index('"fingerprints": [') + len('"fingerprints": [')
    other = report[:start] + "1" + report[start:]
    change(
        run_dir,
        "UPDATE rounds SET report = ?, digest = ? WHERE round = ?",
        other,
        digest("rounds", (N_ROUNDS, other)),
        N_ROUNDS,
    )
    with pytest.raises(FlqError, match="replaying round 7 of the journal %s/%s gives another model" % (run_dir, NAME)):
        revived(run_dir)


def test_each_snapshot_has_its_entries_without_the_log(played, caplog):
    run_dir, (last_seq, _) = played
    os.remove(os.path.join(run_dir, NAME + LOG))
    found, _ = revived(run_dir)
    assert number_of(snapshots_of(run_dir)[-1]) <= found < last_seq
    assert "its log (%s) is missing" % (NAME + LOG) in caplog.text


def test_the_run_resumes_from_a_snapshot_newer_than_the_journal(played, scratch, caplog):
    run_dir, _ = played
    newest = snapshots_of(run_dir)[-1]
    behind = str(scratch / "behind")
    os.makedirs(behind)
    bench = recorded_master.new_bench()
    store = recorded_master.begin(behind, bench, lambda seq: store.snapshots.wait())
    recorded_master.play(bench, 3)  # the same run, but later events are lost
    store.close()
    shutil.copy(newest, os.path.join(behind, FOLDER))
    number = number_of(newest)
    for n_lines in (1, 2):  # the report of a round stays lost, and that is said each time
        seq, found = revived(behind)
        expected = recorded_master.states_of(N_ROUNDS)[number]
        assert (seq, found["captured"]) == (number, expected["captured"]) and found["deltas"] == []  # but a keyframe
        assert len([record for record in caplog.records if "ends with entry" in record.getMessage()]) == 1
        assert len([record for record in caplog.records if "left out: the report of round" in record.getMessage()]) == (
            n_lines - 1
        )
    opened = journal.open_journal(behind)
    assert [index for index, _ in opened.rounds()] == [1, 2, 3] and opened.extent.n_rounds == 6
    opened.close()


def test_a_snapshot_of_another_run_is_passed_over_although_no_round_tells_them_apart(played, caplog):
    run_dir, expected = played
    newest = snapshots_of(run_dir)[-1]
    meta, arrays = durable.load_state(newest)
    later = dict(meta, run_id="20260801_120000_ab12", seq=meta["seq"] + 1000, round_index=meta["round_index"] + 500)
    path = os.path.join(run_dir, FOLDER, "snapshot_%012d.npz" % later["seq"])
    durable.save_state(path, later, arrays)
    assert revived(run_dir) == expected
    assert "it belongs to run 20260801_120000_ab12, not to run" in caplog.text and not os.path.exists(path)


def test_entries_that_no_snapshot_needs_are_deleted(played):
    run_dir, _ = played
    oldest = number_of(snapshots_of(run_dir)[0])
    opened = journal.open_journal(run_dir)
    kept = [seq for seq, *_ in opened.entries(after=opened.extent.forgotten)]
    opened.close()
    assert opened.extent.forgotten == oldest and kept[0] == oldest + 1
