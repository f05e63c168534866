"""A file system without locks is reported, and not mistaken for another program that holds the lock."""

import errno
import os

import pytest

from flq import locks
from flq.errors import ConfigError, Conflict
from flq.locks import is_locked, lock
from flq.tokens import make_tokens
from flq.worker.instance import take

NONE = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EIO, errno.EBADF]


def failing(monkeypatch, number):
    """Let each lock fail with an error."""

    def flock(stream, flags):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)


def test_a_lock_is_had_by_one(tmp_path):
    with open(str(tmp_path / "lock"), "a") as first, open(str(tmp_path / "lock"), "a") as second:
        assert lock(first, "")
        assert not lock(second, "")
        first.close()
        assert lock(second, "") and lock(second, "", waits=True)


def test_a_look_at_the_lock_keeps_nobody_from_it(tmp_path, monkeypatch):
    with open(str(tmp_path / "lock"), "a") as stream, open(str(tmp_path / "lock")) as looking:
        locks.fcntl.flock(looking, locks.fcntl.LOCK_SH)
        looks = iter([None, None, looking.close])
        monkeypatch.setattr(locks.os, "sched_yield", lambda: (next(looks) or int)())
        assert not is_locked(stream.name) and lock(stream, "") and is_locked(stream.name)
        assert next(looks, "none is left") == "none is left"


@pytest.mark.parametrize("number", NONE)
@pytest.mark.parametrize("waits", [False, True])
def test_a_file_system_without_locks_is_reported_with_its_file_and_a_fix(tmp_path, monkeypatch, number, waits):
    failing(monkeypatch, number)
    with open(str(tmp_path / "lock"), "a") as stream, pytest.raises(ConfigError) as caught:
        lock(stream, "use a disk", waits)
    assert str(caught.value) == "the file system of %s has no working locks: %s (use a disk)" % (
        tmp_path / "lock",
        os.strerror(number),
    )


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES])
def test_a_lock_held_by_another_process_is_no_error(tmp_path, monkeypatch, number):
    failing(monkeypatch, number)
    with open(str(tmp_path / "lock"), "a") as stream:
        assert not lock(stream, "")
    with pytest.raises(Conflict, match="another worker is running"):
        take(str(tmp_path / "state"))


def test_state_folders_and_tokens_need_locks(tmp_path, monkeypatch):
    failing(monkeypatch, errno.ENOLCK)
    with pytest.raises(
        ConfigError, match=r"state.instance has no working locks: .*choose a --state_dir on a local disk"
    ):
        take(str(tmp_path / "state"))
    with pytest.raises(ConfigError, match=r"tokens\.lock has no working locks: .*name a --token_file on a local disk"):
        make_tokens(str(tmp_path / "tokens"), 2)
