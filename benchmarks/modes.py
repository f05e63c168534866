"""Measures accuracy and bytes of the modes on Fashion-MNIST: the table of docs/results.md.

    FLQ_DATA_DIR=DATA .venv/bin/python -m benchmarks.modes                # all of them, one after the other
    FLQ_DATA_DIR=DATA .venv/bin/python -m benchmarks.modes fedavg "bbit 4"

Ten workers, Dirichlet 0.5, cnn_small, one local epoch per round, 30 rounds. Master and workers are the real machines,
joined by the bytes of their frames (flq.engines); the overhead of HTTP is not in the table. Writes one line of JSON per
round to --out.
"""

import argparse
import json
import os
import sys
import time
from typing import Any, Dict

from flq.config_file import load_config
from flq.engines.simulation import simulate
from flq.training.datasets import resolve_dataset
from flq.training.frameworks import make_task

COMMON = (
    "mode=bbit",
    "dataset=fashion_mnist",
    "model=cnn_small",
    "total_workers=10",
    "min_workers=10",
    "partition=non_iid",
    "dir_alpha=0.5",
    "local_epochs=1",
    "batch_size=32",
    "lr=0.1",
)
LAZY = ("memory=mirror", "thr_scale=1")
RUNS: Dict[str, Any] = {
    "fedavg": ("mode=fedavg",),
    "laq8": ("mode=laq8",),
    "bbit 4": ("b_up=4",),
    "bbit 4, lazy, residual": ("b_up=4", "thr_scale=1"),
    "bbit 4, mirror": ("b_up=4", "memory=mirror", "thr_scale=0"),
    "bbit 4, lazy, mirror": ("b_up=4",) + LAZY,
    "bbit 2": ("b_up=2",),
    "bbit 2, mirror": ("b_up=2", "memory=mirror", "thr_scale=0"),
    "bbit 2, lazy, mirror": ("b_up=2",) + LAZY,
    "bin": ("mode=bin",),
    "bin, mirror": ("mode=bin", "memory=mirror", "thr_scale=0"),
    "bin, lazy, mirror": ("mode=bin",) + LAZY,
}


def run(name: str, n_rounds: int, out: str) -> None:
    """Run one configuration; write a line of JSON per round, print the last."""
    overrides = COMMON + ("max_rounds=%d" % n_rounds,) + RUNS[name]
    settings = resolve_dataset(load_config(None, overrides))
    evaluator = make_task(settings)
    totals = {"up": 0, "down": 0, "uploads": 0, "skips": 0}
    began = time.perf_counter()
    with open(os.path.join(out, name.replace(" ", "_").replace(",", "") + ".jsonl"), "w", encoding="utf-8") as lines:

        def watch(closed: Any) -> None:
            report = closed.report
            statuses = list(report.roll_call.values())
            totals["up"] += report.frame_bytes_up
            totals["down"] += report.frame_bytes_down
            totals["uploads"] += statuses.count("uploaded")
            totals["skips"] += statuses.count("skipped")
            result = evaluator.evaluate(closed.result)
            row = dict(
                totals,
                run=name,
                round=report.round_index,
                accuracy=result["accuracy"],
                test_loss=result["loss"],
                seconds=round(time.perf_counter() - began, 1),
            )
            text = json.dumps(row)
            lines.write(text + "\n")
            lines.flush()
            print(text, flush=True)

        simulate(settings, watch=watch)


def main() -> int:
    """Run the configurations of the command line; return the exit code."""
    flags = argparse.ArgumentParser(description="Accuracy and bytes of the modes on Fashion-MNIST.")
    flags.add_argument("runs", nargs="*", metavar="RUN", help="of: " + "; ".join(RUNS))
    flags.add_argument("--rounds", type=int, default=30)
    flags.add_argument("--out", default="results", help="folder of the .jsonl files")
    args = flags.parse_args()
    unknown = [name for name in args.runs if name not in RUNS]
    if unknown:
        flags.error("unknown run %r; known are: %s" % (unknown[0], "; ".join(RUNS)))
    os.makedirs(args.out, exist_ok=True)
    for name in args.runs or RUNS:
        run(name, args.rounds, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
