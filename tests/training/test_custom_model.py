"""A user's own model: its name, its code, its place in training and evaluation."""

import importlib
import sys

import numpy as np
import pytest
from factory import settings_with

from flq.core import rng
from flq.core.layout import unflatten
from flq.errors import DataError
from flq.training.custom_model import build_custom_model, load_model_function, parse_model_name, require_allowed
from flq.training.frameworks import build_trainer, make_task
from flq.training.keras_models import build_keras_model
from flq.training.keras_setup import set_up_tensorflow
from flq.training.keras_weights import layout_of, seed_random_layers, vector_of

MODELS = '''
import tensorflow as tf
from tensorflow import keras

layers = keras.layers


def whole(input_shape, n_classes):
    """Batch normalisation, dropout, a frozen part with random values, a nested model."""
    frozen = keras.Sequential([keras.Input(input_shape), layers.Conv2D(3, 3), layers.BatchNormalization()], name="eyes")
    frozen.trainable = False
    inner_inputs = keras.Input((12,))
    inner = keras.Model(inner_inputs, layers.BatchNormalization()(layers.Dense(6)(inner_inputs)), name="inner")
    inputs = keras.Input(input_shape)
    x = layers.Dense(12, activation="relu")(layers.Flatten()(frozen(inputs)))
    x = inner(layers.Dropout(0.5)(x))
    model = keras.Model(inputs, layers.Dense(n_classes)(x))
    model.compile("adam", "mse")
    return model


class Small(keras.Model):
    def __init__(self, n_classes):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(n_classes)

    def call(self, x):
        return self.dense(self.flatten(x))


def of_class(input_shape, n_classes):
    return Small(n_classes)


def stack(input_shape, *parts):
    return keras.Sequential([keras.Input(input_shape), layers.Flatten()] + list(parts))


def ratios(input_shape, n_classes):
    x = stack(input_shape, layers.Dense(n_classes, activation="relu"), layers.Lambda(lambda x: x + 1.0))
    return keras.Sequential([x, layers.Lambda(lambda x: x / tf.reduce_sum(x, axis=1, keepdims=True))])


def raises(input_shape, n_classes):
    raise KeyError("weights.h5\\nis away")


def nothing(input_shape, n_classes):
    pass


def a_layer(input_shape, n_classes):
    return layers.Dense(n_classes)


def no_arguments():
    return stack((8, 8, 1), layers.Dense(10))


def for_28x28(input_shape, n_classes):
    return stack((28, 28, 1), layers.Dense(n_classes))


def of_class_for_7_features(input_shape, n_classes):
    model = Small(n_classes)
    model(tf.zeros((1, 7, 7, 1)))
    return model


def one_output(input_shape, n_classes):
    return stack(input_shape, layers.Dense(1))


def an_image(input_shape, n_classes):
    return keras.Sequential([keras.Input(input_shape), layers.Conv2D(n_classes, 3)])


def two_outputs(input_shape, n_classes):
    inputs = keras.Input(input_shape)
    x = layers.Flatten()(inputs)
    return keras.Model(inputs, [layers.Dense(n_classes)(x), layers.Dense(n_classes)(x)])


def all_frozen(input_shape, n_classes):
    model = stack(input_shape, layers.Dense(n_classes))
    model.trainable = False
    return model


NOT_A_FUNCTION = 3
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that writes a module of the importable package ``shop``."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source, name="models"):
        (folder / (name + ".py")).write_text(source)
        importlib.invalidate_caches()

    yield write
    for module in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[module]


@pytest.fixture
def shop(package):
    """TensorFlow, set up, and the module shop.models."""
    module = pytest.importorskip("tensorflow")
    set_up_tensorflow(settings_with())
    package(MODELS)
    return module


# names and code, without TensorFlow


def test_a_name_is_a_module_and_a_function():
    assert parse_model_name("models:small") == ("models", "small")
    assert parse_model_name("a.b.c:d_1") == ("a.b.c", "d_1")


@pytest.mark.parametrize(
    "name",
    [
        "models",
        "models.small",
        ":small",
        "models:",
        "a:b:c",
        "a.b:c.d",
        "a..b:c",
        ".a:b",
        "a/b:c",
        "a:b()",
        "a b:c",
        "npz:x.npz",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(DataError, match="must be named as package.module:function"):
        parse_model_name(name)


def test_only_the_model_that_the_owner_named_is_allowed():
    assert require_allowed("shop.models:small", "shop.models:small") is None
    with pytest.raises(
        DataError, match="asks for model shop.models:small.*allowed is shop.models:large.*--model shop.models:small"
    ):
        require_allowed("shop.models:small", "shop.models:large")
    with pytest.raises(DataError, match="allowed is none"):
        require_allowed("shop.models:small", None)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "os.path:join",
        "builtins:exec",
        "sys:exit",
        "json:dumps",
        "__main__:f",
        "importlib.util:find_spec",
        "math:sqrt",
    ],
)
def test_functions_of_python_itself_are_refused(name):
    with pytest.raises(DataError, match="belongs to Python itself"):
        load_model_function(name)


def test_installed_packages_are_not_python_itself():
    assert load_model_function("numpy:zeros") is np.zeros


def test_the_function_of_the_users_module_is_found(package):
    package("def small(input_shape, n_classes):\n    return input_shape, n_classes\n")
    assert load_model_function("shop.models:small")((8, 8, 1), 10) == ((8, 8, 1), 10)


@pytest.mark.parametrize(
    "name, missing",
    [
        ("shop.networks:small", "shop.networks"),
        ("shup.models:small", "shup"),
        ("shop.networks.deep:small", "shop.networks"),
    ],
)
def test_a_missing_module_is_reported(package, name, missing):
    with pytest.raises(DataError, match="there is no module %s .*PYTHONPATH" % missing):
        load_model_function(name)


@pytest.mark.parametrize(
    "source, reason",
    [
        ("import a_library_that_is_missing", "No module named 'a_library_that_is_missing'"),
        ("import shop.missing", "No module named 'shop.missing'"),
        ("from shop import missing", "cannot import name 'missing'"),
        ("1 / 0", "division by zero"),
        ("def f(:", "invalid syntax"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_a_module_that_cannot_be_imported_is_explained(package, source, reason):
    package(source)
    with pytest.raises(DataError, match="model shop.models:small: module shop.models cannot be imported: .*" + reason):
        load_model_function("shop.models:small")


def test_a_missing_function_is_reported(package):
    package("other = 1")
    for name in "small", "other":
        with pytest.raises(DataError, match="module shop.models has no function " + name):
            load_model_function("shop.models:" + name)


# models


@pytest.mark.tf
def test_a_users_model_is_built_and_begins_with_its_own_values(shop):
    settings = settings_with(name="shop.models:whole")
    task = make_task(settings)
    layout, start = task.layout, task.start()
    assert [tensor.name for tensor in layout.tensors] == [
        "dense_1/kernel",
        "dense_1/bias",
        "inner/dense_1/kernel",
        "inner/dense_1/bias",
        "inner/batch_normalization_1/gamma",
        "inner/batch_normalization_1/beta",
        "dense_2/kernel",
        "dense_2/bias",
        "inner/batch_normalization_1/moving_mean",
        "inner/batch_normalization_1/moving_variance",
    ]
    assert layout.n_statistics == 2
    assert layout.n_params == (108 * 12 + 12) + (12 * 6 + 6) + 4 * 6 + (6 * 10 + 10)
    named = dict(zip([tensor.name for tensor in layout.tensors], unflatten(start, layout)))
    assert np.all(named["inner/batch_normalization_1/moving_variance"] == 1)
    assert len(np.unique(named["dense_1/kernel"])) > 1000


@pytest.mark.tf
def test_values_depend_on_the_seed_alone_and_so_do_those_of_frozen_layers(shop):
    def frozen_kernel(seed):
        settings = settings_with(name="shop.models:whole", seed=seed)
        return build_keras_model(settings, (8, 8, 1), 10).get_layer("eyes").get_weights()[0]

    starts = [make_task(settings_with(name="shop.models:whole", seed=seed)).start() for seed in (1, 1, 2**63 - 1)]
    assert np.array_equal(starts[0], starts[1]) and not np.array_equal(starts[0], starts[2])
    assert np.array_equal(frozen_kernel(1), frozen_kernel(1))
    assert not np.array_equal(frozen_kernel(1), frozen_kernel(2))


@pytest.mark.tf
@pytest.mark.parametrize("update", ["delta", "gradient"])
def test_dropout_depends_on_seed_round_and_worker_alone(shop, update):
    keras = pytest.importorskip("tensorflow").keras
    if not keras.__version__.startswith("3"):
        pytest.skip("Keras %s draws dropout from generators that nobody can set" % keras.__version__)
    settings = settings_with(name="shop.models:whole", update=update, total_workers=4)
    start = make_task(settings).start()
    trainer, same = build_trainer(settings, 1), build_trainer(settings, 1)
    updates = [made.local_update(start, k).update for made, k in ((trainer, 1), (trainer, 2), (trainer, 1), (same, 1))]
    assert np.array_equal(updates[0], updates[2]) and np.array_equal(updates[0], updates[3])
    assert not np.array_equal(updates[0], updates[1])


@pytest.mark.tf
def test_random_layers_get_states_of_their_own(shop):
    keras = pytest.importorskip("tensorflow").keras
    if not keras.__version__.startswith("3"):
        pytest.skip("Keras %s has no such variables" % keras.__version__)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(2), keras.layers.GaussianNoise(0.1)]
    )
    seed_random_layers(model, rng.stream(1, rng.LAYERS, 1, 0))
    states = [variable.numpy().tolist() for variable in model.non_trainable_variables]
    assert sum(states, []) == (rng.stream(1, rng.LAYERS, 1, 0).random_raw(4) >> np.uint64(32)).tolist()


@pytest.mark.tf
def test_a_model_made_of_classes_is_built_by_running_it(shop):
    model = build_custom_model(settings_with(name="shop.models:of_class"), (4, 5, 3), 7)
    layout = layout_of(model)
    assert layout.to_json() == [["dense_1/kernel", [60, 7]], ["dense_1/bias", [7]]]
    assert vector_of(model, layout).shape == (427,)


@pytest.mark.tf
@pytest.mark.parametrize(
    "function, sentence",
    [
        (
            "ratios",
            "gives probabilities without a softmax at its end: .*expected logits .*logarithm of the probabilities",
        ),
        ("raises", r"raises\(\(8, 8, 1\), 10\) fails: KeyError: 'weights.h5"),
        ("nothing", "must return a tf.keras.Model, got builtins.NoneType"),
        ("a_layer", r"must return a tf.keras.Model, got .*\.Dense"),
        ("no_arguments", r"no_arguments\(\(8, 8, 1\), 10\) fails: no_arguments\(\) takes 0 positional arguments"),
        ("for_28x28", r"takes input of shape \(28, 28, 1\), expected \(8, 8, 1\)"),
        ("of_class_for_7_features", r"takes input of shape \(7, 7, 1\)|does not run on images of shape \(8, 8, 1\)"),
        ("one_output", r"must give one logit per class, shape \(batch, 10\), got \(2, 1\) for a batch of 2"),
        ("an_image", r"got \(2, 6, 6, 10\) for a batch of 2"),
        ("two_outputs", "got several outputs"),
        ("all_frozen", "nothing to train"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_in_one_sentence(shop, function, sentence):
    with pytest.raises(DataError, match=sentence) as refusal:
        build_custom_model(settings_with(name="shop.models:" + function), (8, 8, 1), 10)
    assert "\n" not in str(refusal.value)
