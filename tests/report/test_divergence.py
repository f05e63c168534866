"""A run that diverges is noticed at once, and a noisy, high or slow start is not a divergence."""

import math

import pytest
from report_rows import a_round

from flq.report.divergence import OWN, TEST, TRAINING, UPDATES, Divergence, DivergenceWatch, losses_of


def signs_of(values, is_classifier=True, name=TRAINING):
    """Return the signs in a history of one loss; None = unknown in that round."""
    watch = DivergenceWatch(is_classifier)
    found = [watch.take(index, {name: value}) for index, value in enumerate(values, 1)]
    return [sign for sign in found if sign is not None]


HEALTHY = {
    "falling": [2.4, 1.9, 1.2, 0.7, 0.4],
    "noisy at first": [2.4, 9.5, 3.1, 11.0, 2.0, 1.2],
    "few labels at a worker, dir_alpha 0.1": [2.3, 0.2, 6.8, 0.1, 7.9, 0.2],
    "fine-tuned: far above a small first value, but no more than an untrained model": [0.02, 0.9, 3.0, 0.05],
    "warm-up: flat, then falling": [2.303, 2.303, 2.302, 2.30, 1.7, 0.9],
    "a hundred thousand classes, noisy": [11.5, 13.0, 40.0, 12.0],
    "flat at the end": [2.3, 0.1] + [0.03] * 50 + [0.5],
    "rounds without an answer": [None, 2.4, None, 2.0],
    "perfect at once": [0.0, 0.0, 0.2],
}
UNBOUNDED = {  # other losses than cross-entropies may have any size
    "quadratic, from a high start": [3.2e6, 1.1e6, 4e3, 2.0, 1e-7, 1e-7, 1e-5],
    "a regression on large targets": [5e8, 7e8, 1e8, 4e7],
    "a log-likelihood, negative": [-3.0, -40.0, -250.0, 5.0],
    "an oscillation at first": [1e3, 6e3, 2e3, 100.0],
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_classifier_is_no_divergence(name):
    assert signs_of(HEALTHY[name]) == []


@pytest.mark.parametrize("name", UNBOUNDED)
def test_a_loss_of_another_task_may_start_high(name):
    assert signs_of(UNBOUNDED[name], is_classifier=False) == []


@pytest.mark.parametrize(
    "values, round_index",
    [
        ([2.35, 2.1, 31.0, 4e4, 1e9], 3),  # climbs
        ([1.54912e06, 1.74687e07, 8.6e07, 2.5e7, 2.6e7], 1),  # explodes within the first round, as with pixels 0..255
        ([1123.86, 17.2, 3.1, 3.1], 1),
        ([2.303, 2.303, 2.30, 260.0, 1e5], 4),  # after a warm-up
        ([80.0, 60.0, 40.0, 120.0], 4),  # a bad scale: the first value is high already
        ([2.4, 1.0, math.nan], 3),
        ([2.4, math.inf], 2),
        ([math.nan, 2.4], 1),
        ([None, math.nan], 2),
    ],
)
def test_a_classifier_that_diverges_is_noticed_in_the_first_such_round(values, round_index):
    (sign,) = signs_of(values)
    assert sign.round_index == round_index


@pytest.mark.parametrize(
    "values, round_index",
    [
        ([0.9, 3.0, 10.5, 40.0], 3),  # quadratic with lr above 0.2
        ([3.2e6, 1e7, 4e7, 1e9], 3),
        ([1e-3, 0.4, 80.0], 3),
        ([5.0, 1e-6, 1e-2, 55.0], 4),  # late: two-bit codes with memory flq
        ([5.0, math.nan], 2),
    ],
)
def test_another_task_that_diverges_is_noticed(values, round_index):
    (sign,) = signs_of(values, is_classifier=False)
    assert sign.round_index == round_index


def test_an_episode_is_reported_once_and_ends_when_all_losses_have_been_low_for_ten_rounds():
    watch = DivergenceWatch(is_classifier=True)
    assert watch.take(1, {TRAINING: 2.0, TEST: 2.3}) is None
    assert watch.take(2, {TRAINING: 50.0, TEST: 60.0}) == Divergence(TRAINING, 50.0, 2, 2.0, 1)
    assert watch.take(3, {TRAINING: 90.0, TEST: None}) is None
    bouncing = [1.0, 50.0, 1.0, 1.0, 300.0, 1.0]
    assert [watch.take(index, {TRAINING: value, TEST: 1.0}) for index, value in enumerate(bouncing, 4)] == [None] * 6
    for index in range(10, 18):
        assert watch.take(index, {TRAINING: 1.0, TEST: 1.0}) is None and watch.now is not None
    assert watch.take(18, {TRAINING: 1.0, TEST: 1.0}) is None and watch.now is None
    assert watch.take(19, {TRAINING: 1.0, TEST: math.nan}).quantity == TEST


def test_rounds_without_any_loss_are_no_divergence():
    assert signs_of([None] * 20) == []


def test_an_episode_lasts_while_the_last_known_loss_is_high():
    watch = DivergenceWatch(is_classifier=True)
    watch.take(1, {TEST: 500.0})
    for index in range(2, 30):  # the evaluator has died
        assert watch.take(index, {TRAINING: 1.0, TEST: None}) is None and watch.now is not None


def test_a_late_result_of_an_earlier_round_is_no_news():
    watch = DivergenceWatch(is_classifier=True)
    watch.take(1, {TEST: 2.3})
    watch.take(5, {TEST: 1.0})
    assert watch.take(3, {TEST: math.inf}) is None and watch.now is None
    assert watch.take(5, {TEST: math.inf}) is not None  # evaluated after it closed


def test_models_may_be_evaluated_when_later_rounds_have_closed():
    watch = DivergenceWatch(is_classifier=True)
    assert [watch.take(index, {UPDATES: 0.0, TRAINING: 2.0}) for index in range(1, 9)] == [None] * 8
    assert watch.take(1, {TRAINING: 2.0, TEST: 2.3}) is None
    assert watch.take(2, {TRAINING: 2.0, TEST: 3700.0}) == Divergence(TEST, 3700.0, 2, 2.3, 1)


def test_a_late_sign_of_a_past_episode_is_no_news():
    watch = DivergenceWatch(is_classifier=True)
    training = [2.0, 9e4, 9e5] + [2.0] * 10
    assert [index for index, loss in enumerate(training, 1) if watch.take(index, {TRAINING: loss})] == [2]
    assert watch.now is None
    assert [index for index, loss in enumerate([2.3, 3700.0, 3700.0, 2.3], 1) if watch.take(index, {TEST: loss})] == []


@pytest.mark.parametrize(
    "sign, sentence",
    [
        (
            Divergence(TRAINING, 3.1e4, 7, 2.35, 1),
            "the run diverges: training loss 3.1e+04 in round 7 (2.35 in round 1); lower it",
        ),
        (
            Divergence(TEST, math.nan, 7, 2.35, 2),
            "the run diverges: test loss not finite in round 7 (2.35 in round 2); lower it",
        ),
        (
            Divergence(TRAINING, 1.549e6, 1, None, 0),
            "the run diverges: training loss 1.549e+06 in round 1 (a model that guesses has the logarithm of the "
            "number of classes); lower it",
        ),
        (
            Divergence(UPDATES, math.inf, 3, None, 0),
            "the run diverges: updates of the workers not finite in round 3; lower it",
        ),
    ],
)
def test_the_sentence_says_what_is_seen_and_what_it_was(sign, sentence):
    assert sign.sentence("lower it") == sentence


def test_updates_that_are_finite_again_end_an_episode():
    watch = DivergenceWatch(is_classifier=True)
    watch.take(1, {UPDATES: 0.0})
    assert watch.take(2, {UPDATES: math.inf}) == Divergence(UPDATES, math.inf, 2, None, 0)
    assert watch.take(11, {UPDATES: 0.0}) is None and watch.now is not None
    assert watch.take(12, {UPDATES: 0.0}) is None and watch.now is None


def test_a_row_has_three_losses():
    row = a_round(1, training_loss=1.0, test_loss=None, own_loss=3.0)
    assert losses_of(row) == {TRAINING: 1.0, TEST: None, OWN: 3.0}
