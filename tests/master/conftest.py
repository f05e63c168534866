"""Fixtures of the tests of flq.master."""

from masters import make_master, run_workers  # noqa: F401 - fixtures
