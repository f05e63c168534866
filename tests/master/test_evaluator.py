"""Evaluation in a process beside the run, which may be slow or die."""

import os
import queue
import signal
import threading

import numpy as np
import pytest
from factory import settings_with
from waits import wait_until

from flq.core.layout import unflatten
from flq.core.rng import start_values
from flq.errors import DataError, Unavailable
from flq.master.records.round_log import Evaluated
from flq.master.runtime import child_process, evaluator_child
from flq.master.runtime.evaluator import Evaluator
from flq.master.runtime.evaluator_child import State
from flq.training.frameworks import make_task

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WAIT_S = 20.0
ROUND_BYTES = 2 * 4 * 40  # two vectors


@pytest.fixture
def settings():
    return settings_with(name="quadratic", dim=40, lr=0.05)


@pytest.fixture
def make_evaluator(settings):
    """Return a function that starts an Evaluator with a backlog of two rounds."""
    made = []

    def make(**changes):
        made.append(Evaluator(settings_with(settings, **changes), 2 * ROUND_BYTES))
        return made[-1]

    yield make
    for evaluator in made:
        evaluator._child.process.send_signal(signal.SIGCONT)  # does nothing to a process that has ended
        evaluator.close()


def test_it_returns_the_results_of_the_trainings_evaluator(make_evaluator, settings):
    vector = start_values(make_task(settings).layout, 42)
    expected = make_task(settings)
    done = queue.Queue()
    make_evaluator().evaluate(1, [vector, np.zeros_like(vector)], lambda *result: done.put(result))
    assert done.get(timeout=WAIT_S) == (1, Evaluated(expected.evaluate(vector)["loss"], None, None))


def test_a_slow_evaluator_drops_the_oldest_rounds_and_does_the_newest(make_evaluator):
    evaluator = make_evaluator()
    os.kill(evaluator._child.process.pid, signal.SIGSTOP)
    done = queue.Queue()
    for round_index in range(1, 6):
        evaluator.evaluate(
            round_index, [np.ones(40, np.float32)] * 2, lambda *result: done.put(result)
        )  # comes back at once though nothing is evaluated
    assert [done.get(timeout=WAIT_S) for _ in range(3)] == [(1, None), (2, None), (3, None)]
    assert done.empty()
    assert not evaluator.wait_until_idle(0.0)
    os.kill(evaluator._child.process.pid, signal.SIGCONT)
    results = [done.get(timeout=WAIT_S) for _ in range(2)]
    assert [round_index for round_index, _ in results] == [4, 5]
    assert all(evaluated.loss > 0 for _, evaluated in results)
    assert evaluator.wait_until_idle(WAIT_S)


def test_a_dead_evaluator_is_replaced_and_no_round_is_without_results(make_evaluator, settings, caplog):
    evaluator = make_evaluator()
    wait_until(lambda: evaluator._child.state is State.READY)
    first = evaluator._child.process
    vectors = [np.full(40, number, np.float32) for number in range(1, 4)]
    os.kill(first.pid, signal.SIGSTOP)
    done = queue.Queue()
    for round_index, vector in enumerate(vectors, start=1):  # one is under way, two wait
        evaluator.evaluate(round_index, [vector] * 2, lambda *result: done.put(result))
        wait_until(lambda: evaluator._busy)
    first.kill()
    loss_of = make_task(settings).evaluate
    for round_index, vector in enumerate(vectors, start=1):
        assert done.get(timeout=WAIT_S) == (round_index, Evaluated(loss_of(vector)["loss"], None, None))
    assert evaluator.wait_until_idle(WAIT_S) and evaluator._child.process is not first
    assert "the evaluator process has ended (exit code -9)" in caplog.text and "not evaluated" not in caplog.text


@pytest.mark.parametrize("n_values", [40, 10**6], ids=["it reads no reply", "it takes no request"])
def test_an_evaluator_that_hangs_is_replaced(make_evaluator, monkeypatch, caplog, n_values):
    monkeypatch.setattr(evaluator_child, "STUCK_S", 5.0)
    evaluator = make_evaluator()
    wait_until(lambda: evaluator._child.state is State.READY)
    first = evaluator._child.process
    os.kill(first.pid, signal.SIGSTOP)
    done = queue.Queue()
    evaluator.evaluate(1, [np.ones(n_values, np.float32)] * 2, lambda *result: done.put(result))
    evaluator.evaluate(2, [np.ones(40, np.float32)] * 2, lambda *result: done.put(result))
    wait_until(lambda: done.qsize() == 2)
    assert [done.get()[0] for _ in range(2)] == [1, 2] and evaluator._child.process is not first
    assert "it gave no reply for 5 s; it is restarted" in caplog.text


def test_an_evaluator_that_was_killed_while_it_had_nothing_to_do_is_replaced_too(make_evaluator):
    evaluator = make_evaluator()
    wait_until(lambda: evaluator._child.state is State.READY)
    evaluator._child.process.kill()
    evaluator._child.process.wait(WAIT_S)
    done = queue.Queue()
    evaluator.evaluate(1, [np.ones(40, np.float32)] * 2, lambda *result: done.put(result))
    assert done.get(timeout=WAIT_S)[1].loss > 0


@pytest.fixture
def mortal(monkeypatch):
    """Let children of evaluators end at some requests, counted from 1 for each; return their requests.

    The returned function takes the requests at which each child ends; later children behave like the last one.
    """
    begun = []

    def ends_at(*numbers):
        def begin(argv):
            number = numbers[min(len(begun), len(numbers) - 1)]
            code = MORTAL % number
            begun.append(number)
            return child_process.begin(["-c", code], {"PYTHONPATH": PROJECT})

        monkeypatch.setattr(evaluator_child, "begin", begin)
        monkeypatch.setattr(evaluator_child, "PAUSE_S", 0.01)
        return begun

    return ends_at


MORTAL = """
import sys
from flq.training import evaluator_process
requests, answer = [], evaluator_process.EvaluatorService.answer

def mortal(*request):
    requests.append(request)
    if len(requests) == %d:
        sys.exit(3)
    return answer(*request)

evaluator_process.EvaluatorService.answer = mortal
evaluator_process.main()
"""


def test_a_round_that_ends_two_children_is_given_up_and_the_next_is_done(make_evaluator, mortal, caplog):
    begun = mortal(2, 2, 1000)
    evaluator, done = make_evaluator(), queue.Queue()
    for round_index in 1, 2:
        evaluator.evaluate(round_index, [np.ones(40, np.float32)] * 2, lambda *result: done.put(result))
    assert done.get(timeout=WAIT_S) == (1, None)
    assert done.get(timeout=WAIT_S)[1].loss > 0
    assert len(begun) == 3 and evaluator.wait_until_idle(WAIT_S)
    assert caplog.text.count("round 1 is not evaluated: the evaluator process has ended (exit code 3)") == 1


@pytest.mark.parametrize("number", [1, 2])
def test_an_evaluator_that_ends_again_and_again_is_left_alone_for_a_while(
    make_evaluator, mortal, caplog, monkeypatch, number
):
    begun = mortal(number)
    evaluator, done = make_evaluator(), queue.Queue()

    def evaluate(n_rounds):
        for round_index in range(n_rounds):
            evaluator.evaluate(round_index, [np.ones(40, np.float32)] * 2, lambda *result: done.put(result))
            assert done.get(timeout=WAIT_S) == (round_index, None)

    evaluate(10)
    assert len(begun) == evaluator_child.MOST_LOST and evaluator.wait_until_idle(WAIT_S)
    assert caplog.text.count("no evaluations for 300 s: the evaluator process has ended") == 1
    assert evaluator._child.state is State.RESTING
    evaluator._child._rests_until = 0.0
    evaluate(1)
    assert len(begun) == evaluator_child.MOST_LOST + evaluator_child.TRIES


def test_invalid_settings_leave_rounds_without_results(make_evaluator, settings, caplog):
    evaluator = make_evaluator(name="nothing")
    done = queue.Queue()
    evaluator.evaluate(1, [np.ones(40, np.float32)] * 2, lambda *result: done.put(result))
    assert done.get(timeout=WAIT_S) == (1, None)
    assert "model.name must be one of" in caplog.text and evaluator._child.state is State.REFUSED


def test_a_model_that_cannot_be_saved_is_logged(make_evaluator, tmp_path, caplog):
    evaluator = make_evaluator()
    evaluator.begin_export(str(tmp_path / "model.keras"), np.ones(40, np.float32))
    assert evaluator.wait_until_idle(WAIT_S)
    assert "model.keras is not written: the quadratic problem has no Keras model" in caplog.text


def test_it_closes_though_its_child_hangs(make_evaluator):
    evaluator = make_evaluator()
    os.kill(evaluator._child.process.pid, signal.SIGSTOP)
    evaluator.evaluate(1, [np.ones(40, np.float32)] * 2, lambda *result: None)
    evaluator.close()
    assert evaluator._child.process.returncode == -signal.SIGKILL


def test_a_failed_export_is_reported_in_the_childs_words(make_evaluator, tmp_path):
    with pytest.raises(DataError, match="the quadratic problem has no Keras model"):
        make_evaluator().export(str(tmp_path / "model.keras"), np.ones(40, np.float32), WAIT_S)


def test_an_export_that_takes_too_long_is_given_up_and_forgotten(make_evaluator, tmp_path):
    evaluator = make_evaluator()
    os.kill(evaluator._child.process.pid, signal.SIGSTOP)
    done = queue.Queue()
    evaluator.evaluate(1, [np.ones(40, np.float32)] * 2, lambda *result: done.put(result))
    with pytest.raises(Unavailable, match="not written the model after"):
        evaluator.export(str(tmp_path / "model.keras"), np.ones(40, np.float32), 0.05)
    assert not any(job.header["do"] == "export" for job in evaluator._jobs)
    os.kill(evaluator._child.process.pid, signal.SIGCONT)
    assert done.get(timeout=WAIT_S)[1].loss > 0  # the others are still done
    assert evaluator.wait_until_idle(WAIT_S)


def test_a_request_that_waits_for_an_export_learns_of_its_failure(make_evaluator, mortal, tmp_path):
    mortal(2)
    evaluator = make_evaluator()
    with pytest.raises(Unavailable, match="the evaluator process has ended"):
        evaluator.export(str(tmp_path / "model.keras"), np.ones(40, np.float32), WAIT_S)


def test_it_closes_though_it_is_about_to_begin_another_child(make_evaluator, mortal, monkeypatch, caplog):
    mortal(2)
    evaluator = make_evaluator()
    monkeypatch.setattr(evaluator_child, "PAUSE_S", 2 * WAIT_S)
    evaluator.evaluate(1, [np.ones(40, np.float32)] * 2, lambda *result: None)
    wait_until(lambda: "it is restarted" in caplog.text)
    assert not evaluator.wait_until_idle(0.0)
    evaluator.close()
    assert evaluator._child.process.returncode == 3


def test_an_export_that_is_dropped_may_be_asked_for_again(make_evaluator, tmp_path):
    evaluator, caught = make_evaluator(), queue.Queue()
    os.kill(evaluator._child.process.pid, signal.SIGSTOP)
    evaluator.evaluate(1, [np.ones(40, np.float32)] * 2, lambda *result: None)

    def export():
        with pytest.raises(Unavailable) as error:
            evaluator.export(str(tmp_path / "model.keras"), np.ones(40, np.float32), WAIT_S)
        caught.put(str(error.value))

    thread = threading.Thread(target=export)
    thread.start()
    with evaluator._changed:
        assert evaluator._changed.wait_for(lambda: any(job.header["do"] == "export" for job in evaluator._jobs), WAIT_S)
    for round_index in range(2, 6):
        evaluator.evaluate(round_index, [np.ones(40, np.float32)] * 2, lambda *result: None)
    assert "cannot keep up" in caught.get(timeout=WAIT_S)
    thread.join(WAIT_S)


OWN_MODEL = """
import keras

def make(input_shape, n_classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.BatchNormalization(),
                             keras.layers.Dense(n_classes)])
"""


@pytest.mark.tf
def test_a_users_own_model_is_described_and_exported(make_evaluator, settings, tmp_path, monkeypatch):
    from flq.training.keras_setup import import_tensorflow, set_up_tensorflow

    set_up_tensorflow(settings)  # before this process uses TensorFlow for the first time
    (tmp_path / "of_the_master_test.py").write_text(OWN_MODEL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    evaluator = make_evaluator(name="of_the_master_test:make")
    layout, start = evaluator.described(120.0)
    assert layout.n_statistics == 2 and layout.n_params == start.size == 4 * 64 + 640 + 10
    assert start.dtype == np.float32 and np.isfinite(start).all() and np.any(start[128:768])
    tf = import_tensorflow()
    for ending in ".keras", ".h5":
        path = str(tmp_path / ("model" + ending))
        evaluator.export(path, start, 120.0)
        loaded = tf.keras.models.load_model(path, compile=False)
        kernel = unflatten(start, layout)[[tensor.shape for tensor in layout.tensors].index((64, 10))]
        assert np.array_equal(loaded.layers[-1].get_weights()[0], kernel)


@pytest.mark.tf
def test_a_users_model_that_fails_is_reported_in_the_childs_words(make_evaluator, settings):
    evaluator = make_evaluator(name="no_such_module_of_mine:make")
    with pytest.raises(DataError, match="there is no module no_such_module_of_mine"):
        evaluator.described(120.0)
