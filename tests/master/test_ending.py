"""The stages of the end of a run: every transition, waits for a stage, and the value in the journal."""

import itertools
import json
import threading

import pytest
from local_master import WAIT_S

from flq.master.runtime.ending import OVER, TRANSITIONS, WAY, Ending
from flq.run_end import KEY, RunEnd, Stage, end_of

TO = {
    Stage.RUNNING: [],
    Stage.INTERRUPTED: [Stage.INTERRUPTED],
    Stage.FAILED: [Stage.FAILED],
    Stage.ENDED: [Stage.ENDED],
    Stage.SAVED: [Stage.ENDED, Stage.SAVED],
    Stage.TOLD: [Stage.ENDED, Stage.SAVED, Stage.TOLD],
    Stage.OVER: [Stage.ENDED, Stage.SAVED, Stage.OVER],
}


def at(stage):
    ending = Ending()
    for step in TO[stage]:
        assert ending.move(step, "because")
    return ending


@pytest.mark.parametrize("before, after", list(itertools.product(Stage, Stage)))
def test_it_moves_only_along_the_transitions(before, after):
    ending = at(before)
    has_moved = ending.move(after, "another reason")
    assert has_moved == (after in TRANSITIONS[before])
    assert ending.stage is (after if has_moved else before)
    reason = "the master failed" if before is Stage.RUNNING else "because"
    assert ending.reason == ("another reason" if has_moved else reason)


@pytest.mark.parametrize("stage, awaited", list(itertools.product(Stage, WAY[1:])))
def test_a_wait_ends_when_the_stage_is_reached_or_unreachable(stage, awaited):
    is_reached = stage in WAY and WAY.index(stage) >= WAY.index(awaited)
    ending = at(stage)
    assert ending.has_reached(awaited) == is_reached
    assert ending.wait(awaited, 0.0) == (is_reached or stage in (Stage.INTERRUPTED, Stage.FAILED))
    ending.halt()
    assert ending.wait(awaited, 0.0)
    assert ending.stage is (Stage.FAILED if stage is Stage.RUNNING else stage)
    ending.wait_released()


def test_a_transition_ends_a_wait():
    ending, woken = Ending(), []
    threads = [
        threading.Thread(target=lambda stage=stage: woken.append((stage, ending.wait(stage))), daemon=True)
        for stage in WAY[1:]
    ]
    for thread in threads:
        thread.start()
    for stage, thread in zip(WAY[1:], threads):
        assert ending.move(stage)
        thread.join(WAIT_S)
        assert woken[-1] == (stage, True)
    assert ending.stage is OVER


def test_a_signal_comes_first_or_only_releases_a_master_that_keeps_serving():
    ending = Ending()
    ending.interrupt("signal 15")
    assert not ending.move(Stage.ENDED, "3 rounds are done") and ending.reason == "signal 15"
    assert ending.wait(Stage.OVER) and not ending.has_ended
    ending = at(Stage.TOLD)
    ending.interrupt("signal 15")
    ending.wait_released()
    assert (ending.stage, ending.reason) == (Stage.TOLD, "because")


@pytest.mark.parametrize("stage", Stage)
def test_the_journal_keeps_it(stage):
    kept = at(stage).recorded([0, 2])
    assert kept.stage is stage and kept.is_over == (stage is Stage.OVER)
    assert end_of(json.loads(json.dumps({KEY: kept.to_json()}))) == kept


@pytest.mark.parametrize(
    "about, expected",
    [
        ({"ended": "stopped"}, RunEnd(Stage.OVER, "stopped")),
        ({"ended": "stopped", "reason": "interrupted"}, RunEnd(Stage.OVER, "stopped")),
        ({"ended": None, "reason": "interrupted"}, RunEnd(Stage.RUNNING, "interrupted")),
        ({"ended": None}, RunEnd()),
    ],
)
def test_older_journals_say_it_in_other_rows(about, expected):
    assert end_of(about) == expected


@pytest.mark.parametrize("about", [{}, {KEY: {}}, {KEY: None}, {KEY: {"stage": "x", "reason": None, "heard": []}}])
def test_an_invalid_end_is_rejected(about):
    with pytest.raises((LookupError, TypeError, ValueError)):
        end_of(about)
