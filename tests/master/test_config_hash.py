"""The hash of a configuration covers all settings except those of one table."""

import math

import pytest

from flq.config import SECTIONS
from flq.config_file import load_config
from flq.config_hash import ADDED, NOT_HASHED, affecting, config_hash, is_left_out
from flq.core.settings import to_json

KEYS = [(section, key) for section, model in SECTIONS.items() for key in model.model_fields]


@pytest.fixture
def settings():
    return to_json(load_config(None))


def changed(settings, section, key):
    """Return the settings with another value of one key, of the same type; it need not be valid."""
    value = settings[section][key]
    if isinstance(value, bool):
        other = not value
    elif isinstance(value, (int, float)):
        other = value + 1
    else:
        other = "%s, but another" % value
    return dict(settings, **{section: dict(settings[section], **{key: other})})


@pytest.mark.parametrize("section, key", KEYS)
def test_every_key_changes_the_hash_except_those_in_the_table(settings, section, key):
    is_the_same = config_hash(changed(settings, section, key)) == config_hash(settings)
    assert is_the_same == is_left_out(section, key)


def test_the_table_names_keys_that_there_are_and_gives_reasons():
    for (section, key), reason in NOT_HASHED.items():
        assert key in SECTIONS[section].model_fields or key == "*"
        assert len(reason) > 10


def test_a_key_that_is_new_leaves_the_hash_of_earlier_runs_as_it_was(settings):
    for (section, key), default in ADDED.items():
        assert settings[section][key] == default
        assert key not in affecting(settings)[section]
    before = {
        section: {key: value for key, value in values.items() if (section, key) not in ADDED}
        for section, values in settings.items()
    }
    assert config_hash(before) == config_hash(settings)
    assert config_hash(settings) == "8a01ea63e804ebc9ae8cb22aaefdf7a9f97119f1261f1a81cd70106cf4821dc3"


def test_keys_that_change_the_model_are_never_omitted():
    for section, keys in {
        "system": "total_workers min_workers seed round_deadline_s lease_s deterministic threads",
        "dataset": "name partition batch_size",
        "model": "name lr ema",
        "flq_algorithm": "mode b_up b_down memory",
        "lazy_selection": "C thr_scale",
        "budget_selection": "up_budget_bits",
        "jetson_optimization": "enable_mixed_precision",
    }.items():
        assert not any(is_left_out(section, key) for key in keys.split())


def test_the_order_of_sections_and_keys_does_not_matter(settings):
    backwards = {section: dict(reversed(list(values.items()))) for section, values in reversed(list(settings.items()))}
    assert list(backwards) != list(settings)
    assert config_hash(backwards) == config_hash(settings)


def test_three_and_three_point_zero_are_the_same_but_one_and_true_are_not():
    assert config_hash({"model": {"lr": 3}}) == config_hash({"model": {"lr": 3.0}})
    shapes = ([8, 8, 1], [8.0, 8, 1.0])
    assert len({config_hash({"dataset": {"input_shape": shape}}) for shape in shapes}) == 1
    assert config_hash({"model": {"l2": 0.0}}) == config_hash({"model": {"l2": -0.0}})
    assert config_hash({"model": {"lr": 1}}) != config_hash({"model": {"lr": True}})
    assert config_hash({"model": {"lr": 3}}) != config_hash({"model": {"lr": 3.5}})
    assert config_hash({"model": {"lr": 3}}) != config_hash({"model": {"lr": "3"}})


def test_the_value_of_one_key_is_not_that_of_another():
    assert config_hash({"model": {"lr": 1, "mu": 2}}) != config_hash({"model": {"lr": 2, "mu": 1}})


def test_without_the_sections_that_do_not_count_it_is_the_same(settings):
    without = {section: values for section, values in settings.items() if section != "report"}
    assert config_hash(without) == config_hash(settings)


def test_it_is_the_same_on_every_machine():
    assert (
        config_hash({"model": {"name": "caf\u00e9", "lr": 0.1}, "report": {"results_dir": "r"}})
        == "14aed78347e7d981fffb346faa7c20fc3777c326a5d6252082af2682771acfeb"
    )


def test_nan_has_no_hash():
    with pytest.raises(ValueError):
        config_hash({"model": {"lr": math.nan}})
