"""A bit flip in a file of a killed run is harmless, repaired or rejected, and never leads silently to another model.

A run is killed in the middle, master and workers; for each flip it is resumed from a copy of its files. Everything is
in one process, with real files and virtual network and time, as in test_kills_in_memory.py.
"""

import logging
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "engines"))

from crash_master import ANSWERED, JOURNALLED, CrashMaster  # noqa: E402
from crash_network import CrashNetwork  # noqa: E402
from factory import quadratic_with  # noqa: E402

from flq.engines.simulation import simulate  # noqa: E402
from flq.errors import FlqError  # noqa: E402
from flq.master.storage import journal  # noqa: E402
from flq.report.recorded import read_journal  # noqa: E402

SMALL = dict(total_workers=3, max_rounds=9, dim=3000, lease_s=300.0)
MODES = {
    "bbit, residual": dict(SMALL, b_down=8),
    "bbit, mirror": dict(SMALL, memory="mirror", thr_scale=3.0, C=2),
    "gradients, adam": dict(SMALL, update="gradient", server_optimizer="adam", lr=0.01),
    "bin": dict(SMALL, mode="bin", b_down=0),
    "lowrank, momentum, average": dict(SMALL, mode="lowrank", server_optimizer="momentum", server_lr=0.6, ema=0.5),
}
FILES = ("journal.sqlite", "journal.sqlite-wal", "snapshot_", "state.npz")  # equally often; by how names begin
N_FLIPS = 600 if os.environ.get("FLQ_DRILLS") == "all" else 60  # for each mode
LOST = "the state of this worker is lost, it joins as new"
HARMLESS, HEALED, REFUSED, JOINED_AS_NEW = "harmless", "healed", "refused", "refused by a worker, which joins as new"


class Enough(BaseException):
    """Raised where the run is killed."""


class Left(NamedTuple):
    """The files that a killed run has left in ``folder``, and its undisturbed result."""

    folder: str
    settings: dict
    model: tuple


class Lines(logging.Handler):
    """Keeps log records."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def killed(folder, settings):
    """Run until there are two snapshots and some further transactions; return a copy of the folder."""
    running, left = os.path.join(folder, "running"), os.path.join(folder, "left")

    def strikes(point, n):
        if point == JOURNALLED and network.master.machine.round_index == 6:
            shutil.copytree(running, left, ignore=shutil.ignore_patterns("*-shm"))
            raise Enough
        return False

    network = CrashNetwork(running, settings, strikes, together=False)
    with pytest.raises(Enough):
        network.run()
    return left


def model_of(server):
    return tuple(vector.tobytes() for vector in (server.model, server.shared, server.result))


@pytest.fixture
def make_left(scratch):
    """Return a function that makes a Left of a mode."""

    def make(name):
        settings = quadratic_with(**MODES[name])
        return Left(killed(str(scratch), settings), settings, model_of(simulate(settings).master.model.state))

    return make


def resume(folder, settings):
    """Resume until the end; return the model, the log lines, and the reports of the rounds."""
    lines = Lines()
    logging.getLogger("flq").addHandler(lines)
    try:
        network = CrashNetwork(folder, settings, lambda point, n: False, resumes=True).run()
    finally:
        logging.getLogger("flq").removeHandler(lines)
    return model_of(network.master.machine.model.state), lines.texts, network.reports


def flip(folder, draws):
    """Flip a bit; return the name of the file and the offset."""
    kind = draws.choice(FILES)
    paths = sorted(
        path
        for path in Path(folder).rglob("*")
        if path.name == kind or (kind.endswith("_") and path.name.startswith(kind))
    )
    path = draws.choice(paths)
    content = bytearray(path.read_bytes())
    place = draws.randrange(len(content))
    content[place] ^= 1 << draws.randrange(8)
    path.write_bytes(content)
    return kind, path, place


def judge(left, folder):
    """Resume from a folder with a flipped bit; return the outcome."""
    try:
        model, said, reports = resume(folder, left.settings)
    except FlqError as error:
        assert folder in str(error), "the sentence does not say which file: %s" % error
        return REFUSED
    if model != left.model:
        assert [text for text in said if text.startswith(LOST)], "another model in silence: %s" % said
        return JOINED_AS_NEW
    assert [report.round_index for report in reports] == list(range(1, 10)) or said
    return HEALED if said else HARMLESS


def test_without_a_flip_it_resumes_without_warnings_to_the_undisturbed_model(make_left):
    for name in MODES:
        left = make_left(name)
        names = [path.name for path in Path(left.folder).rglob("*") if path.is_file()]
        assert all(any(name.startswith(kind) for name in names) for kind in FILES)
        assert os.path.getsize(next(Path(left.folder).rglob("*-wal"))) > 4096 * 10
        model, said, reports = resume(left.folder, left.settings)
        assert (model, said) == (left.model, []) and len(reports) == 9
        shutil.rmtree(os.path.dirname(left.folder))


@pytest.mark.parametrize("name", MODES)
def test_a_flipped_bit_is_harmless_or_healed_or_refused(make_left, scratch, name):
    left, draws, outcomes = make_left(name), random.Random(name), Counter()
    copy = os.path.join(str(scratch), "copy")
    for number in range(N_FLIPS):
        shutil.copytree(left.folder, copy)
        kind, path, place = flip(copy, draws)
        outcome = None
        try:
            outcome = judge(left, copy)
        finally:
            print("flip %d: %s at byte %d: %s" % (number, path, place, outcome or "failed"))
        outcomes[kind, outcome] += 1
        shutil.rmtree(copy)
    print(sorted(outcomes.items()))
    assert {outcome for _, outcome in outcomes} == {HARMLESS, HEALED, REFUSED, JOINED_AS_NEW}


@pytest.mark.parametrize("n", [12, 17, 21, 25])
@pytest.mark.parametrize("name", MODES)
def test_workers_that_live_are_ahead_of_a_log_whose_last_transaction_is_damaged(scratch, monkeypatch, name, n):
    """The transaction looks unanswered: the log says so, and a worker that knows its verdict joins as new."""
    bury, settings, lines = CrashMaster._bury, quadratic_with(**MODES[name]), Lines()

    def bury_and_damage(master):
        bury(master)
        (log,) = Path(master.run_dir).rglob("*-wal")
        content = bytearray(log.read_bytes())
        content[-100] ^= 1
        log.write_bytes(content)

    monkeypatch.setattr(CrashMaster, "_bury", bury_and_damage)
    monkeypatch.setattr(journal, "LARGEST_WAL_BYTES", 0)  # the file ends where the log ends
    logging.getLogger("flq").addHandler(lines)
    try:
        network = CrashNetwork(str(scratch), settings, lambda point, i: point == ANSWERED and i == n).run()
    finally:
        logging.getLogger("flq").removeHandler(lines)
    assert network.fired[ANSWERED] == 1
    assert "the last transaction in the log" in lines.texts[0] and "is incomplete and left out" in lines.texts[0]
    assert [peer.action.code for peer in network.peers] == [0] * 3
    assert [report.round_index for report in network.reports] == list(range(1, 10))


def without_the_log(left):
    """Delete the log; return the number of rounds in the rest of the journal."""
    (log,) = Path(left.folder).rglob("*-wal")
    log.unlink()
    return read_journal(str(log.parent)).rows[-1].round_index


@pytest.mark.parametrize("name", MODES)
def test_without_its_log_the_run_resumes_from_its_newest_snapshot_with_a_warning(make_left, name):
    left = make_left(name)
    assert without_the_log(left) == 4  # after which the newest snapshot was taken
    _, said, reports = resume(left.folder, left.settings)
    assert "journal.sqlite was not closed, and its log (journal.sqlite-wal) is missing" in said[0]
    assert [report.round_index for report in reports] == list(range(1, 10))
