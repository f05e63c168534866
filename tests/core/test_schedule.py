"""The learning rate by round."""

import math

import pytest

from flq.core.schedule import SCHEDULES, learning_rate
from flq.core.settings import ModelSettings


def rates(schedule, rounds, lr=2.0, decay=0.25, n=4):
    model = ModelSettings(lr=lr, lr_schedule=schedule, lr_decay=decay, lr_decay_rounds=n)
    return [learning_rate(model, k) for k in rounds]


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("constant", [2, 2, 2, 2, 2, 2, 2]),
        ("exponential", [2, 2 * 0.25**0.25, 1, 2 * 0.25**0.75, 0.5, 0.5 * 0.25**0.25, 0.25]),
        ("step", [2, 2, 2, 2, 0.5, 0.5, 0.5]),
        (
            "cosine",
            [2, 0.5 + 1.5 * (1 + math.sqrt(0.5)) / 2, 1.25, 0.5 + 1.5 * (1 - math.sqrt(0.5)) / 2, 0.5, 0.5, 0.5],
        ),
    ],
)
def test_rates_of_the_first_rounds(schedule, expected):
    assert rates(schedule, range(1, 8)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_begins_at_lr_and_falls_by_the_decay_in_time(schedule):
    first, last = rates(schedule, [1, 5])
    assert first == 2.0
    assert last == pytest.approx(2.0 if schedule == "constant" else 0.5, rel=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_rate_is_ever_above_the_one_before(schedule):
    values = rates(schedule, range(1, 40))
    assert all(later <= earlier for earlier, later in zip(values, values[1:])) and values[-1] > 0
