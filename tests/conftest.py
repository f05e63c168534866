"""What takes minutes by itself runs beside the other tests, and is waited for last."""

import signal

import pytest

BESIDE = ("test_the_pip_section_makes_an_environment_in_which_the_programs_run", "test_the_whole_worker_suite_passes")


def pytest_configure():
    """Let Ctrl-C reach the programs that tests start, also where the tests themselves run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def name_of(item):
    """Return the name of a test without its parameters."""
    return item.name.split("[")[0]


def pytest_collection_modifyitems(items):
    """Put the tests that wait for it last."""
    items.sort(key=lambda item: BESIDE.index(name_of(item)) + 1 if name_of(item) in BESIDE else 0)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    """Start it before the first test, if it is among those that run."""
    for item in session.items:
        if name_of(item) in BESIDE and not session.config.option.collectonly:
            item.module.start(session.config)
