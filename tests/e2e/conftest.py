"""Fixtures of the end-to-end tests."""

import pytest
from cluster import Cluster


@pytest.fixture
def cluster(tmp_path):
    """Return a Cluster in a fresh folder; its programs are ended afterwards."""
    with Cluster(str(tmp_path / "project")) as made:
        yield made
