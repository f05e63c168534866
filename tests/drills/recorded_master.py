"""A master's machine with its store, on a bench: every request is journalled, then counts as answered."""

import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np

TESTS = Path(__file__).resolve().parent.parent
sys.path += [str(TESTS), str(TESTS / "protocol")]

from master_bench import Bench, lasting  # noqa: E402

from flq.core.codecs import QUANTIZERS, plus  # noqa: E402
from flq.core.layout import Layout, Tensor, fingerprint  # noqa: E402
from flq.core.rng import BATCHES, ROUNDING, stream, uniform  # noqa: E402
from flq.master.storage import journal, resume  # noqa: E402
from flq.master.storage.store import Store  # noqa: E402
from flq.protocol.events import RoundClosed  # noqa: E402
from flq.protocol.messages import Kind, Outcome  # noqa: E402

CODEC = 4
LAYOUT = Layout((Tensor("w", (40,)), Tensor("b", (10,))))
CHANGES = {
    "mode": "bbit",
    "memory": "mirror",
    "b_up": CODEC,
    "b_down": CODEC,
    "total_workers": 2,
    "server_optimizer": "momentum",
}
WORKERS = (0, 1)


class Written:
    """Replaces the bench's machine; its replies are delivered after they are journalled."""

    def __init__(self, machine: Any, store: Store, answered: Callable[[], None]) -> None:
        self._machine, self._store, self._answered = machine, store, answered

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def handle(self, event: Any, now: float) -> Any:
        effects = self._machine.handle(event, now)
        self._store.note(self._machine, effects)
        for effect in effects:
            if isinstance(effect, RoundClosed):
                self._store.note_round(effect.report.round_index, {})
        self._store.commit(lambda: {})
        self._answered()
        return effects


def new_bench() -> Bench:
    return Bench(LAYOUT, **CHANGES)


def begin(run_dir: str, bench: Bench, answered: Callable[[int], None]) -> Store:
    """Start a run on disk; ``answered`` gets the number of the last entry written before a reply."""
    opened = resume.begin_journal(run_dir, "run", bench.settings, bench.layout)
    store = Store(run_dir, opened, snapshot_every=2, snapshots_kept=2)
    store.begin(bench.machine)
    bench.machine = Written(bench.machine, store, lambda: answered(opened.last_seq()))
    return store


def play(bench: Bench, n_rounds: int) -> None:
    """Let two workers join and answer; one skips every third round, the other begins a new epoch in the fourth."""
    bench.join(*WORKERS)
    mirrors = dict.fromkeys(WORKERS, np.zeros(LAYOUT.n_params, np.float32))
    last_seq = dict.fromkeys(WORKERS, 0)
    for index in range(1, n_rounds + 1):
        for worker_id in WORKERS:
            last_seq[worker_id] += 1
            values = uniform(LAYOUT.n_params, stream(1, BATCHES, index, worker_id))
            if worker_id == 0 and index % 3 == 0:
                outcome = bench.verdict(worker_id, Kind.SKIP, values, seq=last_seq[worker_id])
            else:
                payload = QUANTIZERS[CODEC].encode(values, LAYOUT, stream(1, ROUNDING))
                mirrors[worker_id] = plus(mirrors[worker_id], CODEC, payload, LAYOUT)
                outcome = bench.verdict(
                    worker_id, Kind.UPLOAD, values, last_seq[worker_id], state_crc=fingerprint(mirrors[worker_id])
                )
            assert outcome in (Outcome.APPLIED, Outcome.NOTED), outcome
            if worker_id == 1 and index == 4:
                bench.join(1)
                mirrors[1], last_seq[1] = 0 * mirrors[1], 0
    assert len(bench.reports) == n_rounds


def states_of(n_rounds: int) -> dict:
    """Return the durable state after each entry of the undisturbed run, {number of the entry: state}."""
    bench = new_bench()
    states = {0: lasting(bench.machine)}
    tell = bench.tell

    def watched(event: Any) -> None:
        tell(event)
        states[len(bench.journal)] = lasting(bench.machine)

    bench.tell = watched
    play(bench, n_rounds)
    return states


def revived(run_dir: str) -> tuple:
    """Return the number of the last entry, and the durable state of the machine after a restart."""
    bench = new_bench()
    opened = journal.open_journal(run_dir)
    try:
        store = Store(run_dir, opened, snapshot_every=2, snapshots_kept=2)
        store.replay(bench.machine, lambda index: None, lambda closed: None)
        return opened.last_seq(), lasting(bench.machine)
    finally:
        opened.close()
