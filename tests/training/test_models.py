"""Layouts of the built-in models, without TensorFlow."""

import subprocess
import sys

import pytest

from flq.errors import DataError
from flq.training.models import MODELS, cnn_small_layout, mlp_layout, model_layout


def test_mlp_on_28x28_has_159010_parameters():
    assert mlp_layout({}, (28, 28, 1), 10).n_params == 159010


def test_cnn_small_on_28x28_has_80202_parameters():
    assert cnn_small_layout({}, (28, 28, 1), 10).n_params == 80202


def test_cnn_small_on_digits_keeps_the_border(make_settings):
    layout = model_layout(make_settings(name="cnn_small"))
    assert layout.to_json()[4] == ["dense_1/kernel", [128, 128]]  # 8 -> 4 -> 2 pixels a side, 32 filters


def test_tensor_names_are_layer_and_role():
    assert [tensor.name for tensor in mlp_layout({}, (8, 8, 1), 10).tensors] == [
        "dense_1/kernel", "dense_1/bias", "dense_2/kernel", "dense_2/bias"]


@pytest.mark.parametrize("dim, sizes", [(4, [1, 1, 1, 1]), (1000, [250] * 4), (1003, [251, 251, 251, 250])])
def test_quadratic_is_cut_into_four_vectors(make_settings, dim, sizes):
    layout = model_layout(make_settings(name="quadratic", dim=dim))
    assert [tensor.shape for tensor in layout.tensors] == [(size,) for size in sizes]


def test_quadratic_of_three_parameters_is_refused(make_settings):
    with pytest.raises(DataError, match="model.dim must be at least 4, got 3"):
        model_layout(make_settings(name="quadratic", dim=3))


def test_unknown_model_is_refused_by_name(make_settings):
    with pytest.raises(DataError, match="model.name must be one of cnn_small, mlp, quadratic, got 'cnn'"):
        model_layout(make_settings(name="cnn"))


def test_layouts_and_seam_never_load_tensorflow():
    code = ("import sys; import flq.training.trainer, flq.training.models, flq.training.evaluator_protocol; "
            "sys.exit('tensorflow' in sys.modules)")
    assert subprocess.call([sys.executable, "-c", code]) == 0


def test_names_are_unique_within_each_model(make_settings):
    for name in MODELS:
        names = [tensor.name for tensor in model_layout(make_settings(name=name)).tensors]
        assert len(set(names)) == len(names)
