"""The seam: which engine is behind a model's name, and who may ask for one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from flq.errors import DataError
from flq.training.keras_evaluator import KerasEvaluator
from flq.training.models import MODELS, model_layout
from flq.training.trainer import ENGINES, build_evaluator, build_trainer, check


def test_every_model_has_an_engine():
    assert sorted(ENGINES) == sorted(MODELS)


@pytest.mark.parametrize("worker_id", [-1, 4])
def test_worker_ids_outside_the_run_are_refused(make_settings, worker_id):
    with pytest.raises(DataError, match=r"worker_id must be in 0\.\.3, got %d" % worker_id):
        build_trainer(make_settings(name="quadratic"), worker_id)


@pytest.mark.parametrize("build", [build_evaluator, lambda settings: build_trainer(settings, 0)])
def test_unknown_model_is_refused_by_name(make_settings, build):
    with pytest.raises(DataError, match="model.name must be one of cnn_small, mlp, quadratic, got 'mlpp'"):
        build(make_settings(name="mlpp"))


@pytest.mark.parametrize("build", [build_evaluator, lambda settings: build_trainer(settings, 0)])
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("name", ["mlp", "cnn_small"])
def test_without_tensorflow_a_keras_model_is_refused_with_what_to_install(
        make_settings, monkeypatch, build, deterministic, name):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(DataError, match="^TensorFlow is missing .*pip install -r requirements/worker.txt"):
        build(make_settings(name=name, deterministic=deterministic))


def test_a_tensorflow_that_can_not_be_imported_says_why(make_settings, monkeypatch, tmp_path):
    (tmp_path / "tensorflow.py").write_text("import a_library_that_is_missing")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match="TensorFlow can not be imported: No module named 'a_library_that_is_missing'"):
        build_evaluator(make_settings())


# check: what the master finds out before it serves

@pytest.mark.parametrize("changes", [
    dict(), dict(partition="non_iid", dir_alpha=1e-6), dict(name="cnn_small"), dict(name="quadratic"),
    dict(total_workers=1437, batch_size=1), dict(name="quadratic", total_workers=4096)])
def test_settings_that_can_be_trained_on_pass(make_settings, changes):
    assert check(make_settings(**changes)) is None


@pytest.mark.parametrize("changes, text", [
    (dict(batch_size=360), "1437 training samples are fewer than .* = 4 \\* 360"),
    (dict(total_workers=45), "1437 training samples are fewer than .* = 45 \\* 32"),
    (dict(total_workers=4096, name="cnn_small", partition="non_iid"), "fewer than"),
    (dict(partition="dirichlet"), "dataset.partition must be one of iid, non_iid"),
    (dict(name="quadratic", l2=0.1), "model.l2 must be 0"),
    (dict(name="mlpp"), "model.name must be one of"),
])
def test_settings_that_no_worker_could_train_on_are_refused(make_settings, changes, text):
    with pytest.raises(DataError, match=text):
        check(make_settings(**changes))


def test_check_does_not_load_tensorflow(make_settings):
    code = ("import json, sys; from flq.training.trainer import check; check(json.loads(sys.argv[1])); "
            "print('tensorflow' in sys.modules)")
    said = subprocess.check_output([sys.executable, "-c", code, json.dumps(make_settings())], universal_newlines=True)
    assert said == "False\n"


def test_a_saved_keras_file_is_on_the_disk_before_it_gets_its_name(make_settings, monkeypatch, tmp_path):
    steps = []

    class Model:
        """Stands in a Keras model's place, so that this needs no TensorFlow."""

        def set_weights(self, arrays):
            pass

        def save(self, path):
            with open(path, "wb") as stream:
                stream.write(b"model")

    evaluator = KerasEvaluator.__new__(KerasEvaluator)
    evaluator.layout, evaluator._model = model_layout(make_settings()), Model()
    real_replace, path = os.replace, str(tmp_path / "model.keras")
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append(("fsync", os.fstat(descriptor).st_size)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append(("replace", paths[1])), real_replace(*paths)))
    evaluator.save_keras(np.zeros(evaluator.layout.n_params, np.float32), path)
    assert steps == [("fsync", 5), ("replace", path)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.keras"]
