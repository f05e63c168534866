"""A run that diverges is reported once: in the log, in the status, on the page and to the sinks."""

import logging
import math

import pytest
from factory import settings_with
from local_master import WAIT_S, HttpWorker
from report_rows import a_round

from flq.errors import OutOfMemory
from flq.master.runtime.divergences import Divergences
from flq.protocol.events import UNCHANGED, Note, RoundReport
from flq.protocol.exchange import Local
from flq.protocol.worker_events import Train
from flq.run_end import Stage

REPORT = RoundReport(1, {}, None, *[0] * 10)


@pytest.fixture
def said():
    return []


@pytest.fixture
def divergences(said):
    return Divergences(settings_with(name="mlp"), lambda sentence, index: said.append((index, sentence)))


def test_a_huge_training_loss_is_reported_when_the_round_closes_before_its_model_is_evaluated(divergences, said):
    losses = [(2.4, 2.3), (8e4, 3700.0), (3e4, 170.0), (9e5, 15.0)]
    for round_index, (training_loss, _) in enumerate(losses, 1):
        divergences.close_round(REPORT._replace(round_index=round_index, training_loss=training_loss))
    assert [index for index, _ in said] == [2]
    for round_index, (training_loss, test_loss) in enumerate(losses, 1):  # the evaluator has just started
        divergences.evaluated(a_round(round_index, training_loss=training_loss, test_loss=test_loss))
    assert [index for index, _ in said] == [2]


def test_a_round_with_a_huge_loss_is_reported_with_advice(divergences, said, caplog):
    divergences.evaluated(a_round(1, training_loss=2.25))
    divergences.evaluated(a_round(2, training_loss=4e5))
    divergences.evaluated(a_round(3, training_loss=4e9))
    text = "the run diverges: training loss 4e+05 in round 2 (2.25 in round 1); lower model.lr, or check dataset.scale"
    assert said == [(2, text)]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.WARNING, text)]
    assert divergences.now.value == 4e5


@pytest.mark.parametrize(
    "kind, n_nonfinite, training_loss, diverges",
    [
        ("nonfinite", 1, None, True),
        ("", 1, None, True),  # the note comes once per episode
        ("nonfinite", 1, 2.0, False),
        (UNCHANGED, 0, 2.0, True),
        ("unable", 0, None, False),
        ("joined", 0, None, False),
    ],
)
def test_a_round_diverges_if_no_worker_has_a_finite_update(
    divergences, said, kind, n_nonfinite, training_loss, diverges
):
    divergences.close_round(REPORT)
    divergences.note(Note("<text>", kind, 3))
    divergences.close_round(REPORT._replace(round_index=2, training_loss=training_loss, n_nonfinite=n_nonfinite))
    assert [index for index, _ in said] == [2] * diverges
    for round_index in range(3, 13):  # notes count in their own round
        divergences.close_round(REPORT._replace(round_index=round_index))
    assert divergences.now is None


def test_a_resumed_run_does_not_repeat_what_was_said(divergences, said):
    reports = [REPORT, REPORT._replace(round_index=2)]
    divergences.resume(reports, [a_round(1, test_loss=2.0), a_round(2, test_loss=math.nan)])
    divergences.evaluated(a_round(3, test_loss=math.nan))
    assert said == [] and divergences.now.round_index == 2


def test_a_resumed_run_remembers_updates_that_were_not_finite(divergences, said):
    bad = REPORT._replace(round_index=2, n_nonfinite=2)
    divergences.resume([REPORT, bad], [a_round(1, test_loss=2.0), a_round(2, test_loss=2.0, training_loss=None)])
    assert divergences.now.round_index == 2
    divergences.close_round(bad._replace(round_index=3))
    assert said == []


def test_a_worker_with_too_little_memory_is_no_divergence(make_master, caplog):
    caplog.set_level(logging.INFO)
    master = make_master("total_workers=1", "min_workers=1", "system.max_rounds=6")
    worker = HttpWorker(master, 0)

    def train(action):
        worker.trainer.local_update = refuse if action.round_index > 2 else worker.trainer.local_update
        return Local.train(worker, action)

    def refuse(*_):
        raise OutOfMemory("the device has too little memory for a batch of 16")

    worker.methods = {**worker.methods, Train: train}
    worker.run()
    assert master.run.ending.wait(Stage.SAVED, WAIT_S)
    assert master.run.status["divergence"] is None and "diverges" not in caplog.text and "model.lr" not in caplog.text
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("worker 0 cannot train")]
    assert said == ["worker 0 cannot train in round 3: its device has too little memory; its log says what helps"]
    assert [item.text for item in master.run.feed.news.newest() if item.kind == "unable"] == said


def test_a_run_with_a_step_that_is_too_large_says_so_everywhere(make_master, run_workers, caplog):
    caplog.set_level(logging.INFO)
    master = make_master("model.name=quadratic", "model.lr=1000", "system.max_rounds=6")
    run_workers(master)
    status = master.run.status["divergence"]
    assert status["quantity"] == "updates of the workers" or status["value"] is None or status["value"] > 10
    told = [item for item in master.run.feed.news.newest() if item.kind == "diverged"]
    (line,) = [record.getMessage() for record in caplog.records if "the run diverges" in record.getMessage()]
    assert [item.text for item in told] == [line] and line.endswith("; lower model.lr")
