"""Built-in models do not depend on a user's own configuration of Keras; each case is a process of its own."""

import json
import os
import subprocess
import sys

import pytest

from flq.training import keras_config

# Prints the bits of the initial model and of one round of each model, and then the notes.
CHILD = """
import sys, zlib
from factory import settings_with
from flq.core import rng
from flq.training.frameworks import build_trainer, make_task
exec(sys.argv[1])
notes = []
for changes in dict(name="cnn_small"), dict(name="resnet20", local_steps=2), dict(name="mlp", update="gradient"):
    settings = settings_with(**changes)
    task = make_task(settings)
    shared = task.start()
    trainer = build_trainer(settings, 1)
    update = trainer.local_update(shared, 1).update
    notes += trainer.notes + task.notes
    print(zlib.crc32(shared.tobytes()), zlib.crc32(update.tobytes()), task.evaluate(shared - update)["loss"].hex())
for note in notes:
    print("note:", note)
"""

FILE = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}


def child(home, code="", **environment):
    """Run CHILD in a home; ``code`` comes before FLQ is used. Return exit code, bits, notes and stderr."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KERAS")}
    clean.update(HOME=str(home), TF_CPP_MIN_LOG_LEVEL="3", PYTHONPATH=os.pathsep.join(sys.path), **environment)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, code],
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    lines = done.stdout.splitlines()
    notes = [line[6:] for line in lines if line.startswith("note: Keras")]
    return done.returncode, [line for line in lines if not line.startswith("note: ")], notes, done.stderr


def write(folder, **changes):
    folder.mkdir(parents=True)
    (folder / "keras.json").write_text(json.dumps(dict(FILE, **changes)))


@pytest.fixture(scope="module")
def bits(tmp_path_factory):
    """The bits in a home without settings."""
    pytest.importorskip("tensorflow")
    code, lines, notes, errors = child(tmp_path_factory.mktemp("home"))
    assert (code, len(lines), notes) == (0, 3, []), errors
    return lines


BEFORE = "import tensorflow as tf; tf.keras.backend.set_%s(%r)"
BOTH = BEFORE % ("floatx", "float64") + "; tf.keras.mixed_precision.set_global_policy('mixed_float16')"


@pytest.mark.tf
@pytest.mark.parametrize(
    "changes, code, environment, note",
    [
        (dict(image_data_format="channels_first", epsilon=0.01), "", {}, "image_data_format channels_first"),
        (dict(floatx="float16"), "", {}, "floatx float16"),
        (dict(floatx="float64"), "", {}, "floatx float64"),
        (dict(), BOTH, {}, "floatx float64"),
        (dict(), BEFORE % ("image_data_format", "channels_first"), {}, "image_data_format channels_first"),
        (dict(), "", dict(KERAS_BACKEND="torch"), "backend torch of KERAS_BACKEND is overridden by tensorflow"),
        (dict(backend="jax"), "", {}, "keras.json is overridden by tensorflow"),
    ],
)
def test_the_users_settings_change_no_bit_and_are_named(bits, tmp_path, changes, code, environment, note):
    write(tmp_path / ".keras", **changes)
    returned, lines, notes, errors = child(tmp_path, code, **environment)
    assert returned == 0, errors
    assert lines == bits
    assert any(note in line for line in notes)


@pytest.mark.tf
def test_keras_home_is_read_too(bits, tmp_path):
    write(tmp_path / "elsewhere", image_data_format="channels_first")
    returned, lines, notes, errors = child(tmp_path, KERAS_HOME=str(tmp_path / "elsewhere"))
    assert (returned, lines) == (0, bits), errors
    assert len(notes) == 1


@pytest.mark.tf
@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(floatx="float128"), 'floatx is "float128", expected float16 or float32 or float64'),
        (dict(image_data_format="x", backend=7), 'image_data_format is "x", expected channels_first or channels_last'),
        (dict(epsilon="small"), 'epsilon is "small", expected a number such as 1e-7'),
    ],
)
def test_invalid_settings_are_one_sentence_that_names_the_file(tmp_path, changes, words):
    pytest.importorskip("tensorflow")
    write(tmp_path / ".keras", **changes)
    returned, lines, _, errors = child(tmp_path)
    last = errors.splitlines()[-1]
    assert returned == 1 and not lines
    assert last.startswith("flq.errors.DataError: Keras cannot be imported: ")
    assert "in %s %s" % (tmp_path / ".keras" / "keras.json", words) in last


@pytest.mark.parametrize(
    "content, words",
    [
        ('{"backend": "tensorflow"}', ""),
        ("{}", ""),
        (None, ""),
        ("", "keras.json is not used, since it is not valid JSON: "),
        ("{bad", "keras.json is not used, since it is not valid JSON: "),
        ("\xff", "keras.json is not used, since it is not valid JSON: "),
        ("[1]", "keras.json is not a JSON object"),
        ('{"backend": "jax"}', "backend jax of "),
    ],
)
def test_a_file_that_is_not_used_is_noted(tmp_path, monkeypatch, content, words):
    if content is not None:
        (tmp_path / "keras.json").write_bytes(content.encode("latin-1"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(keras_config, "sys", type("", (), {"modules": {}}))
    notes = keras_config.choose_backend()
    assert len(notes) == bool(words) and all(words in note for note in notes)
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
