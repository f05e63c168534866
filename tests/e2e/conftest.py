"""Fixtures of the end-to-end tests."""

import pytest
from cluster import Cluster


@pytest.fixture
def cluster(tmp_path):
    """Return a Cluster in a fresh folder; what it started is ended afterwards."""
    folder = tmp_path / "project"
    folder.mkdir()
    made = Cluster(str(folder))
    yield made
    made.close()
