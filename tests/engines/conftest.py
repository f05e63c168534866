"""Hypothesis without a clock, a database or randomness: the same examples on every machine."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "flq", deadline=None, database=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("flq")
