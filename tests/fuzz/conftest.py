"""Hypothesis without a clock, a database or randomness."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "master"))  # local_master

settings.register_profile(
    "flq", deadline=None, database=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("flq")
