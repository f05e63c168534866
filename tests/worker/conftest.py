"""Fixtures of the tests of flq.worker; they also run on Python 3.6, without the master's packages."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Keep the requests on this machine, even if it uses a proxy."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
