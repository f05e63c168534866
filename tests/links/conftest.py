"""Fixtures of the tests of bad links, with the masters and programs of other folders."""

import sys
from pathlib import Path

import pytest

for folder in ("e2e", "master"):
    sys.path.append(str(Path(__file__).resolve().parent.parent / folder))

from cluster import Cluster  # noqa: E402
from local_master import LocalMaster  # noqa: E402


@pytest.fixture
def cluster(tmp_path):
    """Return a Cluster in a fresh folder; its programs are ended afterwards."""
    with Cluster(str(tmp_path / "project")) as made:
        yield made


@pytest.fixture
def master(tmp_path):
    """Return a master of a run with one worker, in this process."""
    with LocalMaster(str(tmp_path / "master"), "system.total_workers=1", "system.min_workers=1") as made:
        yield made
