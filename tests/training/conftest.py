"""Settings for the tests of flq.training."""

import os
import sys

import factory
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "device"))  # trees


@pytest.fixture
def make_settings():
    """Return what makes settings of the given keys."""
    return factory.settings_with
