"""The real evaluator process, and its framing."""

import contextlib
import io
import os
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest
from factory import settings_with

from flq.core import rng
from flq.core.layout import layout_from_json
from flq.core.settings import Settings, to_json
from flq.errors import BadValues, TooLarge, WireError
from flq.training.evaluator_protocol import read_message, vectors_from, write_message
from flq.training.frameworks import make_task

OWN_MODELS = """
from tensorflow import keras
layers = keras.layers

def normalised(input_shape, n_classes):
    print('stray')
    hidden = [layers.Dense(5), layers.Dropout(0.5), layers.BatchNormalization()]
    hidden += [layers.Dense(n_classes)]
    return keras.Sequential([keras.Input(input_shape), layers.Flatten()] + hidden)

def broken(input_shape, n_classes):
    raise OSError('no weights here')
"""


@contextlib.contextmanager
def evaluator_process(**environment):
    process = subprocess.Popen(
        [sys.executable, "-m", "flq.training.evaluator_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ, **environment),
    )
    yield process
    process.stdin.close()
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def child():
    with evaluator_process() as process:
        yield process


@pytest.fixture(scope="module")
def keras_child(tmp_path_factory):
    """A process that accepts settings with Keras models, one after another, and finds users' models."""
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_models.py").write_text(OWN_MODELS)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    with evaluator_process(PYTHONPATH=path) as process:  # TensorFlow takes seconds to start
        sys.path.insert(0, str(folder))  # this process finds them too
        yield process
        sys.path.remove(str(folder))
        sys.modules.pop("own_models", None)


def ask_for_vectors(process, header, *vectors):
    write_message(process.stdin, header, *vectors)
    reply, payload = read_message(process.stdout)
    del reply["payload_bytes"]
    return reply, payload


def ask(process, header, *vectors):
    reply, payload = ask_for_vectors(process, header, *vectors)
    assert not payload
    return reply


@pytest.fixture
def quadratic():
    return settings_with(name="quadratic", dim=10)


def test_two_vectors_get_the_losses_that_the_evaluator_gives(child, quadratic):
    assert ask(child, {"do": "settings", "settings": to_json(quadratic)}) == {"ready": True, "n_params": 10}
    vectors = [np.zeros(10, np.float32), np.arange(10, dtype=np.float32)]
    reply = ask(child, {"do": "evaluate", "round": 7, "n_vectors": 2}, *vectors)
    expected = [make_task(quadratic).evaluate(vector)["loss"] for vector in vectors]
    assert reply == {"round": 7, "results": [{"loss": loss} for loss in expected]}


def test_a_loss_that_is_not_finite_is_null(child, quadratic):
    ask(child, {"do": "settings", "settings": to_json(quadratic)})
    vectors = [np.full(10, value, np.float32) for value in (np.nan, np.inf)]
    reply = ask(child, {"do": "evaluate", "round": 1, "n_vectors": 2}, *vectors)
    assert [result["loss"] for result in reply["results"]] == [None, None]


def test_a_bad_request_gets_a_sentence_and_the_process_continues(child, quadratic):
    vector = np.zeros(10, np.float32)
    assert (
        "first request must be settings" in ask(child, {"do": "evaluate", "round": 1, "n_vectors": 1}, vector)["error"]
    )
    assert (
        "model.name must be one of"
        in ask(child, {"do": "settings", "settings": to_json(settings_with(quadratic, name="x"))})["error"]
    )
    assert "n_params" in ask(child, {"do": "settings", "settings": to_json(quadratic)})
    assert "do must be one of" in ask(child, {"do": "dance"}, vector)["error"]
    assert "the request lacks 'round'" in ask(child, {"do": "evaluate", "n_vectors": 1}, vector)["error"]
    assert "expected 2 vectors of 10" in ask(child, {"do": "evaluate", "round": 1, "n_vectors": 2}, vector)["error"]
    assert "no Keras model" in ask(child, {"do": "export", "path": "x.keras"}, vector)["error"]
    assert ask(child, {"do": "evaluate", "round": 2, "n_vectors": 1}, vector)["round"] == 2


def test_the_end_of_stdin_is_a_good_end(child, quadratic):
    ask(child, {"do": "settings", "settings": to_json(quadratic)})
    child.stdin.close()
    assert child.wait(timeout=30) == 0


def test_bytes_that_are_no_message_end_it_with_an_error(child):
    child.stdin.write(struct.pack(">I", 2) + b"[]")
    child.stdin.flush()
    reply, _ = read_message(child.stdout)
    assert "not a JSON object" in reply["error"]
    assert child.wait(timeout=30) == 1


def test_sigint_does_not_end_it(child, quadratic):
    ask(child, {"do": "settings", "settings": to_json(quadratic)})
    os.kill(child.pid, signal.SIGINT)
    reply = ask(child, {"do": "evaluate", "round": 3, "n_vectors": 1}, np.zeros(10, np.float32))
    assert reply["round"] == 3


@pytest.mark.tf
def test_tensorflow_evaluates_and_saves_behind_the_same_requests(keras_child, tmp_path):
    layout = make_task(settings_with()).layout
    vector = rng.start_values(layout, 42)
    assert ask(keras_child, {"do": "settings", "settings": to_json(settings_with())}) == {
        "ready": True,
        "n_params": layout.n_params,
    }
    (result,) = ask(keras_child, {"do": "evaluate", "round": 0, "n_vectors": 1}, vector)["results"]
    assert 2.0 < result["loss"] < 3.0 and 0.0 < result["accuracy"] < 0.3  # guessing among ten: log(10) = 2.3
    if sys.version_info >= (3, 9):  # the master's Python; older TensorFlow has no .keras files
        path = str(tmp_path / "model.keras")
        assert ask(keras_child, {"do": "export", "path": path}, vector) == {"saved": path}
        assert os.path.getsize(path) > 4 * layout.n_params


@pytest.mark.tf
def test_a_users_model_comes_with_its_layout_and_start_values(keras_child):
    settings = settings_with(name="own_models:normalised")
    reply, payload = ask_for_vectors(keras_child, {"do": "settings", "settings": to_json(settings)})
    task = make_task(settings)
    layout, expected = task.layout, task.start()
    assert layout_from_json(reply["layout"]) == layout and layout.n_statistics == 2
    assert reply == {"ready": True, "n_params": layout.n_params, "layout": layout.to_json()}
    (start,) = vectors_from(payload, 1, layout.n_params)
    assert np.array_equal(start, expected)

    other = start + np.float32(0.125)
    reply = ask(keras_child, {"do": "evaluate", "round": 4, "n_vectors": 3}, start, other, start)
    results = [make_task(settings).evaluate(vector) for vector in (start, other)]
    assert [result["loss"] for result in reply["results"]] == [results[i]["loss"] for i in (0, 1, 0)]
    assert [result["accuracy"] for result in reply["results"]] == [results[i]["accuracy"] for i in (0, 1, 0)]
    assert results[0] != results[1]


@pytest.mark.tf
def test_a_users_model_that_fails_is_one_sentence(keras_child):
    for name, sentence in (("broken", "fails: no weights here"), ("missing", "has no function missing")):
        reply = ask(keras_child, {"do": "settings", "settings": to_json(settings_with(name="own_models:" + name))})
        assert list(reply) == ["error"] and sentence in reply["error"]


@pytest.mark.tf
@pytest.mark.parametrize("name", ["mlp", "resnet20"])
def test_a_built_in_models_reply_is_small(keras_child, name):
    settings = settings_with(name=name)
    assert ask(keras_child, {"do": "settings", "settings": to_json(settings)}) == {
        "ready": True,
        "n_params": make_task(settings).layout.n_params,
    }


@pytest.mark.tf
def test_without_a_test_set_there_are_no_metrics(keras_child, tmp_path):
    settings = settings_with(partition="local", input_shape=[8, 8, 1], n_classes=10)
    ask(keras_child, {"do": "settings", "settings": to_json(settings)})
    vector = rng.start_values(make_task(settings).layout, 42)
    assert ask(keras_child, {"do": "evaluate", "round": 1, "n_vectors": 1}, vector)["results"] == [{}]
    path = str(tmp_path / "model.h5")
    assert ask(keras_child, {"do": "export", "path": path}, vector) == {"saved": path}


def test_stray_prints_do_not_reach_the_replies():
    code = (
        "import os, sys\n"
        "from flq.training import evaluator_process as process\n"
        "def noisy(settings):\n"
        "    print('stray'); sys.stdout.flush(); os.write(1, b'stray')\n"
        "    raise ValueError('first line\\nsecond line')\n"
        "process.make_task = noisy\n"
        "sys.exit(process.main())\n"
    )
    request = io.BytesIO()
    write_message(request, {"do": "settings", "settings": to_json(Settings())})
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(request.getvalue(), timeout=30)
    replies = io.BytesIO(out)
    assert read_message(replies)[0]["error"] == "first line second line"
    assert read_message(replies) is None
    assert err.count(b"stray") == 2
    assert process.returncode == 0


def test_a_message_comes_back_as_it_was_written():
    stream = io.BytesIO()
    vectors = [np.array([1, -2, 3], np.float32), np.array([4, 5, 6], np.float32)]
    write_message(stream, {"do": "x"}, *vectors)
    write_message(stream, {"do": "y"})
    stream.seek(0)
    header, payload = read_message(stream)
    assert header == {"do": "x", "payload_bytes": 24}
    assert np.array_equal(vectors_from(payload, 2, 3), vectors)
    assert read_message(stream)[0] == {"do": "y", "payload_bytes": 0}
    assert read_message(stream) is None


def test_a_message_cut_anywhere_is_an_error():
    stream = io.BytesIO()
    write_message(stream, {"do": "x"}, np.zeros(2, np.float32))
    whole = stream.getvalue()
    for n_bytes in range(1, len(whole)):
        with pytest.raises(WireError):
            read_message(io.BytesIO(whole[:n_bytes]))


def test_a_header_that_declares_a_gigabyte_is_refused_before_it_is_read():
    with pytest.raises(TooLarge):
        read_message(io.BytesIO(struct.pack(">I", 1 << 30)))


def test_a_payload_of_the_wrong_length_is_refused():
    with pytest.raises(BadValues, match="expected 1 vectors of 2 float32"):
        vectors_from(bytearray(12), 1, 2)
