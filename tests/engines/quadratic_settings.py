"""Settings of a run on the quadratic problem, which needs no TensorFlow."""

from functools import partial

import factory

SETTINGS = factory.settings_with(name="quadratic", max_rounds=12, mode="bbit")
settings_with = partial(factory.settings_with, SETTINGS)
