"""The programs that the power-loss drills record: good writers, and writers with a planted bug.

    python storage_writers.py NAME FOLDER [COUNT]

Each writes version 1, 2, ... and prints "promised N" when version N must not be lost any more.
"""

import ctypes
import os
import sqlite3
import sys

import numpy as np
import recorded_master

from flq import durable
from flq.master.storage import journal
from flq.master.storage.snapshots import Snapshots
from flq.protocol.journal_codec import JournalEntry
from flq.worker import instance

SIZE = 3000  # bytes of a version: several sectors, none of them full at the end


def mark(text):
    """Send a line to the drill."""
    ctypes.CDLL(None).oplog_mark(text.encode("ascii"))


def promise(version):
    """Announce that a version must not be lost any more."""
    mark("promised %d" % version)


def content(version):
    return bytes([version]) * SIZE


def arrays(version):
    """Return the arrays of a version; one has two names."""
    shared = np.arange(version, version + 200, dtype=np.float32)
    return {"residual": shared, "residual_if_not": shared, "moments": np.full((3, 40), version, np.float64)}


def sound(path, data):
    durable.write_whole(path, lambda stream: stream.write(data))


def forgets_file(path, data):
    with open(path + ".part", "wb") as stream:
        stream.write(data)
    os.replace(path + ".part", path)
    durable.sync_folder(os.path.dirname(path))


def forgets_folder(path, data):
    with open(path + ".part", "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(path + ".part", path)


def in_place(path, data):
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    durable.sync_folder(os.path.dirname(path))


def versions(write, folder, count):
    for version in range(1, count + 1):
        write(os.path.join(folder, "file"), content(version))
        promise(version)


def state(folder, count):
    """Write the worker's state file."""
    for version in range(1, count + 1):
        durable.save_state(os.path.join(folder, "state.npz"), {"version": version, "name": "worker"}, arrays(version))
        promise(version)


def read_state(folder, count):
    """Read the state file; its version counts as promised."""
    path = os.path.join(folder, "state.npz")
    version = durable.load_state(path)[0]["version"] if os.path.exists(path) else 0
    promise(version)


def instance_name(folder, count):
    """Lock the worker's state folder, and print its name."""
    name, lock = instance.take(os.path.join(folder, "state", "worker0"))
    lock.close()
    mark("named " + name)


def folders(make, folder, count):
    """Create nested folders for each version, and write it there."""
    for version in range(1, count + 1):
        inner = os.path.join(folder, "outer", "inner%d" % version)
        make(inner)
        sound(os.path.join(inner, "file"), content(version))
        promise(version)


def database(synchronous, folder, count):
    """Commit one row per version to an SQLite database, like a journal."""
    connection = sqlite3.connect(os.path.join(folder, "journal.sqlite"), isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=%s" % synchronous)
    connection.execute("CREATE TABLE entries (seq INTEGER PRIMARY KEY, payload BLOB)")
    for version in range(1, count + 1):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO entries VALUES (?, ?)", (version, content(version)))
        connection.execute("COMMIT")
        promise(version)
    connection.close()


def entry(version):
    """Return an answer for the journal, in two buffers as received."""
    return JournalEntry("answered", {"version": version}, b"head%d" % version + content(version))


def run_of_journal(folder, count):
    """Start a run, and write it."""
    run = os.path.join(folder, "results", "run")
    durable.make_folder(run)
    opened = journal.create(run, {"run_id": "run"})
    Snapshots(run, 2).write(0, {"oldest_delta": 0, "round_index": 0}, arrays(0))
    mark("begun")
    write_entries(opened, run, 1, count)


def resumed_run(folder, count):
    """Resume a run; its version counts as promised."""
    run = os.path.join(folder, "results", "run")
    opened = journal.open_journal(run)
    promise(opened.last_seq())
    write_entries(opened, run, opened.last_seq() + 1, count)


def write_entries(opened, run, first, count):
    """Commit one entry per version, and after every second one a snapshot, in the background."""
    snapshots = Snapshots(run, 2)
    for version in range(first, first + count):
        opened.write(
            journal.Batch(
                [(version, entry(version))],
                [(version, version, content(version))],
                [(version, {"round": version})],
                [],
                {"counted": version},
            )
        )
        promise(version)
        if version % 2 == 0:
            opened.checkpoint()
            snapshots.begin(version, {"oldest_delta": version - 1, "round_index": version}, arrays(version))
        if snapshots.oldest is not None:
            opened.forget(*snapshots.oldest)
    snapshots.wait()
    opened.close()


def master(folder, n_rounds):
    """Run a master's machine for some rounds; entries written before a reply are promised."""
    bench = recorded_master.new_bench()
    store = recorded_master.begin(os.path.join(folder, "results", "run"), bench, promise)
    mark("begun")
    recorded_master.play(bench, n_rounds)
    store.close()


def passes_by(folder, count):
    """Write through the buffers of the C library, whose calls cannot be recorded."""
    content_of_all = np.zeros(count * SIZE, np.uint8)
    content_of_all.tofile(os.path.join(folder, "file"))


def can_not_be_rebuilt(folder, count):
    sound(os.path.join(folder, "file"), content(count))
    os.truncate(os.path.join(folder, "file"), 1)


PROGRAMS = {
    "sound": lambda *rest: versions(sound, *rest),
    "forgets_file": lambda *rest: versions(forgets_file, *rest),
    "forgets_folder": lambda *rest: versions(forgets_folder, *rest),
    "in_place": lambda *rest: versions(in_place, *rest),
    "state": state,
    "read_state": read_state,
    "instance": instance_name,
    "folders": lambda *rest: folders(durable.make_folder, *rest),
    "folders_unsynced": lambda *rest: folders(lambda path: os.makedirs(path, exist_ok=True), *rest),
    "database_normal": lambda *rest: database("NORMAL", *rest),
    "journal": run_of_journal,
    "resumed_run": resumed_run,
    "master": master,
    "passes_by": passes_by,
    "can_not_be_rebuilt": can_not_be_rebuilt,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
