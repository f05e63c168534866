"""How settings become the rules of a run."""

import pytest

from flq.core.rules import Rules, rules_from_settings
from flq.errors import ConfigError


def settings(**changes):
    sections = {
        "flq_algorithm": {"mode": "bbit", "b_up": 4, "b_down": None, "memory": None},
        "lazy_selection": {"D": 10, "ck": 0.8, "C": 50, "warmup": 3, "thr_scale": None},
        "budget_selection": {"sel_clients": 0, "up_budget_bits": 0},
        "model": {"server_lr": 0.5},
    }
    for key, value in changes.items():
        section = next(name for name in sections if key in sections[name])
        sections[section][key] = value
    return sections


def resolve(**changes):
    return rules_from_settings(settings(**changes))


def test_defaults_resolve_to_four_bits_both_ways_with_a_residual_that_never_skips():
    assert resolve() == Rules(mode="bbit", bits_up=4, bits_down=4, memory="residual", depth=10, ck=0.8,
                              max_silence=50, warmup=3, thr_scale=0.0, sel_clients=0, up_budget_bits=0, server_lr=0.5)


@pytest.mark.parametrize("changes, bits_down", [
    (dict(b_up=6), 6), (dict(mode="bin"), 1), (dict(mode="fedavg"), 32),  # null follows the uplink
    (dict(b_down=0), 32), (dict(b_down=32), 32), (dict(b_down=3), 3), (dict(mode="fedavg", b_down=8), 8),
])
def test_b_down_follows_the_uplink_or_is_what_is_asked(changes, bits_down):
    assert resolve(**changes).bits_down == bits_down


@pytest.mark.parametrize("changes, bits_up", [(dict(mode="fedavg"), 32), (dict(mode="bin"), 1), (dict(b_up=8), 8)])
def test_the_mode_fixes_the_bits_up(changes, bits_up):
    assert resolve(**changes).bits_up == bits_up


def test_one_bit_is_mode_bin():
    assert resolve(b_up=1) == resolve(mode="bin")
    assert resolve(b_up=1).mode == "bin"


@pytest.mark.parametrize("memory, thr_scale", [("mirror", 1.0), ("residual", 0.0), ("none", 0.0)])
def test_only_the_mirror_is_lazy_by_default(memory, thr_scale):
    assert resolve(memory=memory).thr_scale == thr_scale
    assert resolve(memory=memory, thr_scale=0.25).thr_scale == 0.25


def test_fedavg_is_never_lazy_and_remembers_nothing():
    assert resolve(mode="fedavg", thr_scale=2.0).thr_scale == 0.0
    assert resolve(mode="fedavg").memory == "none"


@pytest.mark.parametrize("changes, text", [
    (dict(mode="flq"), "mode must be one of"),
    (dict(memory="ef"), "memory must be one of"),
    (dict(mode="fedavg", memory="residual"), "memory must be none"),
    (dict(mode="fedavg", memory="mirror"), "memory must be none"),
    (dict(b_up=0), "b_up must be in 1..8"),
    (dict(b_up=9), "b_up must be in 1..8"),
    (dict(b_down=9), "b_down must be in 1..8"),
    (dict(b_down=-1), "b_down must be in 1..8"),
])
def test_what_can_not_work_is_refused_in_a_sentence(changes, text):
    with pytest.raises(ConfigError, match=text):
        resolve(**changes)


@pytest.mark.parametrize("changes, needs", [
    (dict(), False), (dict(sel_clients=1), True), (dict(up_budget_bits=1), True)])
def test_offers_are_needed_when_there_is_a_limit(changes, needs):
    assert resolve(**changes).needs_offers is needs
