"""Device settings: requested, granted and reported, with a stand-in for TensorFlow."""

import os
import sys
from functools import partial

import pytest
from factory import settings_with
from trees import NANO, ORIN_NANO, PC, memory, plant

from flq.errors import DataError
from flq.training import keras_setup
from flq.training.keras_config import DEFAULTS, compute_policy
from flq.training.keras_memory import is_out_of_memory
from flq.training.keras_setup import set_up_tensorflow


class LogicalDeviceConfiguration:
    """Like tf.config's: holds the limit."""

    def __init__(self, memory_limit):
        self.memory_limit = memory_limit


class Config:
    """Like tf.config: records the calls; ``refuses`` is raised by any change of a GPU."""

    LogicalDeviceConfiguration = LogicalDeviceConfiguration

    def __init__(self, capabilities, refuses=None):
        self.calls = []
        self._capabilities = capabilities
        self._refuses = refuses
        self.experimental = self.threading = self

    def list_physical_devices(self, kind):
        assert kind == "GPU"
        return ["gpu%d" % i for i in range(len(self._capabilities))]

    def get_device_details(self, gpu):
        capability = self._capabilities[int(gpu[3:])]
        return {} if capability is None else {"compute_capability": capability}

    def set_memory_growth(self, gpu, enable):
        self._note("growth", gpu, enable)

    def set_visible_devices(self, gpus, kind):
        self._note("visible", tuple(gpus), kind)

    def set_logical_device_configuration(self, gpu, parts):
        self._note("limit", gpu, [part.memory_limit for part in parts])

    def get_logical_device_configuration(self, gpu):
        return [
            LogicalDeviceConfiguration(limits[0])
            for kind, name, limits in self.calls[:2]
            if (kind, name) == ("limit", gpu)
        ]

    def set_intra_op_parallelism_threads(self, n_threads):
        self.calls.append(("intra", n_threads))

    def set_inter_op_parallelism_threads(self, n_threads):
        self.calls.append(("inter", n_threads))

    def enable_op_determinism(self):
        self.calls.append(("determinism",))

    def _note(self, *call):
        if self._refuses:
            raise self._refuses
        self.calls.append(call)


class Policies:
    """Like tf.keras.mixed_precision: records the policy."""

    def __init__(self):
        self.names = ["the user's"]

    def global_policy(self):
        return self.names[-1]

    def set_global_policy(self, name):
        self.names.append(name)


class Backend:
    """As tf.keras.backend, with other settings than Keras has by default."""

    def __init__(self, name="tensorflow", floatx="float32", epsilon=1e-7, image_data_format="channels_last"):
        self.values = dict(floatx=floatx, epsilon=epsilon, image_data_format=image_data_format)
        self.backend = lambda: name
        for key in self.values:
            setattr(self, key, partial(self.values.get, key))
            setattr(self, "set_" + key, partial(self.values.__setitem__, key))


class StandIn:
    """Like the module tensorflow, with GPUs of these compute capabilities."""

    def __init__(self, *capabilities, refuses=None):
        self.config = Config(capabilities, refuses)
        self.keras = self
        self.mixed_precision, self.backend = Policies(), Backend()


@pytest.fixture
def set_up(monkeypatch):
    """Return a function (stand-in, settings) -> Device."""

    def call(tensorflow, **changes):
        monkeypatch.setattr(keras_setup, "import_tensorflow", lambda: tensorflow)
        return set_up_tensorflow(settings_with(**changes))

    return call


REPRODUCIBLE = [("intra", 1), ("inter", 1), ("determinism",)]


def test_without_a_gpu_no_device_is_touched(set_up):
    tensorflow = StandIn()
    device = set_up(tensorflow)
    assert (device.n_gpus, device.mixed) == (0, False)
    assert device.notes == ["TensorFlow sees no GPU here and computes on the CPU"]
    assert tensorflow.config.calls == REPRODUCIBLE


def test_settings_of_gpus_are_reported_as_without_effect_on_the_cpu(set_up):
    device = set_up(StandIn(), gpu_memory_limit_mb=1024, enable_mixed_precision=True)
    assert not device.mixed
    assert device.notes[1:] == [
        "gpu memory limit: requested 1024 MB, ignored without a GPU",
        "mixed precision: requested, but off: it is slower on the CPU",
    ]


def test_a_limit_is_one_logical_device_on_gpu_0_and_no_growth(set_up):
    tensorflow = StandIn((5, 3))
    device = set_up(tensorflow, gpu_memory_limit_mb=1024)
    assert tensorflow.config.calls == [("limit", "gpu0", [1024])] + REPRODUCIBLE
    assert device.n_gpus == 1
    assert device.notes[0].startswith("gpu memory limit: requested 1024 MB, set to 1024 MB on GPU 0 of 1")


def test_a_limit_leaves_the_other_gpus_alone(set_up):
    tensorflow = StandIn((8, 7), (8, 7))
    set_up(tensorflow, gpu_memory_limit_mb=512)
    assert tensorflow.config.calls[:2] == [("visible", ("gpu0",), "GPU"), ("limit", "gpu0", [512])]


def test_no_limit_is_growth_on_all_gpus(set_up):
    tensorflow = StandIn((8, 7), (8, 7))
    device = set_up(tensorflow)
    assert tensorflow.config.calls == [("growth", "gpu0", True), ("growth", "gpu1", True)] + REPRODUCIBLE
    assert device.notes == ["gpu memory: grows on demand, on 2 GPU"]


@pytest.mark.parametrize(
    "capabilities, is_old, changes, words",
    [
        ((), False, {}, "is reproducible bit for bit: TensorFlow's operations"),
        (((5, 3),), False, {}, "is reproducible bit for bit: TensorFlow's operations"),
        ((), True, {}, "is reproducible bit for bit: on the CPU"),
        ((), True, {"threads": 2}, "may not be reproducible bit for bit: before TensorFlow 2.8"),
        (((5, 3),), True, {}, "may not be reproducible bit for bit: on a GPU"),
        ((), False, {"deterministic": False}, "may not be reproducible bit for bit: system.deterministic is off"),
    ],
)
def test_whether_training_is_reproducible_is_reported_with_the_reason(
    set_up, monkeypatch, capabilities, is_old, changes, words
):
    if is_old:
        monkeypatch.delattr(Config, "enable_op_determinism")
        monkeypatch.setenv("TF_DETERMINISTIC_OPS", "")  # it is set, and put back after the test
    assert words in set_up(StandIn(*capabilities), **changes).repeats


def test_devices_are_set_up_without_deterministic_as_well(set_up):
    tensorflow = StandIn((8, 7))
    set_up(tensorflow, gpu_memory_limit_mb=512, deterministic=False)
    assert tensorflow.config.calls == [("limit", "gpu0", [512])]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Virtual devices cannot be modified after being initialized"),
        ValueError("Cannot set memory growth on device when virtual devices configured\nmore"),
    ],
)
@pytest.mark.parametrize("limit_mb, asked", [(256, "asks for a limit of 256 MB"), (None, "lets it grow")])
def test_a_tensorflow_that_runs_already_is_one_sentence(set_up, error, limit_mb, asked):
    with pytest.raises(DataError, match="already configured its GPU memory in this process") as caught:
        set_up(StandIn((8, 7), refuses=error), gpu_memory_limit_mb=limit_mb)
    assert asked in str(caught.value) and str(error).split("\n")[0] in str(caught.value)
    assert "\n" not in str(caught.value) and "build the first trainer before" in caught.value.hint


@pytest.mark.parametrize(
    "capabilities, is_granted, word",
    [
        ([(7, 0)], True, "on, float16"),
        ([(8, 7), (9, 0)], True, "on, float16"),
        ([(5, 3)], False, "compute capability 5.3, it needs 7.0"),
        ([(8, 7), (6, 1)], False, "capability 6.1"),
        ([None], False, "capability 0.0"),
    ],
)
def test_mixed_precision_is_granted_from_compute_capability_7_on(set_up, capabilities, is_granted, word):
    device = set_up(StandIn(*capabilities), enable_mixed_precision=True)
    assert device.mixed is is_granted
    assert word in device.notes[-1]
    assert not set_up(StandIn(*capabilities)).mixed


def test_the_policy_of_keras_is_mixed_only_while_a_model_is_built():
    keras = StandIn().keras
    with compute_policy(keras, mixed=True, is_own=True):
        assert keras.mixed_precision.names == ["the user's", "mixed_float16"]
    assert keras.mixed_precision.names[2:] == ["the user's"]
    with pytest.raises(KeyError), compute_policy(keras, mixed=True):
        raise KeyError("a model that cannot be built")
    assert keras.mixed_precision.names[-1] == "the user's"


def test_without_mixed_precision_the_policy_of_the_users_own_model_stays_the_users():
    keras = StandIn().keras
    with compute_policy(keras, mixed=False, is_own=True):
        pass
    assert keras.mixed_precision.names == ["the user's"]


def test_a_built_in_model_is_built_with_the_defaults_of_keras():
    keras, users = StandIn().keras, dict(floatx="float16", epsilon=0.1, image_data_format="channels_first")
    keras.backend.values.update(users)
    with compute_policy(keras, mixed=False):
        assert keras.backend.values == DEFAULTS
        assert keras.mixed_precision.names[-1] == "float32"
    assert keras.backend.values == users
    assert keras.mixed_precision.names[-1] == "the user's"


def test_what_the_users_settings_say_is_overridden_and_named(set_up):
    tensorflow = StandIn()
    tensorflow.backend.values["image_data_format"] = "channels_first"
    note = "Keras: image_data_format channels_first of the user's settings is overridden by channels_last"
    assert note in set_up(tensorflow).notes
    assert tensorflow.backend.values == DEFAULTS
    assert note not in set_up(tensorflow).notes


def test_keras_on_another_backend_is_refused(set_up):
    tensorflow = StandIn()
    tensorflow.backend = Backend("torch")
    with pytest.raises(DataError, match="Keras already runs on torch in this process.*KERAS_BACKEND=tensorflow"):
        set_up(tensorflow)


def test_the_cuda_cache_is_sized_in_bytes_before_tensorflow_is_imported(monkeypatch):
    for name in "CUDA_CACHE_MAXSIZE", "CUDA_CACHE_DISABLE":
        monkeypatch.setenv(name, "of the user")
    seen = []

    def import_tensorflow():
        seen.append((os.environ["CUDA_CACHE_MAXSIZE"], os.environ["CUDA_CACHE_DISABLE"]))
        return StandIn()

    monkeypatch.setattr(keras_setup, "import_tensorflow", import_tensorflow)
    assert "cuda cache: 256 MB" not in set_up_tensorflow(settings_with()).notes
    assert "cuda cache: 256 MB" in set_up_tensorflow(settings_with(cuda_cache_mb=256)).notes
    assert seen == [("of the user", "of the user"), ("268435456", "0")]


@pytest.fixture
def on_board(monkeypatch, tmp_path):
    """Return a function that makes this machine look like a board with free memory in MB; None = unknown."""

    def be(files, free_mb=3000):
        said = memory(4 << 20, free_mb << 10) if free_mb is not None else {"/proc/meminfo": "MemAvailable: x kB\n"}
        monkeypatch.setenv("FLQ_SYSFS_ROOT", plant(tmp_path / "root", files, said))

    return be


def test_a_nano_has_a_default_limit(set_up, on_board):
    on_board(NANO)
    tensorflow = StandIn((5, 3))
    device = set_up(tensorflow)
    assert tensorflow.config.calls[0] == ("limit", "gpu0", [1024])
    assert device.notes == [
        "gpu memory limit: requested 1024 MB, set to 1024 MB on GPU 0 of 1; it shares the main "
        "memory, of which 3000 MB were free"
    ]


def test_the_owner_of_a_nano_overrides_its_limit(set_up, on_board):
    on_board(NANO)
    tensorflow = StandIn((5, 3))
    set_up(tensorflow, gpu_memory_limit_mb=512)
    assert tensorflow.config.calls[0] == ("limit", "gpu0", [512])


@pytest.mark.parametrize("files, capability", [(ORIN_NANO, (8, 7)), (PC, (8, 6))])
def test_elsewhere_memory_grows(set_up, on_board, files, capability):
    on_board(files)
    tensorflow = StandIn(capability)
    set_up(tensorflow)
    assert tensorflow.config.calls[0] == ("growth", "gpu0", True)


def test_a_limit_beyond_the_free_memory_is_reported_with_a_fix(set_up, on_board):
    on_board(NANO, free_mb=700)
    notes = set_up(StandIn((5, 3))).notes
    assert notes[0].endswith("of which 700 MB were free") and "multi-user.target" in notes[1]


@pytest.mark.parametrize("files, free_mb", [(NANO, None), (PC, 3000)])
def test_free_memory_is_reported_if_known_and_shared(set_up, on_board, files, free_mb):
    on_board(files, free_mb)
    assert set_up(StandIn((8, 6)), gpu_memory_limit_mb=256).notes == [
        "gpu memory limit: requested 256 MB, set to 256 MB on GPU 0 of 1"
    ]


class Errors:
    """Like tf.errors."""

    class ResourceExhaustedError(Exception):
        """Like TensorFlow's."""

    class InternalError(Exception):
        """Like TensorFlow's."""

    class UnknownError(Exception):
        """Like TensorFlow's."""


@pytest.mark.parametrize(
    "error, expected",
    [
        (MemoryError(), True),
        (Errors.ResourceExhaustedError("OOM when allocating tensor with shape[64,32]"), True),
        (Errors.InternalError("failed to allocate 1.2G: CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True),
        (Errors.UnknownError("CUDNN_STATUS_ALLOC_FAILED"), True),
        (Errors.InternalError("Blas GEMM launch failed"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_distinguished_from_other_failures(error, expected):
    assert is_out_of_memory(Errors, error) is expected


@pytest.mark.tf
def test_the_real_tensorflow_reports_its_device():
    pytest.importorskip("tensorflow")
    first, again = set_up_tensorflow(settings_with()), set_up_tensorflow(settings_with())
    assert first == again
    assert ("TensorFlow sees no GPU here" in first.notes[0]) == (first.n_gpus == 0)


def test_an_environment_whose_path_tensorflow_cannot_read_is_named(monkeypatch):
    monkeypatch.setattr(sys, "prefix", "/home/ada/\udce4/.venv")
    with pytest.raises(DataError, match="TensorFlow cannot be loaded from .*: it takes only paths in UTF-8"):
        keras_setup.import_tensorflow()
