"""What takes minutes by itself runs beside the other tests, and is waited for last."""

import pytest

BESIDE = ("test_the_pip_section_makes_an_environment_in_which_the_programs_run",
          "test_worker_tests_pass_under_python_36")


def pytest_collection_modifyitems(items):
    """Put the tests that wait for it last."""
    items.sort(key=lambda item: BESIDE.index(item.name) + 1 if item.name in BESIDE else 0)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    """Start it before the first test, if it is among those that run."""
    for item in session.items:
        if item.name in BESIDE and not session.config.option.collectonly:
            item.module.start(session.config)
