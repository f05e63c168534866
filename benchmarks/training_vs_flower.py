"""Compares FLQ with Flower's gRPC server: the same training on Fashion-MNIST, in the same run.

    FLQ_DATA_DIR=DATA python -m benchmarks.training_vs_flower                        6 rounds of 4 workers
    FLQ_DATA_DIR=DATA python -m benchmarks.training_vs_flower --json training.json --png training.png
    FLQ_DATA_DIR=DATA python -m benchmarks.training_vs_flower --turns 3              for the seconds
    python -m benchmarks.training_vs_flower --rounds 2 --set dataset=digits          something smaller, to try it out

Four workers with different classes (Dirichlet 0.3) train cnn_small, 80,202 parameters: one epoch per round, batches of
32, plain SGD. Flower's clients train with FLQ's trainer from the same start values, so that all contestants do the same
work; Flower averages float32 models (FedAvg). FLQ runs its real programs, including their writes to disk, but without
evaluation. The models of all rounds are kept, and the same evaluator evaluates all of them afterwards.

Bytes are those at the sockets in the whole run, counted between both ends; bytes and accuracies are those of the first
turn. Seconds and CPU seconds are medians over the turns, and over all rounds except the first, in which TensorFlow
initializes. They consist mostly of training, which is the same for all, so on a busy machine a single turn shows little
of the differences. Memory is the peak of the master's process, and of the worker with the highest peak.

With --json, results in the file are kept, so that an interrupted run can be resumed.
"""

import argparse
import json
import os
import statistics
import sys
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple

from benchmarks.flower_environment import DEFAULT, FLOWER, QUIET, flower_python
from benchmarks.timing import table
from benchmarks.training_runs import Train, measure, resolved, run_flower, run_flq
from flq.errors import FlqError
from flq.protocol.wire import VERSION
from flq.training.frameworks import make_task

COMMON = (
    "dataset=fashion_mnist",
    "model=cnn_small",
    "partition=non_iid",
    "dir_alpha=0.3",
    "local_epochs=1",
    "batch_size=32",
    "local_optimizer=sgd",
    "lr=0.1",
)
GRPC = "Flower gRPC, float32"
MODES: Dict[str, Tuple[str, ...]] = {
    "FLQ fedavg, float32": ("mode=fedavg",),
    "FLQ bbit, 4 bits both ways": ("mode=bbit", "b_up=4", "b_down=4"),
    "FLQ lowrank": ("mode=lowrank",),
}

Row = Dict[str, Any]  # measurements


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Compare FLQ with Flower, with training.")
    flags.add_argument("--rounds", type=int, default=6, help="of which the first does not count for the seconds")
    flags.add_argument("--turns", type=int, default=1, help="runs of each contestant (default: %(default)s)")
    flags.add_argument("--workers", type=int, default=4)
    flags.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        dest="overrides",
        help="change a setting of the data or of local training for all; may be repeated",
    )
    flags.add_argument(
        "--environment",
        default=DEFAULT,
        help="environment with Flower and TensorFlow, created or completed if needed (default: .venv-flower)",
    )
    flags.add_argument("--json", metavar="FILE", help="write the numbers here, and resume from them")
    flags.add_argument("--png", metavar="FILE", help="draw them here")
    args = flags.parse_args()
    for name, least in (("rounds", 2), ("turns", 1), ("workers", 1)):
        if getattr(args, name) < least:
            flags.error("--%s must be at least %d, got %d" % (name, least, getattr(args, name)))
    return args


def compare(args: argparse.Namespace, results: Dict[str, Any], keep: Callable[[], None]) -> None:
    """Run all contestants in turn, except for existing results."""
    found: Dict[str, List[Row]] = results["found"]
    common = results["about"]["settings"]
    settings = resolved(common)
    make_task(settings).check()
    trains: Dict[str, Train] = {GRPC: partial(run_flower, common, flower_python(args.environment, trains=True))}
    for name, mode in MODES.items():
        trains[name] = partial(run_flq, common + list(mode))
    for turn in range(args.turns):
        for name, train in trains.items():
            turns = found.setdefault(name, [])
            if len(turns) <= turn:
                turns.append(measure(train, settings))
                keep()
                print("turn %d of %s is done" % (turn + 1, name), flush=True)


def typical(turns: List[Row]) -> Row:
    """Return the first turn with the median of all seconds, and the largest peaks."""
    row = dict(turns[0])
    for key in ("seconds", "master_cpu_seconds", "workers_cpu_seconds"):
        row[key] = statistics.median(turn[key] for turn in turns)
    for key in ("peak_mb", "worker_peak_mb"):
        row[key] = max(turn[key] for turn in turns)
    return row


def show(found: Dict[str, Row]) -> None:
    """Print the results."""
    print(
        table(
            ["whole run", "MB up", "MB down", "s/round", "CPU s/round", "master peak MB", "worker peak MB", "accuracy"],
            [
                [
                    name,
                    row["up"] / 1e6,
                    row["down"] / 1e6,
                    row["seconds"],
                    row["master_cpu_seconds"] + row["workers_cpu_seconds"],
                    row["peak_mb"],
                    row["worker_peak_mb"],
                    "%.4f" % row["accuracy"][-1],
                ]
                for name, row in found.items()
            ],
        )
    )
    n_rounds = len(next(iter(found.values()))["accuracy"])
    print(
        table(
            ["accuracy after round"] + [str(i + 1) for i in range(n_rounds)],
            [[name] + ["%.4f" % value for value in row["accuracy"]] for name, row in found.items()],
        ),
        flush=True,
    )


def draw(found: Dict[str, Row], path: str) -> None:
    """Draw accuracy by round, and bytes and seconds beside it."""
    from matplotlib.figure import Figure  # slow to import, and rarely needed

    figure = Figure((13, 4), layout="constrained")
    curves, *bars = figure.subplots(1, 3)
    for i, (name, row) in enumerate(found.items()):
        rounds = range(1, len(row["accuracy"]) + 1)
        curves.plot(
            rounds, row["accuracy"], marker="o", label=name, linewidth=2 * (len(found) - i)
        )  # curves may coincide
    curves.set(xlabel="round", xticks=rounds, title="test accuracy")
    curves.legend(fontsize="small")
    panels = {
        "MB at the sockets, whole run": lambda row: (row["up"] + row["down"]) / 1e6,
        "seconds per round": lambda row: row["seconds"],
    }
    for axes, (title, value) in zip(bars, panels.items()):
        values = [value(row) for row in found.values()]
        axes.barh(list(found), values, color=["C%d" % i for i in range(len(found))])
        for i, number in enumerate(values):
            axes.text(number, i, " %.3g" % number, va="center")
        axes.set(title=title, xlim=(0, 1.2 * max(values)))
        axes.invert_yaxis()
    bars[1].set_yticklabels([])
    for axes in (curves, *bars):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def begin(path: Optional[str], about: Dict[str, Any]) -> Dict[str, Any]:
    """Return the results in an existing file, which must be of the same run; otherwise none."""
    if path is None or not os.path.exists(path):
        return {"about": about, "found": {}}
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit("error: %s cannot be read: %s" % (path, error))
    if not isinstance(results, dict) or results.get("about") != about:
        sys.exit("error: %s is of another run: use another name" % path)
    return results


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    os.environ.update(QUIET)
    settings = (
        list(COMMON)
        + ["total_workers=%d" % args.workers, "min_workers=%d" % args.workers, "max_rounds=%d" % args.rounds]
        + args.overrides
    )
    results = begin(
        args.json,
        {
            "flower": FLOWER,
            "wire": VERSION,
            "settings": settings,
            "modes": {name: list(mode) for name, mode in MODES.items()},
        },
    )

    def keep() -> None:
        if args.json:
            with open(args.json + ".part", "w", encoding="utf-8") as file:
                json.dump(results, file, indent=1)
            os.replace(args.json + ".part", args.json)

    try:
        compare(args, results, keep)
    except FlqError as error:
        sys.exit("error: %s" % error)
    found = {name: typical(turns) for name, turns in results["found"].items()}
    show(found)
    if args.png:
        draw(found, args.png)


if __name__ == "__main__":
    main()
