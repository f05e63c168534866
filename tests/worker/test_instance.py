"""A state folder is one instance of a worker, and one process holds it at a time."""

import os
import signal
import subprocess
import sys

import pytest

from flq.errors import ConfigError, Conflict
from flq.worker.instance import take

HOLD = (
    "import sys\n"
    "from flq.worker.instance import take\n"
    "name, lock = take(sys.argv[1])\n"
    "print(name, flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def holder(tmp_path):
    """Return the name of a state folder that another process holds."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_name_persists(tmp_path):
    state = str(tmp_path / "a" / "state")
    first, lock = take(state)
    lock.close()
    again, lock = take(state)
    lock.close()
    assert first == again and 1 <= len(first) <= 64


def test_folders_have_names_of_their_own(tmp_path):
    names = set()
    for folder in "a", "b", "c":
        name, lock = take(str(tmp_path / folder))
        lock.close()
        names.add(name)
    assert len(names) == 3


def test_a_folder_that_a_process_holds_is_refused(tmp_path, holder):
    with pytest.raises(Conflict, match="another worker is running with the state folder"):
        take(str(tmp_path / "state"))


def test_a_killed_process_leaves_its_folder_free_and_its_name_in_it(tmp_path, holder):
    process, name = holder
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again, lock = take(str(tmp_path / "state"))
    lock.close()
    assert again == name


def test_the_lock_ends_with_the_file_that_holds_it(tmp_path):
    state = str(tmp_path)
    _, lock = take(state)
    with pytest.raises(Conflict):
        take(state)
    lock.close()
    _, lock = take(state)
    lock.close()


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "state").write_text("x")
    with pytest.raises(
        ConfigError, match="state cannot be written: %s is not a folder .--state_dir" % tmp_path.joinpath("state")
    ):
        take(str(tmp_path / "state"))


def test_each_flipped_bit_is_noticed_and_the_worker_joins_as_new(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # hundreds of files, none of which has to last
    name, lock = take(str(tmp_path))
    lock.close()
    path = tmp_path / "instance"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            caplog.clear()
            found, lock = take(str(tmp_path))
            lock.close()
            assert found == name or "%s is damaged: this worker joins as new" % path in caplog.text
            assert len(found) == 32 and take_again(tmp_path) == found


def take_again(state_dir):
    found, lock = take(str(state_dir))
    lock.close()
    return found


def test_an_instance_of_an_older_release_is_kept(tmp_path, caplog):
    (tmp_path / "instance").write_text("0123456789abcdef" * 2)
    assert take_again(tmp_path) == "0123456789abcdef" * 2 and not caplog.records
