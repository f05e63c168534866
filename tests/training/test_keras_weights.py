"""The variables of a Keras model in its vector, and their names; these need TensorFlow."""

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training.keras_setup import set_up_tensorflow
from flq.training.keras_weights import layout_of, set_vector, vector_of, weights_of

pytestmark = pytest.mark.tf


@pytest.fixture(autouse=True)
def keras():
    """Keras, after TensorFlow is set up."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    return module.keras


def built(model, shape=(8, 8, 1)):
    model(np.zeros((2,) + shape, np.float32))
    return model


def names(model):
    return [tensor.name for tensor in layout_of(model).tensors]


def test_trained_variables_come_first_and_statistics_last(keras):
    layers = keras.layers
    model = built(keras.Sequential([layers.Flatten(), layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)]))
    layout = layout_of(model)
    assert layout.to_json() == [
        ["dense_1/kernel", [64, 3]],
        ["dense_1/bias", [3]],
        ["batch_normalization_1/gamma", [3]],
        ["batch_normalization_1/beta", [3]],
        ["dense_2/kernel", [3, 2]],
        ["dense_2/bias", [2]],
        ["batch_normalization_1/moving_mean", [3], "statistic"],
        ["batch_normalization_1/moving_variance", [3], "statistic"],
    ]
    weights = weights_of(model)
    assert [id(variable) for variable in weights[:6]] == [id(variable) for variable in model.trainable_variables]
    vector = np.arange(layout.n_params, dtype=np.float32)
    set_vector(model, vector, layout)
    assert np.array_equal(model.layers[2].moving_variance.numpy(), vector[-3:])
    assert np.array_equal(vector_of(model, layout), vector)


def test_a_second_model_in_the_process_has_the_same_names(keras):
    def make():
        return built(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3), keras.layers.Dense(2)]))

    first, second = make(), make()
    assert first.layers[1].name != second.layers[1].name  # Keras counts on
    assert layout_of(first) == layout_of(second)


def test_names_that_the_user_gave_stay(keras):
    layers = keras.layers
    model = built(keras.Sequential([layers.Flatten(), layers.Dense(3, name="conv_7"), layers.Dense(2, name="head")]))
    assert names(model) == ["conv_7/kernel", "conv_7/bias", "head/kernel", "head/bias"]


def test_nested_models_put_their_names_in_front(keras):
    layers = keras.layers
    inner_inputs = keras.Input((4,))
    inner = keras.Model(inner_inputs, layers.Dense(5)(layers.Dense(4)(inner_inputs)))
    named = keras.Sequential([layers.Dense(3), layers.BatchNormalization()], name="block")
    model = built(keras.Sequential([layers.Flatten(), layers.Dense(4), inner, named]))
    assert names(model)[:8] == [
        "dense_1/kernel",
        "dense_1/bias",
        "model_1/dense_1/kernel",
        "model_1/dense_1/bias",
        "model_1/dense_2/kernel",
        "model_1/dense_2/bias",
        "block/dense_1/kernel",
        "block/dense_1/bias",
    ]
    assert names(model)[-1] == "block/batch_normalization_1/moving_variance"


def test_layers_within_layers_are_found(keras):
    layers = keras.layers
    model = built(keras.Sequential([layers.Reshape((8, 8)), layers.Bidirectional(layers.LSTM(2)), layers.Dense(2)]))
    assert names(model) == [
        "bidirectional_1/lstm_%d/lstm_cell_1/%s" % (i, role)
        for i in (1, 2)
        for role in ("kernel", "recurrent_kernel", "bias")
    ] + ["dense_1/kernel", "dense_1/bias"]


def test_models_and_layers_made_of_classes_are_walked_too(keras):
    layers = keras.layers

    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense, self.norm = layers.Dense(3), layers.BatchNormalization()

        def call(self, x, training=None):
            return self.norm(self.dense(x), training=training)

    class Whole(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten, self.block, self.head = layers.Flatten(), Block(), layers.Dense(2)

        def call(self, x, training=None):
            return self.head(self.block(self.flatten(x), training=training))

    model = built(Whole())
    assert names(model)[:3] == ["block_1/dense_1/kernel", "block_1/dense_1/bias", "block_1/batch_normalization_1/gamma"]
    assert layout_of(model).n_statistics == 2
    assert "dense_1/kernel" in names(model)


def test_frozen_layers_are_constants_with_all_that_they_hold(keras):
    layers = keras.layers
    frozen = keras.Sequential([layers.Conv2D(2, 3), layers.BatchNormalization()], name="frozen")
    frozen.trainable = False
    model = built(keras.Sequential([frozen, layers.Flatten(), layers.Dense(2), layers.BatchNormalization()]))
    layout = layout_of(model)
    assert names(model) == [
        "dense_1/kernel",
        "dense_1/bias",
        "batch_normalization_1/gamma",
        "batch_normalization_1/beta",
        "batch_normalization_1/moving_mean",
        "batch_normalization_1/moving_variance",
    ]
    constants = [array.copy() for array in frozen.get_weights()]
    assert len(constants) == 6
    set_vector(model, np.full(layout.n_params, 7, np.float32), layout)
    assert all(np.array_equal(was, now) for was, now in zip(constants, frozen.get_weights()))


def test_a_frozen_layer_in_a_trained_model_is_left_out(keras):
    layers = keras.layers
    model = built(keras.Sequential([layers.Flatten(), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)]))
    model.layers[2].trainable = False
    assert names(model) == ["dense_1/kernel", "dense_1/bias", "dense_2/kernel", "dense_2/bias"]
    assert layout_of(model).n_statistics == 0


def test_a_layer_that_is_used_twice_is_listed_once(keras):
    inputs = keras.Input((8, 8, 1))
    shared = keras.layers.Dense(64)
    x = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, shared(shared(x)))
    assert names(model) == ["dense_1/kernel", "dense_1/bias"]


def test_dropout_metrics_and_counters_are_no_weights(keras):
    layers = keras.layers

    class Counting(layers.Layer):
        def build(self, input_shape):
            self.calls = self.add_weight(name="calls", shape=(), dtype="int64", initializer="zeros", trainable=False)
            super().build(input_shape)

        def call(self, x):
            return x

    model = keras.Sequential([layers.Flatten(), layers.Dropout(0.5, seed=1), Counting(), layers.Dense(2)])
    model.compile("adam", "mse", metrics=["accuracy"])
    model.train_on_batch(np.ones((4, 8, 8, 1), np.float32), np.ones((4, 2), np.float32))
    assert names(model) == ["dense_1/kernel", "dense_1/bias"]
    assert layout_of(model).n_statistics == 0


def test_two_variables_of_one_name_get_different_ones(keras):
    class Twice(keras.layers.Layer):
        def build(self, input_shape):
            self.both = [self.add_weight(name="v", shape=(2,), initializer="zeros") for _ in range(2)]
            super().build(input_shape)

        def call(self, x):
            return x + self.both[0] + self.both[1]

    model = built(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2), Twice()]))
    assert names(model)[2:] == ["twice_1/v", "twice_1/v_2"]


def test_float64_is_refused_by_name(keras):
    model = built(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, dtype="float64")]))
    with pytest.raises(DataError, match="must be float32, got float64 for dense_1/kernel"):
        layout_of(model)


def test_a_model_with_nothing_to_train_is_refused(keras):
    model = built(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)]))
    model.trainable = False
    with pytest.raises(DataError, match="nothing to train"):
        layout_of(model)
