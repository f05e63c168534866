"""Layouts of the built-in models, without TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest
from factory import settings_with

from flq.core.layout import unflatten
from flq.core.rng import start_values
from flq.errors import DataError
from flq.training.frameworks import make_task, model_names
from flq.training.models import MODELS, is_custom, layout_of_model


def test_logreg_is_one_dense_layer():
    assert layout_of_model("logreg", (2, 3, 4), 5).to_json() == [["dense_1/kernel", [24, 5]], ["dense_1/bias", [5]]]


def test_mlp_on_28x28_has_159010_parameters():
    assert layout_of_model("mlp", (28, 28, 1), 10).n_params == 159010


def test_cnn_on_28x28_has_the_467818_parameters_of_the_original_flq():
    layout = layout_of_model("cnn", (28, 28, 1), 10)
    assert layout.n_params == layout.n_trained == 467818
    assert [tensor.shape for tensor in layout.tensors[::2]] == [
        (3, 3, 1, 32),
        (3, 3, 32, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 64),
        (7 * 7 * 64, 128),
        (128, 10),
    ]


def test_cnn_small_on_28x28_has_80202_parameters():
    assert layout_of_model("cnn_small", (28, 28, 1), 10).n_params == 80202


def test_cnn_small_on_digits_keeps_the_border():
    layout = make_task(settings_with(name="cnn_small")).layout
    assert layout.to_json()[4] == ["dense_1/kernel", [128, 128]]  # 8 -> 4 -> 2 pixels a side, 32 filters


@pytest.mark.parametrize("name, input_shape", [("cnn", (3, 28, 1)), ("cnn_small", (1, 20, 1))])
def test_images_that_the_pooling_would_use_up_are_refused(name, input_shape):
    with pytest.raises(
        DataError, match="model %s needs images of at least 4 x 4 pixels, got %d x %d" % ((name,) + input_shape[:2])
    ):
        layout_of_model(name, input_shape, 10)
    assert layout_of_model(name, (4, 5, 1), 10).n_params > 0


def test_resnet20_on_cifar_trains_269722_parameters_and_keeps_1376_statistics():
    layout = layout_of_model("resnet20", (32, 32, 3), 10)
    convolutions = 9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
    channels = 7 * 16 + 6 * 32 + 6 * 64  # each with a scale and a shift, a mean and a variance
    assert layout.n_trained == convolutions + 2 * channels + 64 * 10 + 10 == 269722
    assert layout.n_params - layout.n_trained == 2 * channels == 1376
    assert layout.n_statistics == 2 * 19


def test_resnet20_has_20_layers_with_kernels():
    layout = layout_of_model("resnet20", (28, 28, 1), 10)
    assert sum(tensor.name.endswith("/kernel") for tensor in layout.tensors) == 20
    assert [tensor.name for tensor in layout.tensors[-layout.n_statistics :]] == [
        "norm_%d/moving_%s" % (i, kind) for i in range(1, 20) for kind in ("mean", "variance")
    ]


def test_start_values_of_scales_and_variances_are_one():
    layout = layout_of_model("resnet20", (8, 8, 1), 10)
    for tensor, values in zip(layout.tensors, unflatten(start_values(layout, 42), layout)):
        if tensor.name.endswith(("/gamma", "/moving_variance")):
            assert np.all(values == 1)
        elif tensor.name.endswith("/kernel"):
            assert len(np.unique(values)) > values.size / 2
        else:
            assert not values.any()


def test_tensor_names_are_layer_and_role():
    assert [tensor.name for tensor in layout_of_model("mlp", (8, 8, 1), 10).tensors] == [
        "dense_1/kernel",
        "dense_1/bias",
        "dense_2/kernel",
        "dense_2/bias",
    ]


@pytest.mark.parametrize("dim, sizes", [(4, [1, 1, 1, 1]), (1000, [250] * 4), (1003, [251, 251, 251, 250])])
def test_quadratic_is_cut_into_four_vectors(dim, sizes):
    layout = make_task(settings_with(name="quadratic", dim=dim)).layout
    assert [tensor.shape for tensor in layout.tensors] == [(size,) for size in sizes]


def test_quadratic_of_three_parameters_is_refused():
    with pytest.raises(DataError, match="model.dim must be at least 4, got 3"):
        make_task(settings_with(name="quadratic", dim=3))


def test_unknown_model_is_refused_by_name():
    names = sorted(model_names())
    assert {"cnn", "cnn_small", "logreg", "mlp", "quadratic", "resnet20"} <= set(names)
    sentence = "model.name must be one of %s or package.module:function, got 'vgg'" % ", ".join(names)
    with pytest.raises(DataError, match=sentence):
        make_task(settings_with(name="vgg"))


def test_a_users_model_is_not_in_the_table():
    assert is_custom("my.models:small") and not any(is_custom(name) for name in MODELS)


def test_layouts_and_seam_never_load_tensorflow():
    code = (
        "import sys; import flq.training.frameworks, flq.training.custom_model, flq.training.evaluator_process; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.call([sys.executable, "-c", code]) == 0


def test_names_are_unique_within_each_model():
    for name in MODELS:
        names = [tensor.name for tensor in make_task(settings_with(name=name)).layout.tensors]
        assert len(set(names)) == len(names)
