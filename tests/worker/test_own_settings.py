"""The settings of a worker's owner, and their precedence."""

import json
import os

import pytest
from factory import settings_with

from flq.core.settings import JetsonOptimizationSettings, Settings
from flq.errors import ConfigError, DataError
from flq.worker.command_line import parse_flags
from flq.worker.own_settings import OwnFile, effective_settings, master_url, read_own_file

NOTHING = OwnFile()
SETTINGS = settings_with(gpu_memory_limit_mb=2000, telemetry_s=10.0)
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def own_file(tmp_path):
    """Return a function that writes a JSON value, or a text, to a file and returns its path."""

    def write(content):
        path = tmp_path / "own.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def effective(own=None, flags=(), settings=SETTINGS):
    args = parse_flags(["--worker_id", "0", "--master_ip", "x"] + list(flags))
    return effective_settings(settings, own or NOTHING, args)


# -- the file ----------------------------------------------------------------------------


def test_without_a_file_there_are_no_settings():
    assert read_own_file(None) == NOTHING


def test_the_three_things_are_taken_and_the_rest_of_a_masters_configuration_is_not(own_file):
    own = read_own_file(
        own_file(
            {
                "system": {"master_url": "http://m:5000", "seed": "anything"},
                "dataset": {"name": 5, "data_dir": "d"},
                "jetson_optimization": {"gpu_memory_limit_mb": 1024, "prefetch_size": 0},
                "model": {"lr": -1},
                "unheard": [],
            }
        )
    )
    assert own == OwnFile({"gpu_memory_limit_mb": 1024, "prefetch_size": 0}, "d", "http://m:5000")


def test_a_flat_file_has_the_same_settings(own_file):
    own = read_own_file(
        own_file(
            {
                "master_url": "http://m:5000",
                "data_dir": "d",
                "enable_mixed_precision": True,
                "dataset": "fmnist",
                "model": "cnn",
                "num_parallel_calls": 4.0,
                "batch_size": 16,
            }
        )
    )
    assert own == OwnFile({"enable_mixed_precision": True, "num_parallel_calls": 4}, "d", "http://m:5000")
    assert isinstance(own.device["num_parallel_calls"], int)


def test_the_masters_own_configuration_can_be_given_to_a_worker():
    own = read_own_file(os.path.join(REPOSITORY, "flq_config.json"))
    assert own == OwnFile(Settings().jetson_optimization._asdict())


@pytest.mark.parametrize(
    "content, sentence",
    [
        ("{", "is not JSON"),
        ("[" * 100000, "is not JSON"),
        ("\ufffd", "is not JSON"),
        ("[1]", "must hold one JSON object"),
        ({"jetson_optimization": 5}, "section jetson_optimization must be an object of keys"),
        ({"jetson_optimization": "fast"}, "section jetson_optimization must be an object of keys"),
        ({"system": []}, "section system must be an object of keys"),
        (
            {"jetson_optimization": {"gpu_memory_limit": 5}},
            "unknown key 'gpu_memory_limit' in section jetson_optimization, "
            "expected one of cuda_cache_mb, enable_mixed",
        ),
        (
            {"jetson_optimization": {"gpu_memory_limit_mb": "1024"}},
            "jetson_optimization.gpu_memory_limit_mb must be a whole number in 1..1000000 or null, got '1024'",
        ),
        ({"gpu_memory_limit_mb": 0}, "must be a whole number in 1..1000000 or null, got 0"),
        ({"gpu_memory_limit_mb": True}, "must be a whole number"),
        ({"prefetch_size": 1.5}, "must be a whole number"),
        ({"prefetch_size": None}, "must be a whole number"),
        ({"enable_mixed_precision": 1}, "must be true or false, got 1"),
        ({"data_dir": 5}, "dataset.data_dir must be a text or null, got 5"),
        ({"master_url": {}}, "must be a text or null"),
        ({"data_dir": "a", "dataset": {"data_dir": "b"}}, "dataset.data_dir is given twice; keep one"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_invalid_file_is_one_sentence_with_its_name(own_file, content, sentence):
    path = own_file(content)
    with pytest.raises(ConfigError) as caught:
        read_own_file(path)
    assert sentence in str(caught.value) and path in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    for path in str(tmp_path / "missing.json"), str(tmp_path):
        with pytest.raises(ConfigError, match="the worker's file .* cannot be read: "):
            read_own_file(path)


def test_bytes_that_are_no_text_are_one_sentence(tmp_path):
    (tmp_path / "own.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not JSON"):
        read_own_file(str(tmp_path / "own.json"))


# -- where the master is -----------------------------------------------------------------


def url_of(flags, url=None):
    return master_url(parse_flags(["--worker_id", "0"] + flags), OwnFile(master_url=url))


@pytest.mark.parametrize(
    "flags, url, expected",
    [
        (["--master_ip", "10.0.0.1"], None, "http://10.0.0.1:5000"),
        (["--master_ip", "fe80::1", "--port", "7"], None, "http://[fe80::1]:7"),
        (["--master_ip", "[::1]"], None, "http://[::1]:5000"),
        (["--master_ip", "[fe80::1%eth0]"], None, "http://[fe80::1%25eth0]:5000"),
        (["--master_ip", "fe80::1%25", "--tls"], None, "https://[fe80::1%2525]:5000"),
        ([], "http://[fe80::1%eth0]:6000", "http://[fe80::1%25eth0]:6000"),
        ([], "http://[fe80::1%25Eth0]:6000/", "http://[fe80::1%25Eth0]:6000"),
        (["--master_ip", "board"], "http://other:6000", "http://board:5000"),
        ([], "http://other:6000", "http://other:6000"),
        ([], "http://other:6000/", "http://other:6000"),
        ([], "https://[::1]:6000", "https://[::1]:6000"),
    ],
)
def test_the_command_line_comes_before_the_file(flags, url, expected):
    assert url_of(flags, url) == expected


def test_without_either_the_missing_one_is_named():
    with pytest.raises(ConfigError, match="use --master_ip, or system.master_url in a --config file"):
        url_of([])


@pytest.mark.parametrize(
    "url",
    [
        "other",
        "other:6000",
        "http://other",
        "http://:6000",
        "ftp://other:6000",
        "",
        "http://other:many",
        "http://other:70000",
        "http://other:6000/path",
        "http://a b:6000",
        "http://other:6000?q",
        "http://user:word@other:6000",
        "http://[::1:6000",
        "http://[::x]:6000",
        "http://[fe80::1%]:6000",
        "http://::1:6000",
    ],
)
def test_an_invalid_url_is_one_sentence(url):
    with pytest.raises(ConfigError, match="system.master_url must be http://host:port, got "):
        url_of([], url)


# -- precedence --------------------------------------------------------------------------


def test_without_own_settings_the_masters_apply():
    assert effective() == SETTINGS


def test_the_command_line_the_file_and_the_master_in_this_order(monkeypatch):
    master = settings_with(data_dir="/master")
    own = OwnFile(data_dir="/file")

    def data_dir(own=None, flags=()):
        return effective(own, flags, master).dataset.data_dir

    monkeypatch.setenv("FLQ_DATA_DIR", "/environment")
    assert data_dir(own, ["--data_dir", "/flag"]) == "/flag"
    assert data_dir(own) == "/file"
    assert data_dir(own._replace(data_dir=None)) == data_dir() == "/master"


def test_without_a_folder_the_environment_is_left_to_the_data_layer(monkeypatch):
    monkeypatch.setenv("FLQ_DATA_DIR", "/environment")
    assert effective().dataset.data_dir is None


@pytest.mark.parametrize("kind", ["npz", "csv", "images"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../up.npz", "a/../../up", "a/..", "~/mine", "..\\up"])
def test_a_file_outside_of_the_workers_own_folder_is_refused(kind, path):
    settings = settings_with(dataset=kind + ":" + path)
    for own, flags in ((None, ["--data_dir", "/own"]), (OwnFile(data_dir="/own"), [])):
        with pytest.raises(DataError, match="the master asks for the data set .*, but this worker's data are in /own"):
            effective(own, flags, settings=settings)
    assert effective(settings=settings).dataset.name == kind + ":" + path  # no own folder: as the master says


@pytest.mark.parametrize("name", ["npz:a/b.npz", "csv:..a.csv", "images:.", "mnist"])
def test_a_file_in_the_workers_own_folder_is_not(name):
    settings = settings_with(dataset=name)
    assert effective(None, ["--data_dir", "/own"], settings=settings).dataset.name == name


def test_a_relative_folder_is_that_of_the_worker():
    assert effective(None, ["--data_dir", "here"]).dataset.data_dir == os.path.abspath("here")


def test_device_settings_are_the_command_lines_then_the_files_then_the_masters():
    own = OwnFile({"gpu_memory_limit_mb": 512, "prefetch_size": 0})

    def device(*args):
        return effective(*args).jetson_optimization

    assert device(own, ["--gpu_memory_limit_mb", "256"]) == JetsonOptimizationSettings(
        gpu_memory_limit_mb=256,
        enable_mixed_precision=False,
        prefetch_size=0,
        num_parallel_calls=2,
        cuda_cache_mb=None,
        telemetry_s=10.0,
    )
    assert device(own).gpu_memory_limit_mb == 512
    assert device(None).gpu_memory_limit_mb == 2000
    # null in the file is an answer: memory that grows.
    assert device(OwnFile({"gpu_memory_limit_mb": None})).gpu_memory_limit_mb is None


def test_nothing_else_of_the_run_is_the_workers_to_say():
    own = OwnFile({"prefetch_size": 7}, "/own")
    changed = effective(own, ["--gpu_memory_limit_mb", "256"])
    assert changed == SETTINGS._replace(
        dataset=SETTINGS.dataset._replace(data_dir="/own"),
        jetson_optimization=SETTINGS.jetson_optimization._replace(prefetch_size=7, gpu_memory_limit_mb=256),
    )


# -- whose code runs here ----------------------------------------------------------------


def test_a_model_that_the_command_line_names_may_run_here():
    settings = settings_with(name="shop.models:tiny")
    assert effective(None, ["--model", "shop.models:tiny"], settings=settings).model.name == "shop.models:tiny"


@pytest.mark.parametrize("flags", [[], ["--model", "shop.models:other"], ["--model", "mlp"]])
def test_a_model_that_only_the_master_names_is_rejected_with_a_fix(flags):
    with pytest.raises(DataError, match="shop.models:tiny.*--model shop.models:tiny"):
        effective(None, flags, settings=settings_with(name="shop.models:tiny"))


def test_naming_a_model_of_ones_own_leaves_the_others_allowed():
    assert effective(None, ["--model", "shop.models:tiny"]) == SETTINGS
