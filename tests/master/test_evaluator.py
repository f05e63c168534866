"""Evaluation happens beside the run, in a process that may be slow or die."""

import os
import queue
import signal

import numpy as np
import pytest

from flq.config_file import load_config
from flq.core.draws import start_values
from flq.master.evaluator import Evaluator
from flq.master.record import Evaluated
from flq.training.models import model_layout
from flq.training.trainer import build_evaluator

WAIT_S = 20.0
ROUND_BYTES = 2 * 4 * 40  # two vectors


@pytest.fixture
def settings():
    return load_config(None, ("model.name=quadratic", "model.dim=40", "model.lr=0.05")).settings()


@pytest.fixture
def make_evaluator(settings):
    """Return a function that starts an Evaluator with a backlog of two rounds."""
    made = []

    def make(**changes):
        made.append(Evaluator(dict(settings, **changes), 2 * ROUND_BYTES))
        return made[-1]

    yield make
    for evaluator in made:
        evaluator._child.send_signal(signal.SIGCONT)  # does nothing to a process that has ended
        evaluator.close()


def test_it_says_what_the_evaluator_of_training_says(make_evaluator, settings):
    vector = start_values(model_layout(settings), 42)
    expected = build_evaluator(settings)
    done = queue.Queue()
    make_evaluator().evaluate(1, vector, np.zeros_like(vector), lambda *result: done.put(result))
    assert done.get(timeout=WAIT_S) == (1, Evaluated(expected.evaluate(vector).loss, None, None))


def test_a_slow_evaluator_drops_the_oldest_rounds_and_does_the_newest(make_evaluator):
    evaluator = make_evaluator()
    os.kill(evaluator._child.pid, signal.SIGSTOP)
    done = queue.Queue()
    for round_index in range(1, 6):
        evaluator.evaluate(round_index, np.ones(40, np.float32), np.ones(40, np.float32),
                           lambda *result: done.put(result))  # comes back at once though nothing is evaluated
    assert [done.get(timeout=WAIT_S) for _ in range(3)] == [(1, Evaluated()), (2, Evaluated()), (3, Evaluated())]
    assert done.empty()
    assert not evaluator.wait_until_idle(0.0)
    os.kill(evaluator._child.pid, signal.SIGCONT)
    results = [done.get(timeout=WAIT_S) for _ in range(2)]
    assert [round_index for round_index, _ in results] == [4, 5]
    assert all(evaluated.loss > 0 for _, evaluated in results)
    assert evaluator.wait_until_idle(WAIT_S)


def test_a_dead_evaluator_leaves_rounds_without_results(make_evaluator, caplog):
    evaluator = make_evaluator()
    assert evaluator.wait_until_idle(WAIT_S)
    evaluator._child.kill()
    evaluator._child.wait(WAIT_S)
    done = queue.Queue()
    for round_index in 1, 2:
        evaluator.evaluate(round_index, np.ones(40, np.float32), np.ones(40, np.float32),
                           lambda *result: done.put(result))
        assert done.get(timeout=WAIT_S) == (round_index, Evaluated())
    assert evaluator.wait_until_idle(WAIT_S)
    assert "round 1 is not evaluated: the evaluator process has ended" in caplog.text


def test_settings_that_it_can_not_use_leave_rounds_without_results(make_evaluator, settings, caplog):
    evaluator = make_evaluator(model=dict(settings["model"], name="nothing"))
    done = queue.Queue()
    evaluator.evaluate(1, np.ones(40, np.float32), np.ones(40, np.float32), lambda *result: done.put(result))
    assert done.get(timeout=WAIT_S) == (1, Evaluated())
    assert "model.name must be one of" in caplog.text


def test_a_model_that_it_can_not_save_is_said_in_the_log(make_evaluator, tmp_path, caplog):
    evaluator = make_evaluator()
    evaluator.save_keras(str(tmp_path / "model.keras"), np.ones(40, np.float32))
    assert evaluator.wait_until_idle(WAIT_S)
    assert "the Keras file is not written: the quadratic problem has no Keras model" in caplog.text


def test_it_closes_though_its_child_hangs(make_evaluator):
    evaluator = make_evaluator()
    os.kill(evaluator._child.pid, signal.SIGSTOP)
    evaluator.evaluate(1, np.ones(40, np.float32), np.ones(40, np.float32), lambda *result: None)
    evaluator.close()
    assert evaluator._child.returncode == -signal.SIGKILL
