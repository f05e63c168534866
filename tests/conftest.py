"""Selects the tests of a run by the tiers of tiers.py, and reports how many it leaves out."""

import os
import signal
from collections import Counter

import pytest
import tiers

HINTS = {
    tiers.ALL: "%d tests were left out: ./run_tests.sh --all runs them.",
    tiers.DRILLS: "%d tests of the full drills were left out: ./run_tests.sh --drills runs them.",
}


def pytest_addoption(parser):
    """Add --all and --drills."""
    group = parser.getgroup("flq")
    group.addoption("--all", action="store_true", help="run the tests that the short run leaves out, too")
    group.addoption("--drills", action="store_true", help="run tests/drills with every kill at every point")


def pytest_configure(config):
    """Let Ctrl-C reach the programs that tests start, even if the tests run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.flq_left_out = Counter()
    if config.option.drills:
        os.environ["FLQ_DRILLS"] = "all"


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config, items):
    """Deselect tests that are not in this run; tests named by their path always run."""
    source = getattr(config, "args_source", None)  # since pytest 7.2
    is_named = source is None or source.name == "ARGS"
    wanted = [tiers.SHORT]
    wanted += [tiers.ALL] * (is_named or config.option.all or config.option.drills)
    wanted += [tiers.DRILLS] * config.option.drills
    kept, left_out = [], []
    for item, tier in zip(items, tiers.tiers_of([item.nodeid for item in items])):
        if tier not in wanted:
            config.flq_left_out[tier] += 1
        is_meant = is_named or not config.option.drills or item.nodeid.startswith("tests/drills/")
        (kept if tier in wanted and is_meant else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = sorted(kept, key=lambda item: tiers.rank(item.nodeid))


def pytest_sessionfinish(session):
    """Report the deselected tests to the controlling process; all workers have collected the same."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["flq_left_out"] = dict(session.config.flq_left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Receive the report of one worker, unless it has crashed."""
    node.config.flq_left_out |= Counter(getattr(node, "workeroutput", {}).get("flq_left_out"))


def pytest_unconfigure(config):
    """Print the number of deselected tests, below everything else."""
    if not hasattr(config, "workeroutput"):
        for tier, n_tests in sorted(config.flq_left_out.items()):
            print(HINTS[tier] % n_tests)
