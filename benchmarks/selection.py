"""Compares grant rules under a budget of half the uploads, and measures the savings of lazy uploads.

    .venv/bin/python -m benchmarks.selection grants
    .venv/bin/python -m benchmarks.selection lazy

The built-in digits, ten workers, Dirichlet 0.3, in memory (flq.engines), means over the seeds. Bytes are those of the
payloads. Each takes a few minutes.
"""

import argparse
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from benchmarks.timing import table
from flq.config_file import load_config
from flq.engines.simulation import simulate
from flq.protocol.events import RoundClosed
from flq.training.datasets import resolve_dataset
from flq.training.frameworks import make_task

COMMON = ("dataset=digits", "total_workers=10", "min_workers=10", "partition=non_iid", "dir_alpha=0.3")
GRANTS_COMMON = (
    "mode=lowrank",
    "model=mlp",
    "local_epochs=2",
    "batch_size=16",
    "lr=0.1",
    "lr_schedule=exponential",
    "lr_decay=0.97",
    "lr_decay_rounds=1",
    "logit_adjustment=1",
    "max_rounds=25",
)
GRANTS = {"all": (), **{rule: ("sel_clients=5", "grant_by=" + rule) for rule in ("age", "both", "energy", "random")}}
MIRROR = ("mode=bbit", "b_up=4", "memory=mirror", "local_epochs=1")
LAZY_COMMON = {
    "mlp, full batches": MIRROR + ("model=mlp", "batch_size=0", "lr=0.5", "max_rounds=300"),
    "mlp, batches of 64": MIRROR + ("model=mlp", "batch_size=64", "lr=0.1", "max_rounds=60"),
    "mlp, batches of 16": MIRROR + ("model=mlp", "batch_size=16", "lr=0.1", "max_rounds=40"),
}
LAST = 5  # the accuracy is the mean of this many last rounds


class Outcome(NamedTuple):
    """The result of a run: test accuracy after each round, uploads, payload bytes up and down."""

    accuracies: List[float]
    n_uploads: int
    bytes_up: int
    bytes_down: int


def run(overrides: Tuple[str, ...], seed: int) -> Outcome:
    """Run a federation in memory."""
    settings = resolve_dataset(load_config(None, COMMON + overrides + ("seed=%d" % seed,)))
    evaluator, accuracies, closed_rounds = make_task(settings), [], []

    def watch(closed: RoundClosed) -> None:
        accuracies.append(evaluator.evaluate(closed.model)["accuracy"])
        closed_rounds.append(closed.report)

    simulate(settings, watch=watch)
    return Outcome(
        accuracies,
        sum(list(report.roll_call.values()).count("uploaded") for report in closed_rounds),
        sum(report.payload_bits_up for report in closed_rounds) // 8,
        sum(report.payload_bits_down for report in closed_rounds) // 8,
    )


def row(name: str, outcomes: List[Outcome]) -> List[object]:
    """Return a row of the table: means over the seeds."""
    accuracies = np.array([outcome.accuracies for outcome in outcomes])
    return [
        name,
        "%.4f" % accuracies[:, -LAST:].mean(),
        "%.4f" % accuracies[:, -2 * LAST :].min(axis=1).mean(),
        "%.0f" % np.mean([outcome.n_uploads for outcome in outcomes]),
        "%.0f" % (np.mean([outcome.bytes_up for outcome in outcomes]) / 1e3),
        "%.0f" % (np.mean([outcome.bytes_down for outcome in outcomes]) / 1e3),
    ]


def variants(study: str) -> Dict[str, Tuple[str, ...]]:
    """Return the settings of each row."""
    if study == "grants":
        return {name: GRANTS_COMMON + settings for name, settings in GRANTS.items()}
    return {
        "%s, %s" % (name, "lazy, S x %g" % scale if scale else "all send"): settings + ("thr_scale=%g" % scale,)
        for name, settings in LAZY_COMMON.items()
        for scale in (0.0, 0.5, 1.0)
    }


def main() -> None:
    """Run a study, and print its table."""
    flags = argparse.ArgumentParser(description="Compare grant rules, or measure lazy uploads, on the built-in digits.")
    flags.add_argument("study", choices=("grants", "lazy"))
    flags.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = flags.parse_args()
    rows = []
    for name, overrides in variants(args.study).items():
        rows.append(row(name, [run(overrides, seed) for seed in args.seeds]))
        print(" ".join(map(str, rows[-1])), flush=True)
    print(table(["", "accuracy, last %d" % LAST, "lowest of %d" % (2 * LAST), "uploads", "kB up", "kB down"], rows))


if __name__ == "__main__":
    main()
