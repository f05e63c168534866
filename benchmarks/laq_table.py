"""Reproduces the table of the LAQ paper: logistic regression on MNIST by GD, QGD, LAG and LAQ.

    FLQ_DATA_DIR=DATA nice -n 15 .venv/bin/python -m benchmarks.laq_table

Ten workers with 6,000 samples each, full batches, alpha .02, L2 .01, D 10, weights .8 / D, at most 100 rounds without
an upload, 4 bits. A method has converged when its loss is within 1e-6 of the smallest. Encoding, skips, aggregation and
steps use the functions of flq/core that master and workers call, in mode laq: b_up 32 is float32, thr_scale 0 never
skips. Only the gradients are computed here, in numpy.

There are two readings. *paper*: the weights are .8 / D from the first round on, the smallest loss is the true one, and
the radius of an upload counts. *code*, as in the authors' program: the weights are .8 / k in rounds k = 1..D, for the
number of earlier rounds, the smallest loss is that of the method's own 4,000 rounds, and the radius does not count. GD
and QGD never skip, so their rounds are the same in both readings.

The number of LAQ's uploads in the first hundred rounds depends on the start values, so LAQ runs with four of them.

All methods advance together, so that they share the passes over the images: a round takes about .2 s of one core. Each
method has a file in --out at the end; existing files are kept, and an interrupted program resumes from the last
multiple of a hundred rounds.
"""

import argparse
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

from benchmarks.laq_problem import N_CLASSES, N_WORKERS, STEP, Problem, smallest_loss  # noqa: E402
from benchmarks.timing import table  # noqa: E402
from flq.config_file import load_config  # noqa: E402
from flq.core import server_step  # noqa: E402
from flq.core.rng import start_values  # noqa: E402
from flq.core.settings import rules_from_settings  # noqa: E402
from flq.core.worker_step import WorkerState, first_state, propose  # noqa: E402
from flq.training.frameworks import make_task  # noqa: E402

GAP, BITS = 1e-6, 4
N_PARAMS = (28 * 28 + 1) * N_CLASSES
SETTINGS = (
    "mode=laq",
    "update=gradient",
    "dataset=mnist",
    "model=logreg",
    "batch_size=0",
    "lr=%r" % STEP,
    "D=10",
    "ck=0.8",
    "C=100",
    "total_workers=10",
    "min_workers=10",
)
METHODS = {"GD": (32, 0.0), "QGD": (BITS, 0.0), "LAG": (32, 1.0), "LAQ": (BITS, 1.0)}  # b_up, thr_scale
SEED = 42  # of the start values; the authors' own cannot be reproduced
RUNS = (
    ("GD", "paper", SEED),
    ("QGD", "paper", SEED),
    ("LAG", "paper", SEED),
    ("LAG", "code", SEED),
    ("LAQ", "paper", SEED),
    ("LAQ", "code", SEED),
)
MORE = tuple(("LAQ", reading, seed) for reading in ("paper", "code") for seed in (1, 2, 3))
PUBLISHED = {  # iterations, uploads, bits, accuracy; quoted from memory, not checked against the paper
    "GD": (2763, 27630, 6.94e9, 0.9082),
    "QGD": (2760, 27600, 8.67e8, 0.9082),
    "LAG": (2620, 2382, 5.98e8, 0.9082),
    "LAQ": (2673, 620, 1.95e7, 0.9082),
}
N_TESTS = 20  # rounds between two evaluations on the test set

Run = Tuple[str, str, int]  # method, reading, seed of the start values


class Method:
    """One row of the table in progress: master and workers, without messages between them."""

    def __init__(self, name: str, reading: str, seed: int) -> None:
        b_up, thr_scale = METHODS[name]
        settings = load_config(None, SETTINGS + ("b_up=%d" % b_up, "thr_scale=%r" % thr_scale))
        self.name, self.reading, self.seed = name, reading, seed
        self.rules, self.layout = rules_from_settings(settings), make_task(settings).layout
        self.server = server_step.first_server_state(start_values(self.layout, seed))
        self.states = [first_state(self.layout, self.rules)] * N_WORKERS
        self.losses: List[float] = []
        self.uploads: List[int] = []  # so far, by round
        self.accuracies: List[float] = []  # every N_TESTS rounds, before the round

    def to_arrays(self) -> Dict[str, np.ndarray]:
        """Return the state from which :meth:`resume` continues."""
        return {
            "model": self.server.model,
            "energies": np.array(self.server.energies),
            "losses": np.array(self.losses),
            "uploads": np.array(self.uploads),
            "accuracies": np.array(self.accuracies),
            "mirrors": np.array([state.mirror for state in self.states]),
            "clocks": np.array([state.clock for state in self.states]),
            "errors": np.array([state.error for state in self.states]),
        }

    def resume(self, kept: Dict[str, np.ndarray]) -> None:
        """Restore a saved state."""
        self.server = server_step.first_server_state(kept["model"])._replace(energies=tuple(kept["energies"].tolist()))
        self.losses, self.uploads = kept["losses"].tolist(), kept["uploads"].tolist()
        self.accuracies = kept["accuracies"].tolist()
        self.states = [
            WorkerState(None, mirror, clock, False, error)
            for mirror, clock, error in zip(kept["mirrors"], kept["clocks"].tolist(), kept["errors"].tolist())
        ]

    def round(self, gradients: np.ndarray, losses: np.ndarray) -> None:
        """Perform a round with the workers' gradients at ``server.model`` and their losses."""
        done = len(self.losses)
        threshold = server_step.threshold(self.server, self.rules, N_WORKERS)
        if self.reading == "code" and done:
            threshold *= self.rules.depth / min(done, self.rules.depth)
        proposals = [
            propose(state, gradient, done + 1, threshold, self.layout, self.rules)
            for state, gradient in zip(self.states, gradients)
        ]
        self.states = [proposal.if_applied for proposal in proposals]
        uploads = [m for m, proposal in enumerate(proposals) if proposal.payload is not None]
        mirrors = {m: state.mirror for m, state in enumerate(self.states)}
        self.server, total = server_step.aggregate(
            self.server, dict.fromkeys(mirrors, 1), uploads, {}, mirrors, self.layout, self.rules
        )
        self.server = server_step.close_round(self.server, total, done + 1, self.layout, self.rules).state
        self.losses.append(float(losses.mean()))
        self.uploads.append(len(uploads) + (self.uploads[-1] if done else 0))


class Row(NamedTuple):
    """A row of the table: a method in one reading."""

    method: str
    reading: str
    seed: Optional[int]
    iterations: int
    uploads: int
    bits: float
    accuracy: float


def make(out: str, runs: Sequence[Run], n_rounds: int) -> None:
    """Perform the runs together, and write a file for each."""
    problem = Problem(load_config(None, SETTINGS))
    methods = [Method(*run) for run in runs]
    checkpoint = os.path.join(out, "-".join("%s_%s_%d" % run for run in runs).lower() + ".npz")
    if os.path.exists(checkpoint):
        with np.load(checkpoint) as kept:
            for i, method in enumerate(methods):
                method.resume({name.partition(" ")[2]: kept[name] for name in kept if name.startswith("%d " % i)})
    for k in range(len(methods[0].losses), n_rounds):
        if k % N_TESTS == 0:
            for method in methods:
                method.accuracies.append(problem.accuracy(method.server.model))
        for method, gradients, losses in zip(methods, *problem.gradients([each.server.model for each in methods])):
            method.round(gradients, losses)
        if (k + 1) % 100 == 0:
            np.savez(
                checkpoint + ".new.npz",
                **{
                    "%d %s" % (i, name): array
                    for i, method in enumerate(methods)
                    for name, array in method.to_arrays().items()
                },
            )
            os.replace(checkpoint + ".new.npz", checkpoint)
            print(
                k + 1,
                " ".join(
                    "%s/%s %.8f %d" % (each.name, each.reading, each.losses[-1], each.uploads[-1]) for each in methods
                ),
                flush=True,
            )
    for method in methods:
        if method.name == "GD":
            _write(os.path.join(out, "smallest.json"), smallest_loss(problem, method.server.model))
        _write(
            _path(out, method.name, method.reading, method.seed),
            {
                "losses": method.losses,
                "uploads": method.uploads,
                "accuracies": method.accuracies,
                "last_accuracy": problem.accuracy(method.server.model),
            },
        )
    if os.path.exists(checkpoint):
        os.remove(checkpoint)


def row_of(out: str, name: str, reading: str, seed: int) -> Row:
    """Return the row of a method in one reading, from its file."""
    code = reading == "code"
    kept = _read(_path(out, name, reading, seed))
    smallest = min(kept["losses"]) if code else _read(os.path.join(out, "smallest.json"))
    stop = next((k for k, loss in enumerate(kept["losses"]) if loss - smallest < GAP), len(kept["losses"]) - 1)
    b_up = METHODS[name][0]
    bits = b_up * N_PARAMS + (32 if b_up == BITS and not code else 0)
    uploads = kept["uploads"][stop - 1] if stop else 0
    return Row(
        name,
        reading,
        seed,
        stop,
        uploads,
        float(bits * uploads),
        kept["last_accuracy"] if code else kept["accuracies"][stop // N_TESTS],
    )


def draw(out: str) -> None:
    """Draw the gap of the losses over the bits, in the reading of the code."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name in METHODS:
        kept = _read(_path(out, name, "code", SEED))
        gaps = np.array(kept["losses"]) - _read(os.path.join(out, "smallest.json"))
        bits = np.array(kept["uploads"]) * float(METHODS[name][0] * N_PARAMS)
        axes.loglog(bits, np.maximum(gaps, 1e-9), label=name)
    axes.axhline(GAP, color="grey", linewidth=0.5)
    axes.set(xlabel="bits sent by the workers", ylabel="loss - smallest loss", title="MNIST, logistic regression")
    axes.legend()
    figure.tight_layout()
    figure.savefig(os.path.join(out, "laq_table.png"), dpi=120)


def _path(out: str, name: str, reading: str, seed: int) -> str:
    """Return the file of a run; GD and QGD have one for both readings."""
    parts = [name.lower(), reading if (name, reading, SEED) in RUNS else "paper"]
    return os.path.join(out, "_".join(parts + ([] if seed == SEED else [str(seed)])) + ".json")


def _write(path: str, content: Any) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(content, stream)


def _read(path: str) -> Any:
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def main() -> None:
    """Perform missing runs, and print the table."""
    flags = argparse.ArgumentParser(description="GD, QGD, LAG and LAQ on MNIST.")
    flags.add_argument("--out", default=os.path.join("results", "laq_table"), help="folder (default: %(default)s)")
    flags.add_argument("--rounds", type=int, default=4000, help="rounds of each method (default: %(default)s)")
    args = flags.parse_args()
    os.makedirs(args.out, exist_ok=True)
    for runs in (RUNS, MORE):
        missing = [run for run in runs if not os.path.exists(_path(args.out, *run))]
        if missing:
            make(args.out, missing, args.rounds)
    rows = [row_of(args.out, name, reading, SEED) for reading in ("paper", "code") for name in METHODS]
    rows += [row_of(args.out, *run) for run in MORE]
    rows += [Row(name, "published", None, *PUBLISHED[name]) for name in METHODS]
    _write(os.path.join(args.out, "laq_table.json"), [row._asdict() for row in rows])
    draw(args.out)
    print(
        table(
            ["method", "reading", "start", "iterations", "uploads", "bits", "accuracy"],
            [
                [
                    row.method,
                    row.reading,
                    "" if row.seed is None else "%d" % row.seed,
                    "%d" % row.iterations,
                    "%d" % row.uploads,
                    "%.3g" % row.bits,
                    "%.4f" % row.accuracy,
                ]
                for row in rows
            ],
        )
    )


if __name__ == "__main__":
    main()
