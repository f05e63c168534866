"""The server optimizers against their equations in float64, and the average of the models."""

import math

import numpy as np
import pytest

from flq.core import server_step
from flq.core.layout import BLOCK, Layout, Tensor
from flq.core.server_step import average
from flq.core.settings import Rules, ServerStep
from flq.core.strategies import SERVER_OPTIMIZERS, options_of, split_state
from flq.errors import CodecError

N = BLOCK + 3  # more than one block
LAYOUT = Layout((Tensor("w", (N,)),))


def optimizer_of(name, **given):
    """Return the first state of an optimizer, and its step: (x, G, state, lr) -> (x, state)."""
    optimizer = SERVER_OPTIMIZERS[name]
    options = options_of(name, optimizer, given)
    return optimizer.init(N), lambda model, total, state, lr: optimizer.update(total, state, model, lr, options)


def totals(n):
    generator = np.random.RandomState(1)
    return [generator.standard_normal(N).astype(np.float32) for _ in range(n)]


def by_equation(name, lr, start, totals, momentum=0.7, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """The equations in the docstrings of the optimizers, in float64."""
    x, first, second = start.astype(np.float64), 0.0, 0.0
    for t, total in enumerate(totals, 1):
        total = total.astype(np.float64)
        if name == "sgd":
            x = x - lr * total
        elif name == "momentum":
            first = momentum * first + total
            x = x - lr * first
        else:
            first = beta_1 * first + (1 - beta_1) * total
            second = beta_2 * second + (1 - beta_2) * total**2
            rate = lr * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            x = x - rate * first / (np.sqrt(second) + epsilon)
    return x


@pytest.mark.parametrize(
    "name, given",
    [
        ("sgd", {}),
        ("momentum", {}),
        ("momentum", dict(momentum=0.0)),
        ("adam", {}),
        ("adam", dict(beta_1=0.5, beta_2=0.75, epsilon=0.125)),
        ("adam", dict(beta_1=0.0, beta_2=0.0)),
    ],
)
def test_steps_follow_the_equations(name, given):
    start = np.linspace(-1, 1, N).astype(np.float32)
    model, (state, step) = start, optimizer_of(name, **given)
    for total in totals(5):
        model, state = step(model, total, state, 0.01)
    assert model.dtype == np.float32
    expected = by_equation(name, 0.01, start, totals(5), **given)
    # Five steps of at most 0.05, each rounded to float32.
    assert np.abs(model - expected).max() < 1e-6
    assert np.abs(start - expected).max() > 0.01


def test_the_first_step_of_adam_has_the_size_of_the_rate_for_any_gradient():
    total = np.array([1e-3, -1, 1e3, 0] + [0] * (N - 4), np.float32)
    state, step = optimizer_of("adam")
    model, _ = step(np.zeros(N, np.float32), total, state, 0.5)
    assert model[:4] == pytest.approx([-0.5, 0.5, -0.5, 0], rel=5e-3)  # epsilon


def test_sgd_remembers_nothing():
    state, step = optimizer_of("sgd")
    _, state = step(np.zeros(N, np.float32), totals(1)[0], state, 1.0)
    assert split_state(state) == ({}, {})


def test_an_aggregate_whose_square_overflows_is_refused():
    total = np.full(N, 1e30, np.float32)
    state = server_step.first_server_state(np.zeros(N, np.float32))
    rules = Rules("fedavg", 32, 32, "none", step=ServerStep("adam", options=SERVER_OPTIMIZERS["adam"].options))
    with np.errstate(over="ignore"), pytest.raises(CodecError, match="second of server_optimizer adam"):
        server_step.close_round(state, total, 1, LAYOUT, rules)


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
