"""Hypothesis without a clock, a database or randomness; and the journal of every run is replayed."""

import pytest
from hypothesis import HealthCheck, settings
from master_bench import Bench, lasting

settings.register_profile(
    "flq", deadline=None, database=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("flq")


@pytest.fixture(autouse=True)
def the_journal_makes_the_run_again(monkeypatch):
    """Check after every test that the journals of its masters reproduce their states."""
    benches = []
    begin = Bench.__init__

    def __init__(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        benches.append(self)

    monkeypatch.setattr(Bench, "__init__", __init__)
    yield
    for bench in benches:
        assert lasting(bench.replayed()) == lasting(bench.machine)
