"""The seam: which engine is behind a model's name, and who may ask for one."""

import json
import subprocess
import sys

import numpy as np
import pytest

from flq.core import rng
from flq.errors import DataError
from flq.training.models import MODELS, model_layout
from flq.training.trainer import ENGINES, begin, build_evaluator, build_trainer, check


def test_every_model_has_an_engine():
    assert sorted(ENGINES) == sorted(MODELS)


@pytest.mark.parametrize("worker_id", [-1, 4])
def test_worker_ids_outside_the_run_are_refused(make_settings, worker_id):
    with pytest.raises(DataError, match=r"worker_id must be in 0\.\.3, got %d" % worker_id):
        build_trainer(make_settings(name="quadratic"), worker_id)


@pytest.mark.parametrize("build", [build_evaluator, lambda settings: build_trainer(settings, 0)])
def test_unknown_model_is_refused_by_name(make_settings, build):
    with pytest.raises(DataError, match="model.name must be one of cnn, .* or package.module:function, got 'mlpp'"):
        build(make_settings(name="mlpp"))


@pytest.mark.parametrize("build", [build_evaluator, lambda settings: build_trainer(settings, 0)])
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("name", ["mlp", "cnn_small"])
def test_without_tensorflow_a_keras_model_is_refused_with_what_to_install(
    make_settings, monkeypatch, build, deterministic, name
):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(DataError, match="^TensorFlow is missing .*pip install -r requirements/worker.txt"):
        build(make_settings(name=name, deterministic=deterministic))


def test_a_tensorflow_that_can_not_be_imported_says_why(make_settings, monkeypatch, tmp_path):
    (tmp_path / "tensorflow.py").write_text("import a_library_that_is_missing")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match="TensorFlow can not be imported: No module named 'a_library_that_is_missing'"):
        build_evaluator(make_settings())


@pytest.mark.parametrize("build", [build_evaluator, lambda settings: build_trainer(settings, 0)])
def test_a_model_of_ones_own_is_a_keras_model(make_settings, monkeypatch, build):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(DataError, match="^TensorFlow is missing"):
        build(make_settings(name="shop.models:tiny"))


def test_a_run_begins_with_the_layouts_start_values(make_settings):
    settings = make_settings(name="resnet20")
    layout, start = begin(settings)
    assert layout == model_layout(settings)
    assert np.array_equal(start, rng.start_values(layout, 42))


def test_a_run_of_ones_own_model_begins_with_what_keras_says(make_settings, monkeypatch):
    monkeypatch.setattr("flq.training.trainer.keras_start", lambda settings: ("layout", settings["model"]["name"]))
    assert begin(make_settings(name="shop.models:tiny")) == ("layout", "shop.models:tiny")


# check: what the master finds out before it serves


@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(partition="non_iid", dir_alpha=1e-6),
        dict(name="cnn_small"),
        dict(name="quadratic"),
        dict(total_workers=1437, batch_size=1),
        dict(total_workers=1437, batch_size=0),
        dict(name="quadratic", total_workers=4096),
        dict(name="resnet20"),
        dict(name="shop.models:tiny"),
        dict(name="quadratic", partition="local"),
    ],
)
def test_settings_that_can_be_trained_on_pass(make_settings, changes):
    assert check(make_settings(**changes)) is None


@pytest.mark.parametrize(
    "changes, text",
    [
        (dict(batch_size=360), "1437 training samples are fewer than .* = 4 \\* 360"),
        (dict(total_workers=45), "1437 training samples are fewer than .* = 45 \\* 32"),
        (dict(total_workers=4096, name="cnn_small", partition="non_iid"), "fewer than"),
        (dict(partition="dirichlet"), "dataset.partition must be one of iid, non_iid"),
        (dict(name="quadratic", l2=0.1), "model.l2 must be 0"),
        (dict(name="mlpp"), "model.name must be one of"),
        (dict(name="shop.models:"), "a model of your own must be named as package.module:function.*got 'shop.models:'"),
        (dict(name="shop models:tiny"), "a model of your own must be named as"),
        (dict(name=":tiny"), "a model of your own must be named as"),
        (dict(partition="local"), "each worker needs files of its own, but digits come with FLQ"),
    ],
)
def test_settings_that_no_worker_could_train_on_are_refused(make_settings, changes, text):
    with pytest.raises(DataError, match=text):
        check(make_settings(**changes))


def test_with_partition_local_the_master_needs_no_data(make_settings):
    settings = make_settings(partition="local", input_shape=[8, 8, 1], n_classes=3, data_dir="/nowhere")
    settings["dataset"]["name"] = "npz:of_each_worker.npz"
    assert check(settings) is None
    settings["dataset"]["partition"] = "iid"
    with pytest.raises(DataError):
        check(settings)


def test_check_does_not_load_tensorflow(make_settings):
    code = (
        "import json, sys; from flq.training.trainer import check; check(json.loads(sys.argv[1])); "
        "print('tensorflow' in sys.modules)"
    )
    said = subprocess.check_output([sys.executable, "-c", code, json.dumps(make_settings())], universal_newlines=True)
    assert said == "False\n"
