"""Settings as JSON: round trips, and checks of untrusted input."""

import copy
import json

import pytest
from factory import settings_with

from flq.core.settings import LIMITS, Settings, for_workers, public, settings_from_json, to_json, value_from_json
from flq.errors import ConfigError

CHANGED = settings_with(
    dataset="npz:a.npz", name="cnn", input_shape=[3, 2, 1], n_classes=7, thr_scale=0.5, trackers=["jsonl"], seed=2**62
)
SENT = for_workers(Settings())


@pytest.mark.parametrize("settings", [Settings(), CHANGED], ids=["defaults", "changed"])
def test_settings_come_back_from_json_as_they_were(settings):
    assert settings_from_json(json.loads(json.dumps(to_json(settings)))) == settings


def test_workers_get_neither_the_masters_address_nor_its_own_sections():
    sent = for_workers(settings_with(CHANGED, master_url="http://here:5000", results_dir="/secret"))
    assert set(to_json(CHANGED)) - set(sent) == {"report", "notify", "security"}
    assert "master_url" not in sent["system"]
    assert settings_from_json(sent) == CHANGED._replace(report=Settings().report)


def test_public_settings_lack_the_address_alone():
    content = to_json(settings_with(master_url="http://here:5000"))
    assert content["system"].pop("master_url") == "http://here:5000" and public(content) == content
    assert public(dict(content, system=dict(content["system"], master_url="x"))) == content


def test_keys_that_are_not_known_are_passed_over():
    assert settings_from_json(dict(SENT, future={"a": 1}, model=dict(SENT["model"], future=2))) == Settings()


def test_the_journal_of_an_older_version_may_lack_keys_and_sections():
    lacking = copy.deepcopy(to_json(CHANGED))
    del lacking["model"]["ema"], lacking["lazy_selection"], lacking["system"]
    assert settings_from_json(lacking, allow_missing=True) == CHANGED._replace(
        system=Settings().system, lazy_selection=Settings().lazy_selection
    )


@pytest.mark.parametrize("content", [None, [], {}])
def test_a_value_that_is_no_object_lacks_every_key(content):
    with pytest.raises(ConfigError, match="the master's settings lack system.total_workers"):
        settings_from_json(content)


def test_numbers_have_the_type_that_is_expected():
    read = settings_from_json(dict(SENT, model=dict(SENT["model"], lr=1, local_steps=3.0, lr_decay_rounds=7.0)))
    assert (read.model.lr, read.model.local_steps, read.model.lr_decay_rounds) == (1.0, 3, 7)
    assert [type(value) for value in read.model[1:3] + read.model[4:5]] == [float, str, int]


@pytest.mark.parametrize("key", sorted(LIMITS))
def test_the_limits_are_allowed_values(key):
    section = next(name for name, part in Settings()._asdict().items() if key in part._fields)
    for value in LIMITS[key]:
        assert value_from_json(section, key, value, key) == value
    for value in (LIMITS[key][0] - 1, LIMITS[key][1] + 1):
        with pytest.raises(ConfigError, match="%s must be a .*number in %d..%d" % ((key,) + LIMITS[key])):
            value_from_json(section, key, value, key)


@pytest.mark.parametrize(
    "path", sorted(SENT) + [section + "." + key for section in sorted(SENT) for key in sorted(SENT[section])]
)
def test_settings_that_are_missing_are_one_sentence(path):
    content = copy.deepcopy(SENT)
    section, _, key = path.partition(".")
    del (content[section] if key else content)[key or section]
    with pytest.raises(ConfigError, match=r"the master's settings lack %s.*same version" % path.replace(".", r"\.")):
        settings_from_json(content)


@pytest.mark.parametrize(
    "path, value",
    [
        ("system.threads", "1"),
        ("system.threads", 0),
        ("system.seed", -1),
        ("system.deterministic", "yes"),
        ("dataset.name", 5),
        ("dataset.name", None),
        ("dataset.batch_size", -1),
        ("dataset.batch_size", 2.5),
        ("dataset.input_shape", "8x8"),
        ("model.lr", "0.1"),
        ("model.lr", float("nan")),
        ("model.lr", float("inf")),
        ("model.lr", True),
        ("model.local_steps", 10**400),
        ("model.name", ["mlp"]),
        ("dataset.input_shape", [8, "8", 1]),
        ("dataset.input_shape", [8, True, 1]),
        ("system.seed", 2.0**63),
        ("flq_algorithm.update", None),
        ("jetson_optimization.prefetch_size", -1),
        ("jetson_optimization.gpu_memory_limit_mb", 1.5),
    ],
    ids=repr,
)
def test_settings_of_a_wrong_kind_are_one_sentence(path, value):
    with pytest.raises(ConfigError, match="the master's %s must be " % path) as caught:
        section, _, key = path.partition(".")
        settings_from_json(dict(SENT, **{section: dict(SENT[section], **{key: value})}))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("section", sorted(SENT))
@pytest.mark.parametrize("value", [None, 5, "x", []])
def test_an_invalid_section_is_one_sentence(section, value):
    with pytest.raises(ConfigError, match="the master's settings lack " + section):
        settings_from_json(dict(SENT, **{section: value}))
