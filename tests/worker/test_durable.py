"""flq.durable: state files come back as they were, or are refused; a write that fails leaves the old file."""

import errno
import json
import os
import random
import stat
import zipfile

import numpy as np
import pytest

from flq import durable

META = {"version": 3, "limit": float("inf"), "name": "h\u00e9ron", "list": [1, None, 0.1]}


def some_arrays():
    """Return arrays of several kinds, one under two names, and names that zip or numpy could mishandle."""
    residual = np.arange(5, dtype=np.float32)
    return {
        "residual": residual,
        "residual_if_not": residual,
        "file": np.array(3),
        "head.json": np.zeros((2, 2)),
        "array0.npy": np.empty((0, 3), np.int64),
        "a/b:0": np.asfortranarray(np.ones((2, 3), np.uint8)),
    }


def same(found, arrays):
    """Return whether two sets of arrays are equal, bit for bit."""
    return set(found) == set(arrays) and all(
        found[name].dtype == array.dtype
        and found[name].shape == array.shape
        and found[name].tobytes() == array.tobytes()
        for name, array in arrays.items()
    )


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state.npz")


@pytest.fixture
def saved(path):
    """Return the bytes of an existing state file."""
    durable.save_state(path, META, some_arrays())
    return read(path)


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def write(path, content):
    with open(path, "wb") as stream:
        stream.write(content)


def refuse(stream):
    """Write half of a file, then fail with a full disk."""
    stream.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_state_comes_back_as_it_was(path, saved):
    meta, arrays = durable.load_state(path)
    assert meta == META
    assert same(arrays, some_arrays())


def test_a_state_without_arrays_comes_back(path):
    durable.save_state(path, {}, {})
    assert durable.load_state(path) == ({}, {})


def test_an_array_under_two_names_is_stored_once_and_comes_back_as_one(path):
    big = np.arange(10000, dtype=np.float64)
    durable.save_state(path, {}, {"one": big, "other": big})
    assert os.path.getsize(path) < 1.1 * big.nbytes
    _, arrays = durable.load_state(path)
    assert arrays["one"] is arrays["other"] and np.array_equal(arrays["one"], big)


def test_equal_arrays_stay_two(path):
    durable.save_state(path, {}, {"one": np.zeros(3), "other": np.zeros(3)})
    _, arrays = durable.load_state(path)
    assert arrays["one"] is not arrays["other"]


def test_the_same_state_gives_the_same_bytes(path, saved):
    durable.save_state(path, META, some_arrays())
    assert read(path) == saved


def test_numpy_reads_the_arrays(path):
    durable.save_state(path, {}, {"residual": np.arange(3)})
    with np.load(path, allow_pickle=False) as members:
        assert members["array0"].tolist() == [0, 1, 2]


def test_objects_are_not_stored(path, saved):
    with pytest.raises(ValueError):
        durable.save_state(path, {}, {"thing": np.array([object()])})
    assert read(path) == saved


def damaged_bytes(whole):
    """Yield copies with one byte changed, at every position."""
    for place, byte in enumerate(whole):
        for other in (byte ^ 1, byte ^ 0xFF):
            yield whole[:place] + bytes([other]) + whole[place + 1 :]


def damaged_ends(whole):
    """Yield copies that end early, end in zeros, or have additional bytes."""
    for size in range(len(whole)):
        yield whole[:size]
        yield whole[:size] + bytes(len(whole) - size)
    for size in (1, 40, len(whole)):
        yield whole + whole[:size]


def damaged_anywhere(whole):
    """Yield copies with several bytes changed."""
    generator = random.Random(8)
    for _ in range(1000):
        changed = bytearray(whole)
        for _ in range(generator.randint(2, 30)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        yield bytes(changed)


@pytest.mark.parametrize("damage", [damaged_bytes, damaged_ends, damaged_anywhere])
def test_a_damaged_file_is_rejected_or_reads_the_same(path, damage, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # thousands of files, none of which has to last
    arrays = {"residual": np.arange(5, dtype=np.float32), "size": np.array(3)}
    durable.save_state(path, META, arrays)
    refused = 0
    for content in damage(read(path)):
        write(path, content)
        try:
            meta, found = durable.load_state(path)
        except durable.Corrupted:
            refused += 1
        else:
            assert meta == META and same(found, arrays)
    assert refused > 0


def test_a_file_of_another_format_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(durable.HEAD, json.dumps({"format": 2}))
    with pytest.raises(durable.Corrupted, match="format 2, expected 1"):
        durable.load_state(path)


def test_a_file_that_is_missing_is_not_damaged(path):
    with pytest.raises(FileNotFoundError):
        durable.load_state(path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path, saved):
    with pytest.raises(OSError, match="No space"):
        durable.write_whole(path, refuse)
    assert read(path) == saved
    assert os.listdir(os.path.dirname(path)) == ["state.npz"]


def test_a_write_that_fails_at_fsync_leaves_the_old_file(path, saved, monkeypatch):
    def broken(fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        durable.write_whole(path, lambda stream: stream.write(b"new"))
    assert read(path) == saved
    assert os.listdir(os.path.dirname(path)) == ["state.npz"]


def test_leftovers_of_a_killed_writer_do_no_harm(path, saved):
    write(path + ".part", b"x" * 100000)
    os.chmod(path + ".part", 0o666)
    assert durable.load_state(path)[0] == META
    durable.write_whole(path, lambda stream: stream.write(b"new"), mode=0o600)
    assert read(path) == b"new"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(os.path.dirname(path)) == ["state.npz"]


def test_a_file_that_is_not_regular_is_not_replaced(path):
    os.mkfifo(path)
    os.symlink(path, path + ".link")
    for name in (path, path + ".link"):
        with pytest.raises(OSError, match="not a regular file"):
            durable.write_whole(name, refuse)
    assert stat.S_ISFIFO(os.stat(path).st_mode) and sorted(os.listdir(os.path.dirname(path))) == [
        "state.npz",
        "state.npz.link",
    ]


def test_a_file_in_the_current_folder_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    durable.write_whole("file", lambda stream: stream.write(b"here"))
    assert read("file") == b"here"


def test_a_folder_is_made_with_those_above_it(tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    durable.make_folder(os.path.join("one", "two"))
    durable.make_folder(os.path.join("one", "two"))
    assert os.path.isdir(str(tmp_path / "one" / "two"))


def test_a_folder_in_the_place_of_a_file_is_refused(path, saved):
    with pytest.raises(OSError):
        durable.make_folder(path)
    with pytest.raises(OSError):
        durable.make_folder(os.path.join(path, "inner"))
    assert read(path) == saved


def test_a_file_system_that_cannot_sync_folders_is_accepted(path, monkeypatch):
    real = os.fsync

    def files_only(fd):
        if os.path.isdir("/proc/self/fd/%d" % fd):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(fd)

    monkeypatch.setattr(os, "fsync", files_only)
    durable.write_whole(path, lambda stream: stream.write(b"here"))
    assert read(path) == b"here"
