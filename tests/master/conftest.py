"""Fixtures of the tests of flq.master."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "report"))

from masters import make_master, run_workers  # noqa: E402, F401 - fixtures
