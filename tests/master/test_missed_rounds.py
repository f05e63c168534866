"""Rounds that were not evaluated in time are evaluated from the journal, as far as snapshots and entries reach."""

import os
from contextlib import closing

import numpy as np
import pytest
from local_master import HttpWorker

from flq.errors import FlqError
from flq.master.records.round_log import Evaluated
from flq.protocol.master_machine import MasterMachine

RUN = ("system.total_workers=2", "system.min_workers=2", "system.max_rounds=7")


class Missing:
    """An evaluator that misses rounds while it is away, and keeps its vectors by round."""

    def __init__(self, is_away=True):
        self.is_away, self.seen = is_away, {}

    def evaluate(self, round_index, vectors, done):
        self.seen.setdefault(round_index, []).append([vector.tobytes() for vector in vectors])
        done(round_index, None if self.is_away else Evaluated(loss=float(round_index)))

    def wait_until_idle(self, timeout_s):
        return True


@pytest.fixture
def begin(make_master):
    """Return a function that starts a run whose evaluator is away, and returns master and evaluator."""

    def made(*overrides):
        master = make_master(*RUN + overrides, evaluator=Missing())
        return master, master.evaluator

    return made


def new_machine(master):
    return MasterMachine(master.machine.options, np.zeros(master.layout.n_params, np.float32))


def losses(master):
    return [row.test_loss for row in master.run.record.rounds()]


@pytest.mark.parametrize("overrides", [(), ("memory=mirror", "thr_scale=2", "C=3"), ("model.ema=0.9",)])
def test_when_the_run_has_ended_they_are_evaluated_with_the_models_that_they_had(begin, run_workers, overrides, caplog):
    caplog.set_level("INFO", "flq")
    master, evaluator = begin(*overrides)
    run_workers(master)
    assert losses(master) == [None] * 7 and master.run.record.missed() == list(range(1, 8))
    evaluator.is_away = False
    master.run.wait_for_evaluations()
    assert losses(master) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    for seen in evaluator.seen.values():
        assert len(seen) == 2 and seen[0] == seen[1]
    assert "7 rounds were evaluated late, from the journal" in caplog.text and "no test results" not in caplog.text
    master.run.finish()
    assert [row["test loss"] for row in master.table("Rounds")] == losses(master)


def test_rounds_before_the_oldest_snapshot_stay_empty_with_one_log_line(begin, run_workers, caplog):
    master, evaluator = begin("system.snapshot_every=2", "system.snapshots_kept=1")
    run_workers(master)
    master.store.snapshots.wait()
    with closing(master.store.past_models(new_machine(master))) as found:
        oldest, _ = next(found)
    assert oldest > 1
    evaluator.is_away = False
    master.run.wait_for_evaluations()
    assert losses(master) == [None] * (oldest - 1) + [float(index) for index in range(oldest, 8)]
    said = "%d rounds have no test results, the last of them is round %d" % (oldest - 1, oldest - 1)
    assert caplog.text.count(said) == 1


def test_while_the_evaluator_is_still_away_one_more_attempt_is_enough(begin, run_workers, caplog):
    master, evaluator = begin()
    run_workers(master)
    master.run.wait_for_evaluations()
    assert [len(evaluator.seen[index]) for index in range(1, 8)] == [2] + [1] * 6
    assert "7 rounds have no test results, the last of them is round 7" in caplog.text


def test_rounds_that_a_stuck_evaluator_has_never_answered_are_counted_too(begin, run_workers, caplog):
    master, evaluator = begin()
    evaluator.evaluate = lambda round_index, vectors, done: round_index > 2 or done(round_index, Evaluated(loss=1.0))
    evaluator.wait_until_idle = lambda timeout_s: False
    run_workers(master)
    master.run.wait_for_evaluations()
    assert "the evaluator has not finished" in caplog.text
    assert "5 rounds have no test results, the last of them is round 7" in caplog.text


def test_models_are_replayed_during_the_run(begin):
    master, evaluator = begin()
    workers = [HttpWorker(master, worker_id, waits=False) for worker_id in range(2)]
    while len(master.run.record.rounds()) < 3:
        for worker in workers:
            worker.step()
    with closing(master.store.past_models(new_machine(master))) as found:
        for expected in range(4):
            for worker in workers:
                worker.step()
            round_index, models = next(found)
            assert round_index == expected
            if expected:
                assert evaluator.seen[expected][0][0] == models.model.tobytes()


def test_without_a_snapshot_nothing_is_made_and_the_end_is_as_it_was(begin, run_workers, caplog):
    master, evaluator = begin()
    run_workers(master)
    folder = os.path.join(os.path.dirname(master.run.results.workbook), "snapshots")
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    with pytest.raises(FlqError, match="no snapshot in .* can be read"):
        next(master.store.past_models(new_machine(master)))
    evaluator.is_away = False
    master.run.wait_for_evaluations()
    assert "missed rounds are not evaluated: no snapshot in" in caplog.text
    assert losses(master) == [None] * 7
