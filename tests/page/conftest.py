"""Fixtures of the page's tests: a master in this process, and real programs."""

import sys
from pathlib import Path

for name in ("master", "e2e", "report"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / name))

from masters import make_master, run_workers  # noqa: E402, F401 - fixtures
