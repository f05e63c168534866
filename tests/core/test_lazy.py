"""The lazy rule, with numbers worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flq.core.lazy import may_skip, movement
from flq.core.settings import Rules

RULES = Rules("bbit", 4, 4, "mirror", depth=2, ck=0.75, max_silence=3, warmup=5, thr_scale=2.0)


def test_movement_weighs_the_newest_aggregate_most():
    # xi_1 = .75 / 1 / 1.5 = .5 and xi_2 = .75 / 2 / 1.5 = .25
    assert movement([100.0, 8.0, 4.0], RULES, 7) == pytest.approx(0.5 * 4 + 0.25 * 8, rel=1e-15)


def test_rounds_before_the_first_count_as_zero():
    assert movement([], RULES, 7) == 0.0
    assert movement([4.0], RULES, 7) == pytest.approx(2.0, rel=1e-15)


@given(depth=st.integers(1, 40), ck=st.floats(0, 10))
def test_weights_sum_to_ck(depth, ck):
    assert movement([1.0] * depth, RULES._replace(depth=depth, ck=ck), 7) == pytest.approx(ck, rel=1e-12)


def test_in_mode_laq_all_aggregates_weigh_the_same_and_m_squared_divides():
    laq = RULES._replace(mode="laq")  # ck / D = .375
    assert movement([100.0, 8.0, 4.0], laq, 2) == pytest.approx(0.375 * (8 + 4) / 4, rel=1e-15)
    assert movement([4.0], laq, 10) == pytest.approx(0.375 * 4 / 100, rel=1e-15)
    assert movement([], laq, 10) == 0.0


@pytest.mark.parametrize(
    "change, skips",
    [
        ({}, True),
        ({"energy": 6.0}, True),  # E = thr_scale * S
        ({"energy": 6.0000001}, False),
        ({"round_index": 4}, False),  # in the warm-up
        ({"round_index": 5}, False),  # the last round of the warm-up
        ({"clock": 3}, False),  # C rounds of silence are enough
        ({"rules": RULES._replace(thr_scale=0.0), "energy": 0.0}, False),
        ({"rules": RULES._replace(max_silence=0), "clock": 0}, False),
    ],
)
def test_a_worker_skips_when_all_three_conditions_hold(change, skips):
    given_values = dict({"energy": 5.0, "threshold": 3.0, "clock": 2, "round_index": 6, "rules": RULES}, **change)
    assert may_skip(**given_values) is skips
