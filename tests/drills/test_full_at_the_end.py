"""The disk fills up at each change of a file from the last round to the end: the same model, or one sentence.

oplog.c beneath the master rejects the n-th write, fsync, rename, new folder or opening for writing, and all later ones;
once the master waits or has ended, there is space again. --drills rejects each of them.
"""

import os
from functools import lru_cache
from pathlib import Path

import pytest
from armed import FULL
from armed_cluster import UNHARMED, ArmedCluster, Kill, check_same, rounds_of
from cluster import settings_of
from disk_model import MARK, read_record
from waits import wait_until

from flq.engines import simulation
from flq.master.storage.journal import open_journal
from flq.run_end import Stage, end_of

RUN = (
    "model.name=quadratic",
    "model.lr=0.05",
    "model.dim=200",
    "system.total_workers=2",
    "system.min_workers=2",
    "system.max_rounds=3",
    "system.snapshot_every=3",
    "system.linger_s=1",
    "memory=mirror",
    "thr_scale=2",
    "C=3",
)
WORKERS = ("worker0", "worker1")
SOME = (0, 9, 21, 30, 33, 37, 42, 47)  # in the journal of the last round, model, workbook, the end, after it
MOST = 400
WAITS = "the run waits"
HARMLESS, WAITED, SAID = "harmless", "waited", "said"


@lru_cache(maxsize=None)
def undisturbed():
    """Return the model and the rounds of the undisturbed run."""
    run = simulation.simulate(settings_of(*RUN))
    return run.master.model.state.result, rounds_of(run.reports)


def fill_up(folder, library, n_changes):
    """Run with a disk that fills up; return the outcome, or None if the run ended before."""
    cluster = ArmedCluster(folder, RUN)
    try:
        flag, record = os.path.join(folder, "full"), os.path.join(folder, "record")
        with open(flag, "w"):
            pass
        by = [
            "env",
            "LD_PRELOAD=%s" % library,
            "OPLOG_ROOT=" + os.path.realpath(cluster.results_dir),
            "OPLOG_FILE=" + record,
            "OPLOG_FULL=" + flag,
        ]
        os.makedirs(cluster.results_dir)
        master = cluster.begin("master", Kill(FULL, n_changes), by=by)
        workers = [cluster.begin(name) for name in WORKERS]
        wait_until(lambda: master.process.poll() is not None or WAITS in master.text, "the run neither waits nor ends")
        outcome = WAITED if master.process.poll() is None else HARMLESS
        os.remove(flag)
        if master.wait() != 0:
            outcome = SAID
            sentences = [
                line
                for line in master.text.splitlines()
                if " is not written: No space left on device: " in line or "the journal cannot be written: " in line
            ]
            assert master.process.poll() == 1 and sentences, master.text
            assert "--resume %s" % os.path.basename(cluster.run_dir()) in master.text
            again = cluster.begin("master", UNHARMED, is_first=False, run_id=os.path.basename(cluster.run_dir()))
            if "results: " in master.text:
                assert "its results are complete, but its journal may not record this" in master.text
                assert again.wait() == 0 or "has ended: 3 rounds are done" in again.text, again.text
            else:
                assert again.wait() == 0 and "results: " in again.text, master.text + again.text
        assert [worker.wait() for worker in workers] == [0, 0]
        for program in [master] + workers:
            assert "Traceback" not in program.text, program.text
        check_same(cluster, *undisturbed())
        assert [row["round"] for row in master.table("Rounds")] == [1, 2, 3]
        journal = open_journal(cluster.run_dir(), only_to_look=True)
        try:
            assert end_of(journal.about())[:2] == (Stage.OVER, "3 rounds are done")
        finally:
            journal.close()
        was_full = any(op.kind == MARK and op.path == "full" for op in read_record(Path(record)))
        return outcome if was_full else None
    finally:
        cluster.close()


@pytest.mark.parametrize("n_changes", SOME)
def test_a_disk_that_gets_full_near_the_end_costs_nothing(tmp_path, oplog, n_changes):
    assert fill_up(str(tmp_path), str(oplog), n_changes) in (HARMLESS, WAITED, SAID)


def test_a_disk_that_gets_full_at_any_change_near_the_end_costs_nothing(tmp_path, oplog):
    outcomes = []
    while None not in outcomes:
        assert len(outcomes) < MOST
        outcomes.append(fill_up(str(tmp_path / str(len(outcomes))), str(oplog), len(outcomes)))
    print("".join((outcome or "-")[0] for outcome in outcomes), len(outcomes) - 1)
    assert set(outcomes) == {HARMLESS, WAITED, SAID, None} and len(outcomes) > max(SOME)
