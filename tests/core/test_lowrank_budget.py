"""The lengths of lowrank payloads: by the model, by the backlog, and under a budget."""

import pytest

from flq.core.layout import Layout, Tensor
from flq.core.lowrank_budget import Sizes, check_room, longest_upload, sizes
from flq.core.settings import Rules
from flq.errors import ConfigError

LAYOUT = Layout((Tensor("dense", (512, 128)), Tensor("bias", (128,)), Tensor("mean", (10,))), 1)
FIRST = 30 + 2 * 2 + 0.33 * (512 + 128 + 128)  # bytes, and 40 for the statistics


def rules(**changes):
    return Rules(mode="lowrank", codec_up=10, codec_down=10, memory="residual")._replace(**changes)


def test_the_first_size_follows_from_the_model():
    assert sizes(0.0, 0.0, 4, LAYOUT, rules()) == Sizes(int(FIRST) + 40, int(1.5 * FIRST) + 40)
    assert longest_upload(4, LAYOUT, rules()) == int(FIRST) + 40


def test_the_other_modes_have_no_sizes():
    assert sizes(9.0, 1.0, 4, LAYOUT, rules(mode="bbit", codec_up=4)) == Sizes(0, 0)
    check_room(4, LAYOUT, rules(mode="bbit"))


@pytest.mark.parametrize("lag, growth", [(0.0, 1), (1.9, 1), (2.0, 1), (8.0, 2), (18.0, 3), (32.0, 4), (1e9, 4)])
def test_payloads_grow_with_the_lag_of_the_shared_copy(lag, growth):
    for scale in (1.0, 1e-6):
        assert sizes(lag * scale, scale, 4, LAYOUT, rules()).up == int(growth * FIRST) + 40


def test_a_round_without_an_aggregate_takes_the_first_size():
    assert sizes(9.0, 0.0, 4, LAYOUT, rules()).up == int(FIRST) + 40


def test_sizes_that_are_given_stay():
    assert sizes(1e9, 1.0, 4, LAYOUT, rules(bytes_up=700, bytes_down=900)) == Sizes(700, 900)


def test_a_budget_is_divided_among_workers_that_may_upload():
    assert sizes(0.0, 0.0, 10, LAYOUT, rules(up_budget_bits=8 * 1000)).up == 100
    assert sizes(0.0, 0.0, 10, LAYOUT, rules(up_budget_bits=8 * 1000, sel_clients=5)).up == 200
    assert sizes(0.0, 0.0, 10, LAYOUT, rules(up_budget_bits=10**9)).up == int(FIRST) + 40
    assert sizes(0.0, 0.0, 7, LAYOUT, rules(up_budget_bits=8 * 1000)).up * 7 <= 1000


def test_absent_workers_take_no_part_of_the_budget():
    assert sizes(0.0, 0.0, 4, LAYOUT, rules(up_budget_bits=8 * 1000, sel_clients=9)).up == 250


@pytest.mark.parametrize(
    "changes, text",
    [
        (dict(bytes_up=100), "bytes_up is 100 bytes for a model of 65674 parameters, expected at least 111"),
        (dict(bytes_down=110), "bytes_down is 110 bytes"),
        (dict(up_budget_bits=8 * 1000), "bytes_up is 100 bytes"),
        (dict(bytes_up=10**6), "bytes_up is 1000000 bytes for a model of 65674 parameters, expected at most 66728"),
    ],
)
def test_sizes_that_say_next_to_nothing_are_refused(changes, text):
    with pytest.raises(ConfigError, match=text):
        check_room(10, LAYOUT, rules(**changes))
    check_room(4, LAYOUT, rules())
