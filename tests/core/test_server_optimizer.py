"""The server optimizers against their equations in float64, and the average of the models."""

import math

import numpy as np
import pytest

from flq.core.layout import BLOCK, Layout, Tensor
from flq.core.server_optimizer import Moments, average, step
from flq.core.settings import ServerStep
from flq.errors import CodecError

N = BLOCK + 3  # more than one block
LAYOUT = Layout((Tensor("w", (N,)),))


def totals(n):
    generator = np.random.RandomState(1)
    return [generator.standard_normal(N).astype(np.float32) for _ in range(n)]


def by_equation(rules, lr, start, totals):
    """The module's table, in float64."""
    x, first, second = start.astype(np.float64), 0.0, 0.0
    for t, total in enumerate(totals, 1):
        total = total.astype(np.float64)
        if rules.optimizer == "sgd":
            x = x - lr * total
        elif rules.optimizer == "momentum":
            first = rules.momentum * first + total
            x = x - lr * first
        else:
            first = rules.beta_1 * first + (1 - rules.beta_1) * total
            second = rules.beta_2 * second + (1 - rules.beta_2) * total**2
            rate = lr * math.sqrt(1 - rules.beta_2**t) / (1 - rules.beta_1**t)
            x = x - rate * first / (np.sqrt(second) + rules.epsilon)
    return x


@pytest.mark.parametrize(
    "rules",
    [
        ServerStep("sgd"),
        ServerStep("momentum"),
        ServerStep("momentum", momentum=0.0),
        ServerStep("adam"),
        ServerStep("adam", beta_1=0.5, beta_2=0.75, epsilon=0.125),
        ServerStep("adam", beta_1=0.0, beta_2=0.0),
    ],
    ids=lambda rules: "%s %g %g" % (rules.optimizer, rules.momentum, rules.beta_1),
)
def test_steps_follow_the_equations(rules):
    start = np.linspace(-1, 1, N).astype(np.float32)
    model, moments = start, Moments()
    for total in totals(5):
        model, moments = step(model, total, moments, rules, 0.01, LAYOUT)
    assert moments.n_steps == 5
    assert model.dtype == np.float32
    expected = by_equation(rules, 0.01, start, totals(5))
    # Five steps of at most 0.05, each rounded to float32.
    assert np.abs(model - expected).max() < 1e-6
    assert np.abs(start - expected).max() > 0.01


def test_the_first_step_of_adam_has_the_size_of_the_rate_whatever_the_gradient():
    total = np.array([1e-3, -1, 1e3, 0] + [0] * (N - 4), np.float32)
    model, _ = step(np.zeros(N, np.float32), total, Moments(), ServerStep("adam"), 0.5, LAYOUT)
    assert model[:4] == pytest.approx([-0.5, 0.5, -0.5, 0], rel=5e-3)  # epsilon


def test_sgd_remembers_nothing_but_the_number_of_steps():
    _, moments = step(np.zeros(N, np.float32), totals(1)[0], Moments(), ServerStep(), 1.0, LAYOUT)
    assert moments == Moments(None, None, 1)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_nothing_that_goes_in_is_written_to(optimizer):
    first, second = totals(2)
    model, moments = step(np.zeros(N, np.float32), first, Moments(), ServerStep(optimizer), 0.5, LAYOUT)
    before = [array.copy() for array in (model, moments.first, moments.second, second) if array is not None]
    step(model, second, moments, ServerStep(optimizer), 0.5, LAYOUT)
    after = [array for array in (model, moments.first, moments.second, second) if array is not None]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


def test_an_aggregate_whose_square_overflows_is_refused():
    total = np.full(N, 1e30, np.float32)
    with np.errstate(over="ignore"), pytest.raises(CodecError, match="mean of squares"):
        step(np.zeros(N, np.float32), total, Moments(), ServerStep("adam"), 0.5, LAYOUT)


def test_the_average_weighs_the_newest_models_most_and_the_start_not_at_all():
    models = totals(6)
    mean = None
    for n, model in enumerate(models, 1):
        mean = average(mean, model, n, decay=0.75)
    weights = [0.75 ** (6 - i) for i in range(1, 7)]
    expected = sum(weight * model.astype(np.float64) for weight, model in zip(weights, models)) / sum(weights)
    assert np.abs(mean - expected).max() < 1e-6
    assert mean.dtype == np.float32


def test_the_first_average_is_the_model_and_not_the_same_array():
    model = totals(1)[0]
    mean = average(None, model, 1, 0.9)
    assert np.array_equal(mean, model) and mean is not model
