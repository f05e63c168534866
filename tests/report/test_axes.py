"""Bounds, units and number formats of axes."""

import pytest

from flq.report.axes import Axis, amount_axis, known, loss_axis, nice_bounds, round_axis, share_axis, spread_amount_axis


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 30, (0, 30, 5)),
        (0.31, 0.97, (0.2, 1.0, 0.2)),
        (0.961, 0.984, (0.96, 0.985, 0.005)),
        (-3, 3, (-3, 3, 1)),
        (0, 1e9, (0, 1e9, 2e8)),
    ],
)
def test_bounds_are_round_numbers_that_enclose_the_values(low, high, expected):
    assert nice_bounds(low, high, 0.0) == expected


@pytest.mark.parametrize("value", [0.0, 1.0, -5.0, 1e-9, 1e12, 0.3])
def test_a_single_value_lies_between_the_bounds(value):
    low, high, step = nice_bounds(value, value, 0.0)
    assert low <= value <= high and low < high and step > 0


def test_steps_are_not_smaller_than_asked():
    assert nice_bounds(0, 1, 1.0) == (0, 1, 1)
    assert round_axis("round", 1) == Axis("round", "0", 0, 1, 1)
    assert round_axis("round", 0).high == 1


@pytest.mark.parametrize(
    "values, number_format, low, high",
    [
        ([0.1, None, 0.98], "0%", 0.0, 1.0),
        ([0.93, 0.96], "0.0%", 0.93, 0.96),
        ([0.931, 0.942], "0.0%", 0.93, 0.942),
        ([1.0, 1.0], "0%", 0.98, 1.0),
        ([0.0], "0%", 0.0, 0.2),
    ],
)
def test_an_axis_of_shares_is_as_wide_as_they_are_and_stays_within_0_and_1(values, number_format, low, high):
    axis = share_axis("accuracy", values)
    assert (axis.number_format, axis.low, axis.high) == (number_format, low, high)


def test_losses_of_different_size_stand_on_powers_of_ten():
    assert loss_axis("loss", [3000.0, 2.0, 0.02]) == Axis("loss", "General", 0.01, 10000.0, 10.0, True)
    assert not loss_axis("loss", [0.1, 2.3]).is_log
    assert not loss_axis("loss", [0.0, 2.3]).is_log
    assert not loss_axis("loss", [-1.0, 200.0]).is_log


def test_losses_that_no_axis_can_take_have_no_bounds():
    assert loss_axis("loss", [-1.7e308, 1.7e308]) == Axis("loss", "General")
    assert loss_axis("loss", [5e-324, 1.7e308])[2:] == (1e-300, 1e300, 10.0, True)


@pytest.mark.parametrize(
    "largest, title, number_format, high",
    [
        (800, "sent (B)", "#,##0", 800),
        (1600, "sent (kB)", "#,##0.0,", 2000),
        (7 * 10**6, "sent (MB)", "#,##0,,", 8 * 10**6),
        (17 * 10**9, "sent (GB)", "#,##0,,,", 20 * 10**9),
    ],
)
def test_amounts_have_a_readable_unit(largest, title, number_format, high):
    axis = amount_axis("sent", largest, "B")
    assert (axis.title, axis.number_format, axis.low, axis.high) == (title, number_format, 0, high)


def test_a_run_that_spent_little_is_seen_beside_one_that_spent_much():
    assert spread_amount_axis("sent", [2e6, 9e6], 1e4, "B") == amount_axis("sent", 9e6, "B")
    axis = spread_amount_axis("sent", [2e6, 9e8], 3e4, "B")
    assert axis.is_log and (axis.low, axis.high) == (1e4, 1e9)
    assert not spread_amount_axis("sent", [2e6, 9e8], 0, "B").is_log


def test_nan_counts_as_unknown():
    assert known([None, float("nan"), float("inf"), 1, 2.5]) == [1.0, 2.5]
