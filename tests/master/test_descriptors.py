"""The number of connections that fit into the limit on open files."""

import logging
import os
import resource

import pytest

from flq.errors import ConfigError
from flq.master.http import descriptors


@pytest.mark.parametrize(
    "total_workers, wanted, limit, in_use, expected",
    [
        (2, 0, 20000, 10, 264),
        (200, 0, 20000, 10, 1056),
        (200, 0, 1024, 10, 886),
        (2, 100, 1024, 10, 100),
        (2, 3, 1024, 10, 3),
        (2, 0, 64, 10, 27),
        (2, 0, descriptors.UNLIMITED, 10, 264),
    ],
)
def test_as_many_as_are_wanted_or_fit(caplog, total_workers, wanted, limit, in_use, expected):
    caplog.set_level(logging.WARNING)
    assert descriptors.n_connections(total_workers, wanted, limit, in_use) == expected
    assert caplog.text == ""


def test_a_setting_that_does_not_fit_is_one_line_with_figures_and_a_remedy(caplog):
    caplog.set_level(logging.WARNING)
    assert descriptors.n_connections(2, 5000, 1024, 10) == 886
    (record,) = caplog.records
    assert record.message == (
        "security.max_connections is 5000, expected at most 886: this process may open 1024 files, and keeps 138 for "
        "journal, results and logs; no more than 886 connections are kept (raise the hard limit with ulimit -Hn 5138 "
        "as root, in a systemd unit with LimitNOFILE=5138; or lower security.max_connections)"
    )
    assert descriptors.n_connections(2, 5000, 5138, 10) == 5000  # it says the truth


@pytest.mark.parametrize("total_workers, limit", [(10, 64), (100, 64), (500, 1024), (1, 10), (1, 5)])
def test_a_limit_that_is_too_small_for_the_workers_is_refused_with_a_remedy(total_workers, limit):
    with pytest.raises(ConfigError) as caught:
        descriptors.n_connections(total_workers, 0, limit, 10)
    needed = 2 * total_workers + 8
    assert caught.value.detail.startswith("%d workers need %d connections, expected at most " % (total_workers, needed))
    enough = int(caught.value.hint.rpartition("LimitNOFILE=")[2].partition(";")[0])
    assert "ulimit -Hn %d " % enough in caught.value.hint and "system.total_workers" in caught.value.hint
    assert descriptors.n_connections(total_workers, 0, enough, 10) >= needed


@pytest.mark.parametrize("wanted", [1, 4])
def test_fewer_connections_than_the_workers_need_are_refused(wanted):
    with pytest.raises(ConfigError, match="security.max_connections is %d, expected at least 5: one for each" % wanted):
        descriptors.n_connections(4, wanted, 1024, 10)
    assert descriptors.n_connections(4, 5, 1024, 10) == 5


@pytest.fixture
def limits():
    """The limits of this process, which are restored afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised_to_the_hard_one(limits):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1] // 2, limits[1]))
    assert descriptors.raise_limit() == limits[1] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_a_system_that_does_not_let_it_be_raised_is_taken_as_it_is(limits, monkeypatch):
    def refuse(*_):
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(descriptors.resource, "setrlimit", refuse)
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _: (1000, resource.RLIM_INFINITY))
    assert descriptors.raise_limit() == 1000
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert descriptors.raise_limit() == descriptors.UNLIMITED
    monkeypatch.undo()


def test_open_descriptors_are_counted():
    before = descriptors.n_open()
    read_end, write_end = os.pipe()
    assert descriptors.n_open() == before + 2
    os.close(read_end)
    os.close(write_end)
