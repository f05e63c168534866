"""Valid configurations, and the errors of invalid ones."""

import json
from pathlib import Path

import pytest

from flq.config import SECTIONS, allowed
from flq.config_docs import chinese_texts, main, markdown_table, write_pages
from flq.config_file import load_config
from flq.config_hash import config_hash
from flq.core.codecs import MODES
from flq.core.settings import Settings, to_json
from flq.core.strategies import AGGREGATORS, SERVER_OPTIMIZERS
from flq.errors import ConfigError

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write flq_config.json in an empty working folder; return its name."""
    monkeypatch.chdir(tmp_path)

    def write_file(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "flq_config.json").write_text(text, encoding="utf-8")
        return "flq_config.json"

    return write_file


def sentence(*overrides, path=None):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


# What is accepted


def test_without_a_file_every_setting_has_its_default():
    config = load_config(None)
    assert (config.system.total_workers, config.flq_algorithm.mode, config.model.name) == (4, "lowrank", "mlp")


def test_the_file_at_the_top_level_holds_every_key_with_its_default(pytestconfig):
    content = json.loads((pytestconfig.rootpath / "flq_config.json").read_text())
    assert content == to_json(Settings())
    assert load_config(str(pytestconfig.rootpath / "flq_config.json")) == load_config(None)


def test_the_documented_tables_are_those_of_the_model(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "configuration.md").read_text()
    is_current = page.endswith(markdown_table())
    assert is_current, "docs/configuration.md is out of date: run python -m flq.config_docs --write"


def test_the_chinese_tables_are_those_of_the_model(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "zh" / "configuration.md").read_text(encoding="utf-8")
    is_current = page.endswith(markdown_table(chinese_texts()))
    assert is_current, "docs/zh/configuration.md is out of date: run python -m flq.config_docs --write"


def test_the_tables_of_both_pages_are_replaced(pytestconfig, tmp_path):
    docs = pytestconfig.rootpath / "docs"
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh" / "configuration-texts.json").write_bytes((docs / "zh" / "configuration-texts.json").read_bytes())
    for name in ("configuration.md", "zh/configuration.md"):
        (tmp_path / name).write_text("# Title\n\nText.\n\n### system\n\nold\n\n### dataset\n\nold\n", encoding="utf-8")
    write_pages(tmp_path)
    for name, texts in (("configuration.md", None), ("zh/configuration.md", chinese_texts())):
        assert (tmp_path / name).read_text(encoding="utf-8") == "# Title\n\nText.\n\n" + markdown_table(texts)


def test_without_arguments_the_tables_are_printed_and_others_are_refused(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out == markdown_table()
    assert main(["--wirte"]) == 2
    assert capsys.readouterr().err == "usage: python -m flq.config_docs [--write]\n"


def test_a_text_without_translation_is_named():
    texts = dict(chinese_texts())
    del texts["Number of rounds of the run."]
    sentence = 'no translation of "Number of rounds of the run." .add it to docs/zh/configuration-texts.json'
    with pytest.raises(ConfigError, match=sentence):
        markdown_table(texts)


def test_no_translation_is_left_over():
    class Texts(dict):
        read = set()

        def __getitem__(self, text):
            self.read.add(text)
            return super().__getitem__(text)

    texts = Texts(chinese_texts())
    markdown_table(texts)
    unused = set(texts) - texts.read
    assert unused == set(), "remove these from docs/zh/configuration-texts.json"


def test_keys_are_unique_but_for_name():
    keys = [key for model in SECTIONS.values() for key in model.model_fields]
    assert {key for key in keys if keys.count(key) > 1} == {"name"}
    assert not set(keys) & set(SECTIONS)


def test_every_key_is_described_in_one_sentence():
    for model in SECTIONS.values():
        for key, field in model.model_fields.items():
            assert field.description[0].isupper() and field.description.endswith("."), key


def test_nested_and_flat_form_say_the_same_and_may_be_mixed(write):
    nested = {
        "system": {"total_workers": 2, "min_workers": 2, "max_rounds": 100},
        "dataset": {"name": "mnist", "batch_size": 16},
        "model": {"name": "cnn_small", "local_epochs": 1},
    }
    flat = {
        "total_workers": 2,
        "min_workers": 2,
        "max_rounds": 100,
        "dataset": "mnist",
        "batch_size": 16,
        "model": "cnn_small",
        "local_epochs": 1,
    }
    mixed = {"system": nested["system"], "dataset": "mnist", "batch_size": 16, "model": nested["model"]}
    expected = load_config(write(nested))
    assert expected.dataset == load_config(None).dataset._replace(name="mnist", batch_size=16)
    assert load_config(write(flat)) == expected
    assert load_config(write(mixed)) == expected


def test_settings_written_as_json_and_read_again_are_the_same(write):
    settings = load_config(None, ["b_down=8", "mode=bin", "seed=9223372036854775807", "data_dir=/d"])
    assert load_config(write(to_json(settings))) == settings


def test_an_override_wins_over_the_file_and_a_later_one_over_an_earlier(write):
    config = load_config(write({"model": {"lr": 0.1}}), ["model.lr=0.2", "lr=0.3"])
    assert config.model.lr == 0.3


@pytest.mark.parametrize(
    "override, value", [("mode=bin", "bin"), ('mode="bin"', "bin"), ("flq_algorithm.mode=bin", "bin")]
)
def test_a_value_that_is_not_json_is_text(override, value):
    assert load_config(None, [override]).flq_algorithm.mode == value


def test_a_text_may_hold_an_equals_sign():
    assert load_config(None, ["data_dir=/a=b"]).dataset.data_dir == "/a=b"


def test_a_whole_number_may_be_written_as_a_float():
    b_up = load_config(None, ["mode=bbit", "b_up=3.0"]).flq_algorithm.b_up
    assert b_up == 3 and type(b_up) is int


@pytest.mark.parametrize("bits", [1, 8, 32])
def test_b_up_may_be_up_to_eight_bits_or_float32_with_mode_laq(bits):
    assert load_config(None, ["b_up=%d" % bits, "mode=laq", "update=gradient"]).flq_algorithm.b_up == bits


@pytest.mark.parametrize("bits", [0, 1, 8, 32])
def test_b_down_may_be_a_float32_or_up_to_eight_bits(bits):
    assert load_config(None, ["b_down=%d" % bits]).flq_algorithm.b_down == bits


@pytest.mark.parametrize(
    "section, key, names",
    [
        ("model", "server_optimizer", list(SERVER_OPTIMIZERS)),
        ("flq_algorithm", "aggregator", ["auto", *AGGREGATORS]),
        ("flq_algorithm", "mode", list(MODES)),
    ],
)
def test_the_rows_of_a_table_are_the_names_in_the_settings(section, key, names):
    assert allowed(SECTIONS[section].model_fields[key])[0] == "one of " + ", ".join(names)


def test_options_of_a_strategy_are_an_object_of_numbers():
    assert load_config(None, ["aggregator_options={}"]).flq_algorithm.aggregator_options == {}
    assert "must be an object of numbers" in sentence("aggregator_options=0.1")
    assert "sgd has no option 'rate'" in sentence('server_options={"rate": "much"}')
    assert "mean has no option 'trim'" in sentence("mode=fedavg", 'aggregator_options={"trim": 0.1}')


def test_no_local_epochs_are_fine_when_there_are_local_steps():
    assert load_config(None, ["local_epochs=0", "local_steps=5"]).model.local_steps == 5


def test_a_file_may_begin_with_a_byte_order_mark(write):
    assert load_config(write('\ufeff{"lr": 0.5}')).model.lr == 0.5


def test_a_configuration_does_not_change_later():
    config = load_config(None)
    with pytest.raises(AttributeError):
        config.model.lr = 1.0
    assert config.model.lr == 0.1


# What is refused, and how it is said


def test_an_error_names_the_value_the_expectation_and_the_place(write):
    assert (
        sentence(path=write({"model": {"ema": 12}})) == "ema must be >= 0 and < 1, got 12 (flq_config.json: model.ema)"
    )
    assert sentence(path=write({"ema": 12})) == "ema must be >= 0 and < 1, got 12 (flq_config.json: ema)"
    assert sentence("model.ema=12") == "ema must be >= 0 and < 1, got 12 (--set model.ema)"


def test_of_several_errors_the_first_is_shown_and_the_others_are_counted():
    assert sentence("lr=0", "b_up=9", "ck=-1") == "lr must be > 0 and <= 1000000, got 0 (--set lr; and 2 more)"
    assert sentence("lrr=0", "bup=9").endswith("(--set lrr; and 1 more)")


@pytest.mark.parametrize(
    "override, expected",
    [
        ("total_workers=4097", "total_workers must be in 1..4096, got 4097"),
        ("total_workers=0", "total_workers must be in 1..4096, got 0"),
        ("b_up=3.5", "b_up must be one of 1, 2, 3, 4, 5, 6, 7, 8, 32 or null, got 3.5"),
        ('b_up="4"', 'b_up must be one of 1, 2, 3, 4, 5, 6, 7, 8, 32 or null, got "4"'),
        ("b_up=true", "b_up must be one of 1, 2, 3, 4, 5, 6, 7, 8, 32 or null, got true"),
        ("b_down=true", "b_down must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 32 or null, got true"),
        ("b_down=9", "b_down must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 32 or null, got 9"),
        ("lr=0", "lr must be > 0 and <= 1000000, got 0"),
        ('lr="0.1"', 'lr must be a number > 0 and <= 1000000, got "0.1"'),
        ("lr=NaN", "lr must be a number > 0 and <= 1000000, got NaN"),
        ("lr=1e999", "lr must be a number > 0 and <= 1000000, got Infinity"),
        ("lr=true", "lr must be a number > 0 and <= 1000000, got true"),
        ("lr=[1]", "lr must be a number > 0 and <= 1000000, got [1]"),
        ("lr={}", "lr must be a number > 0 and <= 1000000, got an object"),
        ("thr_scale=-1", "thr_scale must be in 0..1000000, got -1"),
        ("min_workers=0", "min_workers must be >= 1, got 0"),
        ("min_workers=all", 'min_workers must be a whole number >= 1 or null, got "all"'),
        ("dim=3", "dim must be in 4..1000000000, got 3"),
        ("dir_alpha=1e-7", "dir_alpha must be in 1e-06..1000000, got 1e-07"),
        ("scale_by_selected=2", "scale_by_selected must be true or false, got 2"),
        ("sel_ref=0", "sel_ref must be in 1..4096, got 0"),
        ("clip_global=-1", "clip_global must be in 0..1000000000, got -1"),
        ("seed=-1", "seed must be in 0..9223372036854775807, got -1"),
        ("deterministic=1", "deterministic must be true or false, got 1"),
        ("partition=dirichlet", 'partition must be one of iid, non_iid, shards, local, got "dirichlet"'),
        ("memory=ef", 'memory must be one of none, residual, flq, mirror or null, got "ef"'),
        (
            "input_shape=[28,28]",
            "input_shape must be a list [height, width, channels], such as [32,32,3] for a color picture, "
            "of whole numbers above 0 or null, got [28, 28]",
        ),
        (
            "input_shape=[28,28,0]",
            "input_shape must be a list [height, width, channels], such as [32,32,3] for a color picture, "
            "of whole numbers above 0 or null, got [28, 28, 0]",
        ),
        ("ema=1", "ema must be >= 0 and < 1, got 1"),
        ("data_dir=5", "data_dir must be a text of at least 1 character or null, got 5"),
        ("results_dir=a\udce4", 'results_dir must be UTF-8, as all settings: workers get them as text, got "a\\udce4"'),
        ('results_dir="a\\u0000"', 'results_dir must be a text without null characters, got "a\\u0000"'),
        ("results_dir=", 'results_dir must be a text of at least 1 character, got ""'),
    ],
)
def test_an_impossible_value_is_refused(override, expected):
    assert sentence(override) == "%s (--set %s)" % (expected, override.split("=")[0])


def test_a_number_too_long_for_any_float_is_refused_briefly():
    assert sentence("lr=1" + "0" * 400).startswith("lr must be a number > 0 and <= 1000000, got 1000")
    assert len(sentence("lr=1" + "0" * 400)) < 140


@pytest.mark.parametrize(
    "overrides, quorum",
    [
        ([], 4),
        (["total_workers=7"], 7),
        (["total_workers=2"], 2),
        (["min_workers=3", "total_workers=7"], 3),
        (["min_workers=3", "total_workers=7", "min_workers=null"], 7),
    ],
    ids=repr,
)
def test_the_quorum_is_all_workers_unless_it_is_given(write, overrides, quorum):
    for path in (None, str(PROJECT / "flq_config.json"), write({})):
        settings = load_config(path, overrides)
        assert settings.system.quorum == settings.system.min_workers == quorum
        written = load_config(path, overrides + ["min_workers=%d" % quorum])  # as older files do
        assert config_hash(to_json(written)) == config_hash(to_json(settings))


def test_a_quorum_larger_than_the_cohort_is_refused():
    assert sentence("min_workers=5") == "min_workers must be at most total_workers = 4, got 5 (--set min_workers)"


def test_a_round_without_any_training_is_refused():
    assert (
        sentence("local_epochs=0")
        == "local_steps must be > 0 when local_epochs is 0, got 0 (the default of model.local_steps)"
    )


@pytest.mark.parametrize("key", ["round_deadline_s", "offer_deadline_s", "lease_s", "linger_s", "give_up_s"])
def test_seconds_that_no_thread_can_wait_are_refused(key):
    assert getattr(load_config(None, [key + "=1e9"]).system, key) == 1e9
    assert "1000000000, got 1000000001" in sentence(key + "=1000000001")


@pytest.mark.parametrize(
    "key, highest",
    [
        ("threads", 1024),
        ("max_rounds", 10**9),
        ("batch_size", 10**6),
        ("dir_alpha", 10**6),
        ("lr", 10**6),
        ("l2", 10**6),
        ("local_epochs", 10**6),
        ("local_steps", 10**6),
        ("server_lr", 10**6),
        ("dim", 10**9),
        ("sel_ref", 4096),
        ("clip_global", 10**9),
        ("D", 10000),
        ("ck", 10**6),
        ("C", 10**9),
        ("warmup", 10**9),
        ("thr_scale", 10**6),
        ("sel_clients", 4096),
        ("up_budget_bits", 10**15),
        ("evaluation_backlog_mb", 10**6),
    ],
)
def test_every_number_has_a_largest_value(key, highest):
    load_config(None, ["%s=%d" % (key, highest)])
    assert "%d, got %d" % (highest, highest + 1) in sentence("%s=%d" % (key, highest + 1))


def test_offers_that_end_with_the_round_or_after_it_are_refused():
    assert (
        sentence("round_deadline_s=10", "offer_deadline_s=10")
        == "offer_deadline_s must be less than round_deadline_s = 10, got 10 (--set offer_deadline_s)"
    )
    assert "less than round_deadline_s = 10.5" in sentence("offer_deadline_s=11", "round_deadline_s=10.5")
    for overrides in (
        ["offer_deadline_s=10"],
        ["round_deadline_s=10"],
        ["round_deadline_s=10", "offer_deadline_s=9.5"],
    ):
        load_config(None, overrides)


@pytest.mark.parametrize("text, value", [("0", False), ("1", True), ("1.0", True), ("true", True), ("false", False)])
def test_scale_by_selected_may_be_written_as_in_flq_v3(text, value):
    assert load_config(None, ["scale_by_selected=" + text]).flq_algorithm.scale_by_selected is value


def test_an_impossible_combination_is_rejected():
    assert "memory must be none" in sentence("mode=fedavg", "memory=residual")
    assert "b_up must be in 1..8 in mode bbit, got 32" in sentence("mode=bbit", "b_up=32")
    assert "b_up must be null, got 4 (set flq_algorithm.mode to bbit" in sentence("b_up=4")
    assert "update must be gradient" in sentence("mode=laq")
    assert "scale_by_selected cannot be used with memory mirror" in sentence("scale_by_selected=1", "memory=mirror")


@pytest.mark.parametrize(
    "override, expected",
    [
        ("b_upp=4", 'unknown key "b_upp"; the nearest is b_up in section flq_algorithm'),
        ("d=3", 'unknown key "d"; the nearest is D in section lazy_selection'),
        ("model.nam=mlp", 'unknown key "nam"; the nearest is name in section model'),
        ("dataset.nam=mlp", 'unknown key "nam"; the nearest is name in section dataset'),
        ("sistem=3", 'unknown key "sistem"; the nearest is section system'),
        ("qqqqqq=x", 'unknown key "qqqqqq"; docs/configuration.md lists all keys'),
        ("system.b_up=4", "b_up belongs to section flq_algorithm, not to system"),
        ("system.name=x", "name belongs to section dataset or model, not to system"),
        ("name=mlp", "name is ambiguous here; write dataset.name or model.name"),
        ("model=3", "section model must be an object of keys, got 3"),
        ("system=null", "section system must be an object of keys, got null"),
    ],
)
def test_an_error_of_a_key_names_its_place(override, expected):
    assert sentence(override) == "%s (--set %s)" % (expected, override.split("=")[0])


def test_a_misspelt_section_is_refused_even_when_it_is_empty(write):
    for content in ({}, {"lr": 1}):
        assert (
            sentence(path=write({"modle": content}))
            == 'unknown section "modle"; the nearest is model (flq_config.json: modle)'
        )


def test_a_key_given_in_both_forms_is_refused(write):
    assert (
        sentence(path=write({"lr": 1, "model": {"lr": 2}}))
        == "model.lr is given twice; keep one (flq_config.json: lr and flq_config.json: model.lr)"
    )


@pytest.mark.parametrize("override", ["b_up", "=3", "model.=3", ".lr=3", ""])
def test_an_override_without_key_or_value_is_refused(override):
    assert sentence(override).startswith("--set must be section.key=value, got %s (" % json.dumps(override))


@pytest.mark.parametrize(
    "text, expected",
    [
        ('{"lr": 1,\n "l2": }', "flq_config.json is not JSON: line 2, column 8: Expecting value"),
        ("", "flq_config.json is not JSON: line 1, column 1: Expecting value"),
        ("[1]", "flq_config.json must hold one JSON object, got [1]"),
        ('{"model": {"lr": 1, "lr": 2}}', 'flq_config.json cannot be used: key "lr" is given twice in one object'),
        ("[" * 100000, "flq_config.json is nested too deeply to be a configuration"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(write, text, expected):
    assert sentence(path=write(text)) == expected + " (flq_config.json shows a whole configuration)"


def test_nan_in_a_file_is_refused_with_its_place(write):
    assert (
        sentence(path=write('{"model": {"lr": NaN}}'))
        == "lr must be a number > 0 and <= 1000000, got NaN (flq_config.json: model.lr)"
    )


def test_an_unreadable_file_is_named(tmp_path):
    assert "missing.json cannot be read: No such file" in sentence(path=str(tmp_path / "missing.json"))
    assert "cannot be read: Is a directory" in sentence(path=str(tmp_path))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "c.json").write_bytes(b'{"name": "\xff"}')
    assert "is not JSON: it is not UTF-8 text" in sentence(path=str(tmp_path / "c.json"))
