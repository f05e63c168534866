"""The task interface: the framework of a model's name, and the behaviour of every task."""

import json
import subprocess
import sys

import numpy as np
import pytest
from factory import settings_with

from flq.core import rng
from flq.core.settings import to_json
from flq.errors import DataError
from flq.training.frameworks import FRAMEWORKS, build_trainer, make_task
from flq.training.models import MODELS, layout_of_model
from flq.training.sources.seen import told


def open_for_master(settings):
    return make_task(settings).open(None)


def test_every_model_has_one_framework():
    names = [name for framework in FRAMEWORKS.values() for name in framework.models]
    assert len(set(names)) == len(names) and set(MODELS) | {"quadratic"} <= set(names)


@pytest.mark.parametrize("worker_id", [-1, 4])
def test_worker_ids_outside_the_run_are_refused(worker_id):
    with pytest.raises(DataError, match=r"worker_id must be in 0\.\.3, got %d" % worker_id):
        build_trainer(settings_with(name="quadratic"), worker_id)


@pytest.mark.parametrize("build", [make_task, lambda settings: build_trainer(settings, 0)])
def test_unknown_model_is_refused_by_name(build):
    with pytest.raises(DataError, match="model.name must be one of cnn, .* or package.module:function, got 'mlpp'"):
        build(settings_with(name="mlpp"))


@pytest.mark.parametrize("build", [open_for_master, lambda settings: build_trainer(settings, 0)])
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("name", ["mlp", "cnn_small"])
def test_without_tensorflow_a_keras_model_is_rejected_with_the_package(monkeypatch, build, deterministic, name):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(DataError, match="^TensorFlow is missing .*pip install -r requirements/worker.txt"):
        build(settings_with(name=name, deterministic=deterministic))


def test_a_tensorflow_that_cannot_be_imported_is_explained(monkeypatch, tmp_path):
    (tmp_path / "tensorflow.py").write_text("import a_library_that_is_missing")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match="TensorFlow cannot be imported: No module named 'a_library_that_is_missing'"):
        open_for_master(settings_with())


@pytest.mark.parametrize(
    "build", [open_for_master, lambda settings: build_trainer(settings, 0), lambda settings: make_task(settings).layout]
)
def test_a_model_of_ones_own_is_a_keras_model(monkeypatch, build):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(DataError, match="^TensorFlow is missing"):
        build(settings_with(name="shop.models:tiny"))


def test_a_run_begins_with_the_layouts_start_values():
    settings = settings_with(name="resnet20")
    task = make_task(settings)
    assert task.layout == layout_of_model("resnet20", (8, 8, 1), 10)
    assert np.array_equal(task.start(), rng.start_values(task.layout, 42))


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
def test_settings_that_can_be_trained_on_pass(changes):
    assert make_task(settings_with(**changes)).check() is None


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
        (dict(partition="local"), "each worker needs its own files, but digits is the same at every worker"),
    ],
)
def test_settings_that_no_worker_could_train_on_are_refused(changes, text):
    with pytest.raises(DataError, match=text):
        make_task(settings_with(**changes)).check()


def test_with_partition_local_the_master_needs_no_data():
    settings = settings_with(
        partition="local", input_shape=[8, 8, 1], n_classes=3, data_dir="/nowhere", dataset="npz:of_each_worker.npz"
    )
    assert make_task(settings).check() is None
    settings = settings_with(settings, partition="iid")
    with pytest.raises(DataError):
        make_task(settings).check()


def test_check_keeps_what_it_saw_of_the_data(tmp_path):
    np.savez(str(tmp_path / "a.npz"), x_train=np.arange(160).reshape(40, 2, 2), y_train=np.arange(40) % 2 + 1)
    task = make_task(settings_with(dataset="npz:a.npz", data_dir=str(tmp_path), total_workers=1, batch_size=4))
    assert task.seen is None and told(task.seen, False) == []
    task.check()
    (said, is_warning), *warnings = told(task.seen, False)
    assert said == "a.npz: 40 images of 2 x 2, 3 classes; int64 values 0 to 159, divided by 255" and not is_warning
    assert len(warnings) == 2 and all(is_warning for _, is_warning in warnings)
    assert "run from 1 to 2: the model has 3 outputs" in warnings[0][0] and "dataset.scale" in warnings[1][0]


def test_check_does_not_load_tensorflow():
    code = (
        "import json, sys; from flq.core.settings import settings_from_json\n"
        "from flq.training.frameworks import make_task\n"
        "make_task(settings_from_json(json.loads(sys.argv[1]))).check()\n"
        "print('tensorflow' in sys.modules)"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", code, json.dumps(to_json(settings_with()))], universal_newlines=True
    )
    assert said == "False\n"
