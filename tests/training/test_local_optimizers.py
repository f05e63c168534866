"""The local optimizers, worked out by hand on single numbers and on arrays."""

import math

import numpy as np
import pytest

from flq.core.settings import ModelSettings
from flq.errors import DataError
from flq.training.local_optimizers import LOCAL_OPTIMIZERS, local_optimizer


def steps(name, gradients, lr=0.1, momentum=0.9):
    """Return the steps that an optimizer takes along these gradients, one number each."""
    optimizer = local_optimizer(ModelSettings(local_optimizer=name, local_momentum=momentum))
    slots, taken = (0.0,) * optimizer.n_slots, []
    for t, gradient in enumerate(gradients, start=1):
        direction, slots = optimizer.direction(gradient, slots, math.sqrt)
        taken.append(optimizer.rate(lr, t) * direction)
    return taken


def test_sgd_steps_by_lr_times_the_gradient():
    assert steps("sgd", [1.0, -2.0], lr=0.5) == [0.5, -1.0]


def test_momentum_remembers_old_gradients():
    assert steps("momentum", [1.0, 1.0, 0.0], lr=1.0, momentum=0.5) == [1.0, 1.5, 0.75]


def test_momentum_0_is_sgd():
    assert steps("momentum", [1.0, -3.0], momentum=0.0) == steps("sgd", [1.0, -3.0])


def test_adams_first_step_is_lr_in_the_gradients_direction():
    # m/(1-b1) = g and v/(1-b2) = g^2, so that the step is lr g / (|g| + eps / sqrt(1-b2)).
    for gradient in (1e-2, -1.0, 300.0):
        expected = 0.1 * gradient / (abs(gradient) + 1e-7 / math.sqrt(0.001))
        assert steps("adam", [gradient]) == [pytest.approx(expected, rel=1e-9)]


def test_adam_does_not_move_along_a_zero_gradient():
    assert steps("adam", [0.0, 0.0]) == [0.0, 0.0]


def test_an_unknown_optimizer_is_refused_by_name():
    with pytest.raises(DataError, match="model.local_optimizer must be one of sgd, momentum, adam, got 'lamb'"):
        local_optimizer(ModelSettings(local_optimizer="lamb", local_momentum=0.9))


@pytest.mark.parametrize("name", sorted(LOCAL_OPTIMIZERS))
def test_arrays_stay_float32_and_slots_are_as_many_as_declared(name):
    optimizer = local_optimizer(ModelSettings(local_optimizer=name, local_momentum=0.9))
    gradient = np.linspace(-1, 1, 7).astype(np.float32)
    untouched = gradient.copy()
    slots = tuple(np.zeros_like(gradient) for _ in range(optimizer.n_slots))
    direction, new_slots = optimizer.direction(gradient, slots, np.sqrt)
    assert len(new_slots) == optimizer.n_slots
    assert {array.dtype for array in (direction,) + new_slots} == {np.dtype(np.float32)}
    assert np.array_equal(gradient, untouched) and all(not slot.any() for slot in slots)
