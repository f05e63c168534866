"""The suite under Python 3.6 takes minutes of one core: it runs beside the other tests, and is waited for last."""

import pytest

BESIDE = "test_worker_tests_pass_under_python_36"


def pytest_collection_modifyitems(items):
    """Put the test that waits for it last."""
    items.sort(key=lambda item: item.name == BESIDE)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    """Start it before the first test, if it is among those that run."""
    for item in session.items:
        if item.name == BESIDE and not session.config.option.collectonly:
            item.module.start(session.config)
