"""The disk of the power-loss drills keeps exactly what POSIX promises to keep."""

from disk_model import CREATE, RENAME, SECTOR, SYNC, WRITE, Disk, Op, Surviving, images_after


def op(kind, inode=0, offset=0, path="", other="", data=b""):
    return Op(kind, inode, offset, path, other, data)


def contents(ops, lost):
    """Return the content of the disk if the power fails after the operations."""
    disk = Disk()
    for item in ops:
        disk.apply(item)
    image = images_after(disk, range(0), 0)[lost]
    return {path: data for path, data in image.items() if data is not None}


FRESH = [op(CREATE, 7, path="a"), op(WRITE, 7, data=b"bytes")]
SYNCED = FRESH + [op(SYNC, 7, path="a")]
SYNCED_ROOT = SYNCED + [op(SYNC)]


def test_fsync_of_a_new_file_does_not_keep_its_name():
    assert contents(SYNCED, "bytes and names") == {}
    assert contents(SYNCED_ROOT, "bytes and names") == {"a": b"bytes"}


def test_fsync_of_a_folder_does_not_keep_the_bytes_of_its_files():
    assert contents(FRESH + [op(SYNC)], "bytes and names") == {"a": b""}


def test_a_rename_without_fsync_may_be_lost_alone_or_be_all_that_is_kept():
    ops = SYNCED_ROOT + [op(CREATE, 8, path="b"), op(WRITE, 8, data=b"newer"), op(RENAME, path="b", other="a")]
    assert contents(ops, "bytes and names") == {"a": b"bytes"}
    assert contents(ops, "names") == {"a": b"bytes"}
    assert contents(ops, "bytes") == {"a": b""}
    assert contents(ops, "bytes, but not sizes") == {"a": b"\0\0\0\0\0"}
    assert contents(ops, "nothing") == {"a": b"newer"}


def test_a_write_is_torn_between_sectors_and_either_end_may_survive():
    disk = Disk()
    for item in (op(CREATE, 7, path="a"), op(WRITE, 7, 100, data=b"x" * 2000)):
        disk.apply(item)
    node = disk.root.now["a"]
    found = {Surviving(str(seed)).content(node) for seed in range(200)}
    cuts = [SECTOR, 2 * SECTOR, 3 * SECTOR, 4 * SECTOR]
    heads = {bytes(100) + b"x" * (cut - 100) for cut in cuts}
    tails = {bytes(cut) + b"x" * (2100 - cut) for cut in cuts}
    assert found == heads | tails
