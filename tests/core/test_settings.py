"""The rules of a run from its settings, and scaling and clipping of the aggregate, worked out by hand."""

import numpy as np
import pytest
from factory import settings_with

from flq.core import server_step
from flq.core.aggregate_scaling import scale
from flq.core.codecs import FLOAT32, LAQ, LAQ8, LOWRANK, QUANTIZERS
from flq.core.layout import BLOCK, Layout, Tensor
from flq.core.schedule import learning_rate
from flq.core.server_step import first_server_state
from flq.core.settings import Rules, ServerStep, rules_from_settings
from flq.core.strategies.adam import Options
from flq.errors import ConfigError

SETTINGS = settings_with(
    mode="bbit", b_up=4, coding="none", warmup=3, lr_schedule="step", lr_decay=0.5, lr_decay_rounds=10, server_lr=0.5
)


def settings(**changes):
    return settings_with(SETTINGS, **changes)


LAQ_MODE = dict(mode="laq", update="gradient")


def resolve(**changes):
    return rules_from_settings(settings(**changes))


def test_defaults_resolve_to_four_bits_both_ways_with_a_residual_that_never_skips():
    assert resolve() == Rules(
        mode="bbit",
        codec_up=4,
        codec_down=4,
        memory="residual",
        depth=10,
        ck=0.8,
        max_silence=50,
        warmup=3,
        thr_scale=0.0,
        sel_clients=0,
        up_budget_bits=0,
        step=ServerStep(lr=0.5),
    )


@pytest.mark.parametrize(
    "changes, bits_down",
    [
        (dict(b_up=6), 6),
        (dict(mode="bin"), 1),
        (dict(mode="laq8"), 8),
        (dict(mode="fedavg"), 32),  # null: as up
        (dict(b_down=0), 32),
        (dict(b_down=32), 32),
        (dict(b_down=3), 3),
        (dict(mode="fedavg", b_down=8), 8),
        (LAQ_MODE, 32),
        (dict(LAQ_MODE, b_down=8), 8),
    ],
)
def test_b_down_follows_the_uplink_or_the_setting(changes, bits_down):
    assert resolve(**changes).codec_down == bits_down


@pytest.mark.parametrize(
    "changes, bits_up",
    [
        (dict(mode="fedavg"), 32),
        (dict(mode="laq8"), LAQ8),
        (dict(mode="bin"), 1),
        (dict(b_up=8), 8),
        (LAQ_MODE, LAQ + 4),
        (dict(LAQ_MODE, b_up=1), LAQ + 1),
        (dict(LAQ_MODE, b_up=32), 32),
    ],
)
def test_the_mode_fixes_the_codec_up(changes, bits_up):
    assert resolve(**changes).codec_up == bits_up


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


@pytest.mark.parametrize(
    "changes, text",
    [
        (dict(mode="flq"), "mode must be one of"),
        (dict(memory="ef"), "memory must be one of"),
        (dict(mode="fedavg", memory="residual"), "memory must be none"),
        (dict(mode="fedavg", memory="mirror"), "memory must be none"),
        (dict(b_up=0), "b_up must be in 1..8"),
        (dict(b_up=9), "b_up must be in 1..8"),
        (dict(b_up=32), "b_up must be in 1..8"),
        (dict(memory="mirror", scale_by_selected=True), "scale_by_selected cannot be used with memory mirror"),
        (dict(update="both"), "update must be one of delta, gradient, got 'both'"),
        (dict(server_optimizer="adagrad"), "server_optimizer must be one of .*sgd, "),
        (dict(server_optimizer="adam"), "adam cannot be used with memory residual"),
        (
            dict(update="gradient", memory="residual", server_optimizer="adam"),
            "adam cannot be used with memory residual",
        ),
        (dict(memory="flq", b_up=2), "memory flq diverges at 2 bits"),
        (dict(update="gradient", b_up=2), "memory flq diverges at 2 bits"),
        (dict(update="gradient", mu=0.1), "mu must be 0 and local_optimizer sgd, got 0.1 and 'sgd'"),
        (dict(update="gradient", local_optimizer="adam"), "takes no local steps"),
        (dict(mode="laq"), "mode laq sends gradients: update must be gradient, got 'delta'"),
        (dict(LAQ_MODE, b_up=9), "b_up must be in 1..8 or 32 in mode laq, got 9"),
        (dict(LAQ_MODE, memory="residual"), "mode laq sums stored gradients: memory must be mirror, got 'residual'"),
        (dict(LAQ_MODE, server_optimizer="momentum"), "server_optimizer must be sgd, got 'momentum'"),
        (dict(LAQ_MODE, aggregator="mean"), "aggregator sum, got 'mean'"),
        (dict(aggregator="median"), "aggregator must be one of auto, "),
        (dict(aggregator_options={"trim": 0.1}), "mean has no option 'trim'"),
        (dict(server_options={"rate": 0.1}), "sgd has no option 'rate'"),
        (dict(server_optimizer="momentum", server_options={"momentum": 0.1}), "keys of their own: server_momentum"),
        (dict(b_down=9), "b_down must be in 1..8"),
        (dict(b_down=-1), "b_down must be in 1..8"),
    ],
)
def test_impossible_settings_are_rejected_in_a_sentence(changes, text):
    with pytest.raises(ConfigError, match=text):
        resolve(**changes)


def test_scaling_and_clip_are_taken_over():
    rules = resolve(scale_by_selected=1, sel_ref=7, clip_global=2.5)
    assert (rules.scale_by_selected, rules.sel_ref, rules.clip_global) == (True, 7, 2.5)


@pytest.mark.parametrize(
    "changes, memory",
    [
        (dict(), "residual"),
        (dict(update="gradient"), "flq"),
        (dict(mode="bin", update="gradient"), "flq"),
        (dict(mode="laq8"), "none"),
        (dict(mode="laq8", update="gradient"), "none"),
        (dict(mode="fedavg", update="gradient"), "none"),
        (dict(mode="laq8", memory="mirror"), "mirror"),
        (dict(update="gradient", memory="residual"), "residual"),
        (dict(update="gradient", memory="mirror"), "mirror"),
        (LAQ_MODE, "mirror"),
    ],
)
def test_the_memory_is_the_modes_default_or_the_setting(changes, memory):
    assert resolve(**changes).memory == memory


@pytest.mark.parametrize("memory", ["none", "flq", "mirror"])
def test_adam_goes_with_every_memory_but_the_residual(memory):
    step = resolve(
        memory=memory, server_optimizer="adam", server_beta_1=0.5, server_beta_2=0.75, server_epsilon=0.125, ema=0.25
    ).step
    assert step == ServerStep("adam", 0.5, Options(0.5, 0.75, 0.125), 0.25)


def test_the_aggregator_is_the_modes_default_or_the_setting():
    assert (resolve().aggregator, resolve(**LAQ_MODE).aggregator) == ("mean", "sum")
    assert resolve(aggregator="sum").aggregator == "sum"


def test_with_gradients_the_learning_rate_is_the_masters():
    assert resolve().lr_by_round is None
    rates = resolve(update="gradient").lr_by_round
    assert [learning_rate(rates, k) for k in (1, 10, 11, 21)] == [0.1, 0.1, 0.05, 0.025]


@pytest.mark.parametrize(
    "changes, needs", [(dict(), False), (dict(sel_clients=1), True), (dict(up_budget_bits=1), True)]
)
def test_offers_are_needed_when_there_is_a_limit(changes, needs):
    assert resolve(**changes).needs_offers is needs


# Scaling by the number of uploads, and the clip of the aggregate's norm

LAYOUT = Layout((Tensor("w", (2,)),))
SCALE_RULES = Rules("fedavg", 32, 32, "none")
START = first_server_state(np.zeros(2, np.float32))


def scaled(values, n_selected, **changes):
    total = np.array(values, np.float32)
    assert scale(total, n_selected, SCALE_RULES._replace(**changes)) is None
    return total.tolist()


def test_by_default_nothing_changes():
    assert scaled([3, 4], 5) == [3, 4]
    assert scaled([3, 4], 5, sel_ref=2) == [3, 4]


@pytest.mark.parametrize(
    "n_selected, sel_ref, expected",
    [(1, 1, [3, 4]), (3, 1, [9, 12]), (1, 2, [1.5, 2]), (3, 2, [4.5, 6]), (4, 4, [3, 4])],
)
def test_the_factor_is_uploads_over_sel_ref(n_selected, sel_ref, expected):
    assert scaled([3, 4], n_selected, scale_by_selected=True, sel_ref=sel_ref) == expected


@pytest.mark.parametrize("clip_global, expected", [(0.0, [3, 4]), (5.0, [3, 4]), (6.0, [3, 4]), (2.5, [1.5, 2])])
def test_only_a_norm_above_the_clip_is_brought_down_to_it(clip_global, expected):
    assert scaled([3, 4], 1, clip_global=clip_global) == expected


def test_the_clip_applies_to_the_scaled_aggregate():
    assert scaled([3, 4], 2, scale_by_selected=True, clip_global=5.0) == [3, 4]
    assert scaled([3, 4], 1, scale_by_selected=True, sel_ref=2, clip_global=2.5) == [1.5, 2]


def test_zero_stays_zero():
    assert scaled([0, 0], 3, scale_by_selected=True, clip_global=1.0) == [0, 0]


def test_a_single_huge_element_is_clipped_without_overflow():
    assert scaled([3e38], 1, clip_global=1.0) == pytest.approx([1.0], rel=1e-6)


def test_the_norm_of_many_blocks_is_that_of_the_whole():
    total = np.full(4 * BLOCK, 0.5, np.float32)  # norm 0.5 * sqrt(4 * 65536) = 256
    scale(total, 1, SCALE_RULES._replace(clip_global=64.0))
    assert (total == 0.125).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_non_finite_aggregate_is_left_unchanged(bad):
    total = np.array([1, bad], np.float32)
    scale(total, 1, SCALE_RULES._replace(clip_global=0.5))
    assert total[0] == 1


@pytest.mark.parametrize("memory", ["none", "residual"])
def test_the_model_steps_by_the_scaled_aggregate_and_the_history_holds_it(memory):
    rules = SCALE_RULES._replace(memory=memory, scale_by_selected=True, sel_ref=4, clip_global=100.0)
    uploads = {m: QUANTIZERS[32].encode(np.array([6, 8], np.float32), LAYOUT) for m in (0, 1)}
    _, total = server_step.aggregate(START, {0: 1, 1: 1}, (0, 1), uploads, {}, LAYOUT, rules)
    assert total.tolist() == [3, 4]  # the mean 6 8, times 2 uploads / 4
    state = server_step.close_round(START, total, 1, LAYOUT, rules).state
    assert state.model.tolist() == [-3, -4]
    assert state.energies == (25.0,)


def test_mirrors_are_clipped_without_being_changed():
    mirrors = {0: np.array([3, 4], np.float32)}
    rules = SCALE_RULES._replace(memory="mirror", clip_global=2.5)
    assert server_step.aggregate(START, {0: 1}, (), {}, mirrors, LAYOUT, rules)[1].tolist() == [1.5, 2]
    assert mirrors[0].tolist() == [3, 4]


def test_a_round_without_uploads_has_no_aggregate():
    rules = SCALE_RULES._replace(scale_by_selected=True, clip_global=1.0)
    assert server_step.aggregate(START, {0: 1}, (), {}, {}, LAYOUT, rules) == (START, None)


def test_lowrank_codes_both_ways_with_a_residual_and_divides_its_budget():
    rules = resolve(mode="lowrank", b_up=None, up_budget_bits=9000)
    assert (rules.codec_up, rules.codec_down, rules.memory, rules.thr_scale) == (LOWRANK, LOWRANK, "residual", 0.0)
    assert (rules.bytes_up, rules.bytes_down) == (0, 0) and not rules.needs_offers
    assert resolve(mode="lowrank", b_up=None, sel_clients=2).needs_offers
    assert resolve(mode="lowrank", b_up=None, b_down=32).codec_down == FLOAT32
    assert resolve(mode="lowrank", b_up=None, update="gradient").memory == "residual"


@pytest.mark.parametrize(
    "changes, text",
    [
        (dict(mode="lowrank"), "b_up must be null, got 4"),
        (dict(mode="lowrank", b_up=None, memory="flq"), "memory must be residual, mirror or none, got 'flq'"),
        (dict(mode="lowrank", b_up=None, server_optimizer="adam"), "adam cannot be used with memory residual"),
    ],
)
def test_settings_that_lowrank_does_not_support_are_rejected(changes, text):
    with pytest.raises(ConfigError, match=text):
        resolve(**changes)
