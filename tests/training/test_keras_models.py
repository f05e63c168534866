"""The built-in Keras models against their layouts and against plain numpy; these need TensorFlow."""

import numpy as np
import pytest
from factory import settings_with

from flq.core import rng
from flq.core.layout import unflatten
from flq.errors import DataError
from flq.training.keras_models import build_keras_model, scaled
from flq.training.keras_setup import set_up_tensorflow
from flq.training.keras_weights import layout_of, set_vector, vector_of
from flq.training.models import MODELS, layout_of_model

pytestmark = pytest.mark.tf

KERAS_NAMES = sorted(MODELS)


@pytest.fixture(autouse=True)
def tensorflow():
    """TensorFlow, set up before any test uses it."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    return module


@pytest.mark.parametrize("input_shape", [(4, 5, 2), (8, 8, 1), (15, 20, 3), (16, 16, 1), (28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("name", KERAS_NAMES)
def test_layout_is_names_and_shapes_of_the_keras_weights(name, input_shape):
    settings = settings_with(name=name)
    model = build_keras_model(settings, input_shape, 7)
    layout = layout_of_model(name, input_shape, 7)
    assert layout_of(model) == layout
    assert model.count_params() == layout.n_params
    assert [tuple(variable.shape) for variable in model.trainable_weights + model.non_trainable_weights] == [
        tensor.shape for tensor in layout.tensors
    ]
    assert len(model.non_trainable_weights) == layout.n_statistics


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_a_vector_is_read_back_bit_for_bit(name):
    settings = settings_with(name=name)
    layout, model = layout_of_model(name, (8, 8, 1), 10), build_keras_model(settings, (8, 8, 1), 10)
    vector = rng.uniform(layout.n_params, rng.stream(1, rng.START))
    set_vector(model, vector, layout)
    assert np.array_equal(vector_of(model, layout), vector)
    assert vector_of(model, layout).dtype == np.float32


def test_a_model_without_keras_is_refused():
    with pytest.raises(DataError, match="model.name must be one of cnn, .* to be built with Keras, got 'quadratic'"):
        build_keras_model(settings_with(name="quadratic"), (8, 8, 1), 10)


def test_pixels_are_divided_by_white_in_float32(tensorflow):
    images = np.array([[[[0], [51]], [[102], [255]]]], np.uint8)
    pixels = scaled(tensorflow.constant(images), 255.0).numpy()
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels.ravel(), [0, 0.2, 0.4, 1], rtol=2e-7)
    assert np.array_equal(scaled(tensorflow.constant(pixels), 1.0).numpy(), pixels)


# The same networks in numpy, float64.


def convolved(x, kernel, stride=1, padding="same"):
    """Cross-correlate x (n, h, w, c) with kernel (k, k, c, filters); TensorFlow's padding."""
    k = kernel.shape[0]
    if padding == "same":
        totals = [max((-(-side // stride) - 1) * stride + k - side, 0) for side in x.shape[1:3]]
        x = np.pad(x, [(0, 0)] + [(total // 2, total - total // 2) for total in totals] + [(0, 0)], "constant")
    height, width = [(side - k) // stride + 1 for side in x.shape[1:3]]
    return sum(
        np.einsum(
            "nhwc,cf->nhwf",
            x[:, i : i + stride * height : stride, j : j + stride * width : stride][:, :height, :width],
            kernel[i, j],
        )
        for i in range(k)
        for j in range(k)
    )


def pooled(x):
    n, height, width, channels = x.shape
    return (
        x[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    )


def relu(x):
    return np.maximum(x, 0)


def logreg(p, x):
    return x.reshape(len(x), -1) @ p["dense_1/kernel"] + p["dense_1/bias"]


def perceptron(p, x):
    return relu(logreg(p, x)) @ p["dense_2/kernel"] + p["dense_2/bias"]


def cnn(p, x):
    for first in (1, 3):
        for i in (first, first + 1):
            x = relu(convolved(x, p["conv_%d/kernel" % i]) + p["conv_%d/bias" % i])
        x = pooled(x)
    return perceptron(p, x)


def cnn_small(p, x):
    for i in (1, 2):
        x = pooled(relu(convolved(x, p["conv_%d/kernel" % i], padding="valid") + p["conv_%d/bias" % i]))
    return perceptron(p, x)


def resnet20(p, x):
    def layer(x, i, stride):
        name = "norm_%d/" % i
        centred = convolved(x, p["conv_%d/kernel" % i], stride) - p[name + "moving_mean"]
        return centred / np.sqrt(p[name + "moving_variance"] + 1e-5) * p[name + "gamma"] + p[name + "beta"]

    x = relu(layer(x, 1, 1))
    for i in range(2, 20, 2):
        stride = 2 if i in (8, 14) else 1
        inner = layer(relu(layer(x, i, stride)), i + 1, 1)
        shortcut = x[:, ::stride, ::stride]
        missing = inner.shape[-1] - shortcut.shape[-1]
        x = relu(inner + np.pad(shortcut, [(0, 0)] * 3 + [(0, missing)], "constant"))
    return logreg(p, x.mean(axis=(1, 2)))


@pytest.mark.parametrize(
    "name, forward, input_shape",
    [
        ("logreg", logreg, (5, 4, 3)),
        ("mlp", perceptron, (5, 4, 3)),
        ("cnn", cnn, (9, 8, 3)),
        ("cnn_small", cnn_small, (17, 16, 2)),
        ("resnet20", resnet20, (9, 8, 3)),
        ("resnet20", resnet20, (3, 1, 1)),
    ],
)
def test_the_model_is_the_network_of_its_name(tensorflow, name, forward, input_shape):
    settings = settings_with(name=name)
    model, layout = build_keras_model(settings, input_shape, 7), layout_of_model(name, input_shape, 7)
    vector = rng.start_values(layout, 5)
    bits = rng.stream(6, rng.START)
    for part, tensor in zip(layout.slices(), layout.tensors):  # nothing stays at the zero and one where it starts
        if len(tensor.shape) == 1:
            vector[part] += np.float32(0.3) * rng.uniform(tensor.size, bits)
    images = rng.uniform(2 * int(np.prod(input_shape)), bits).reshape((2,) + input_shape)
    set_vector(model, vector, layout)
    named = {tensor.name: array.astype(np.float64) for tensor, array in zip(layout.tensors, unflatten(vector, layout))}
    expected = forward(named, images.astype(np.float64))
    logits = model(tensorflow.constant(images), training=False).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(logits, expected, atol=2e-5 * max(1, np.abs(expected).max()))


def test_a_forward_pass_in_training_changes_the_statistics_and_nothing_else(tensorflow):
    settings = settings_with(name="resnet20")
    model, layout = build_keras_model(settings, (8, 8, 1), 10), layout_of_model("resnet20", (8, 8, 1), 10)
    before = rng.start_values(layout, 5)
    set_vector(model, before, layout)
    images = np.abs(rng.uniform(4 * 64, rng.stream(6, rng.START))).reshape(4, 8, 8, 1)

    model(tensorflow.constant(images), training=False)
    assert np.array_equal(vector_of(model, layout), before)

    model(tensorflow.constant(images), training=True)
    after = vector_of(model, layout)
    assert np.array_equal(after[: layout.n_trained], before[: layout.n_trained])
    parts = [part for part, tensor in zip(layout.slices(), layout.tensors) if tensor.name.endswith("moving_mean")]
    assert all((after[part] != before[part]).any() for part in parts)
    kernel = unflatten(before, layout)[0].astype(np.float64)
    mean = convolved(images.astype(np.float64), kernel).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(after[parts[0]], 0.1 * mean, atol=1e-6)  # 0.9 of the zero before, 0.1 of the batch's


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_gradients_reach_every_trained_variable(tensorflow, name):
    settings = settings_with(name=name)
    model, layout = build_keras_model(settings, (8, 8, 1), 10), layout_of_model(name, (8, 8, 1), 10)
    set_vector(model, rng.start_values(layout, 5), layout)
    images = rng.uniform(8 * 64, rng.stream(6, rng.START)).reshape(8, 8, 8, 1)
    with tensorflow.GradientTape() as tape:
        loss = tensorflow.reduce_sum(
            tensorflow.square(model(tensorflow.constant(images), training=True) - np.arange(10, dtype=np.float32))
        )
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.abs(gradient.numpy()).max() > 0 for gradient in gradients)
