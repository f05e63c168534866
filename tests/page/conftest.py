"""The masters of other tests are looked at here: one in this process, and real programs."""

import sys
from pathlib import Path

import pytest

for name in ("master", "e2e", "report"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / name))


@pytest.fixture
def make_master(tmp_path):
    """Return a function that starts a LocalMaster with the given overrides."""
    from local_master import LocalMaster

    made = []

    def make(*overrides):
        made.append(LocalMaster(str(tmp_path / ("master%d" % len(made))), *overrides))
        return made[-1]

    yield make
    for master in made:
        master.close()
