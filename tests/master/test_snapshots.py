"""Snapshots: the newest complete one is used, and the oldest are deleted."""

import logging
import os

import numpy as np
import pytest

from flq.durable import Corrupted
from flq.errors import FlqError
from flq.master.storage.snapshots import FOLDER, KeptSnapshot, Snapshots


def write(snapshots, seq, version=0):
    snapshots.write(seq, {"oldest_delta": version, "round_index": seq}, {"model": np.full(100, seq, np.float32)})


def accept(meta, arrays):
    """Accept any."""


def names(folder):
    return sorted(os.listdir(os.path.join(folder, FOLDER)))


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def damage(folder, seq, how):
    path = os.path.join(folder, FOLDER, "snapshot_%012d.npz" % seq)
    with open(path, "rb") as stream:
        content = bytearray(stream.read())
    if how == "torn":
        del content[len(content) // 2 :]
    elif how == "flipped":
        content[300] ^= 1
    else:
        del content[:]
    with open(path, "wb") as stream:
        stream.write(content)


def test_the_newest_is_read_back(folder):
    snapshots = Snapshots(folder, 2)
    write(snapshots, 3)
    write(snapshots, 8)
    meta, arrays = snapshots.newest(accept)
    assert meta["seq"] == 8 and arrays["model"].tolist() == [8.0] * 100


def test_the_requested_number_is_kept_with_the_entries_that_they_need(folder):
    snapshots = Snapshots(folder, 2)
    write(snapshots, 3, version=1)
    assert snapshots.oldest is None
    for seq, version in ((8, 4), (12, 6)):
        write(snapshots, seq, version)
    assert names(folder) == ["snapshot_000000000008.npz", "snapshot_000000000012.npz"]
    assert snapshots.oldest == KeptSnapshot(8, 4)


@pytest.mark.parametrize("how", ["torn", "flipped", "empty"])
def test_a_damaged_newest_snapshot_falls_back_to_the_one_before_with_a_warning(folder, caplog, how):
    snapshots = Snapshots(folder, 3)
    for seq in (3, 8, 12):
        write(snapshots, seq)
    damage(folder, 12, how)
    with caplog.at_level(logging.WARNING, "flq"):
        assert snapshots.newest(accept)[0]["seq"] == 8
    assert "snapshot of entry 12 cannot be read, the previous one is used" in caplog.text
    assert names(folder) == ["snapshot_000000000003.npz", "snapshot_000000000008.npz"]  # it is of no use any more


def test_without_a_complete_snapshot_the_run_cannot_be_resumed(folder):
    snapshots = Snapshots(folder, 2)
    for seq in (3, 8):
        write(snapshots, seq)
        damage(folder, seq, "torn")
    with pytest.raises(FlqError, match="no snapshot in .* can be read"):
        snapshots.newest(accept)


def test_a_changed_snapshot_is_not_used(folder, caplog):
    snapshots = Snapshots(folder, 2)
    write(snapshots, 3)
    write(snapshots, 8)

    def only_3(meta, arrays):
        if meta["seq"] != 3:
            raise Corrupted("another model")

    with caplog.at_level(logging.WARNING, "flq"):
        assert snapshots.newest(only_3)[0]["seq"] == 3
    assert "snapshot of entry 8 cannot be read, the previous one is used: another model" in caplog.text


def test_in_the_background_one_is_written_at_a_time(folder, monkeypatch, caplog):
    snapshots = Snapshots(folder, 2)
    snapshots.begin(3, {"oldest_delta": 0, "round_index": 1}, {"model": np.zeros(4, np.float32)})
    snapshots.wait()
    assert names(folder) == ["snapshot_000000000003.npz"] and not snapshots.is_writing

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flq.master.storage.snapshots.save_state", fail)
    with caplog.at_level(logging.WARNING, "flq"):
        snapshots.begin(4, {"oldest_delta": 0, "round_index": 2}, {})
        snapshots.wait()
    assert "the snapshot of round 2 is not written" in caplog.text
    assert names(folder) == ["snapshot_000000000003.npz"]  # and the run continues


def test_no_snapshot_recreates_the_folder_of_a_run(tmp_path):
    moved = tmp_path / "run"
    with pytest.raises(FileNotFoundError):
        write(Snapshots(str(moved), 2), 3)
    assert not moved.exists()
