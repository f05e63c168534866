"""Measures a round without training: FLQ against bare float32 loops, over loopback HTTP, in the same run.

    python -m benchmarks.round_overhead                            1e5, 1e6 and 1e7 parameters, 4 workers
    python -m benchmarks.round_overhead --dims 1e6 --modes 4bit    part of it
    python -m benchmarks.round_overhead --json rounds.json         the numbers, for another program

Every contestant is one master process and four worker processes with ready updates, so a round consists of codec,
checks, aggregation and HTTP. FLQ's programs are the real ones without evaluator and training (round_master.py,
round_worker.py). The baseline is bare_master.py, a Flask application that checks nothing, in two styles. The
contestants take turns. The duration of a round is the time between the ends of two rounds. Peak memory is that of the
master process until the end of the last round. CPU seconds are per round, and those of the workers are summed; they are
the least reliable numbers on a busy machine, where the contestant that computes more loses more time.
"""

import argparse
import json
import os
import statistics
import tempfile
from typing import Any, Dict, List, Optional

from benchmarks.processes import PROJECT, Marks, run, worker_command
from benchmarks.timing import table
from benchmarks.volatile import FLAG

BARE = "bare float32"  # usual code
TUNED = "bare float32, tuned readers"  # the same loop, but bodies are read into existing buffers
WARM_UP = 2  # rounds that do not count: they open connections and touch memory for the first time
MODES = {
    "1bit": {"mode": "bin", "b_down": 1, "memory": "residual"},
    "2bit": {"mode": "bbit", "b_up": 2, "b_down": 2, "memory": "residual"},
    "4bit": {"mode": "bbit", "b_up": 4, "b_down": 4, "memory": "residual"},
    "8bit": {"mode": "bbit", "b_up": 8, "b_down": 8, "memory": "residual"},
    "fedavg": {"mode": "fedavg", "b_down": 32},
}


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure a round without training.")
    flags.add_argument("--dims", type=float, nargs="*", default=[1e5, 1e6, 1e7])
    flags.add_argument("--modes", nargs="*", choices=sorted(MODES), default=["4bit", "8bit", "fedavg"])
    flags.add_argument("--workers", type=int, default=4)
    flags.add_argument("--rounds", type=int, default=12, help="per turn, of which %d do not count" % WARM_UP)
    flags.add_argument("--turns", type=int, default=3)
    flags.add_argument("--serve", choices=("werkzeug", "cheroot"), default="werkzeug", help="server of the baseline")
    flags.add_argument("--journal", action="store_true", help="let FLQ write its journal")
    flags.add_argument("--evaluator", action="store_true", help="let FLQ's master evaluate every round")
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    return flags.parse_args()


def run_flq(
    mode: str,
    dim: int,
    n_workers: int,
    n_rounds: int,
    is_durable: bool = True,
    evaluates: bool = False,
    bytes_moved: Optional[Dict[str, int]] = None,
) -> Marks:
    """Run FLQ once; unless ``is_durable``, nothing of the run is written to disk."""
    volatile = [] if is_durable else [FLAG]
    settings = {
        "system.total_workers": n_workers,
        "system.min_workers": n_workers,
        "system.max_rounds": n_rounds,
        "model.name": "quadratic",
        "model.dim": dim,
    }
    settings.update({"flq_algorithm." + key: value for key, value in MODES[mode].items()})
    with tempfile.TemporaryDirectory() as folder:
        settings["report.results_dir"] = folder
        sets = [text for key, value in settings.items() for text in ("--set", "%s=%s" % (key, value))]
        return run(
            ["benchmarks.round_master", folder]
            + volatile
            + ["--evaluator"] * evaluates
            + ["--config", os.path.join(PROJECT, "flq_config.json"), "--host", "127.0.0.1", "--port", "0"]
            + sets,
            lambda port: [
                worker_command("benchmarks.round_worker", folder, i, port) + volatile for i in range(n_workers)
            ],
            folder,
            bytes_moved=bytes_moved,
        )


def run_bare(
    style: str, dim: int, n_workers: int, n_rounds: int, server: str, bytes_moved: Optional[Dict[str, int]] = None
) -> Marks:
    """Run the baseline once; ``style`` is plain or tuned."""
    with tempfile.TemporaryDirectory() as folder:
        return run(
            ["benchmarks.bare_master", str(dim), str(n_rounds), str(n_workers), server, style],
            lambda port: [
                ["benchmarks.bare_worker", port, str(i), str(dim), str(n_rounds), style] for i in range(n_workers)
            ],
            folder,
            bytes_moved=bytes_moved,
        )


def summary(runs: List[Marks], warm_up: int = WARM_UP) -> Dict[str, Any]:
    """Return the medians over the rounds that count, and over the turns."""
    steps_of = [list(zip(marks[warm_up - 1 :], marks[warm_up:])) for marks in runs]
    steps = [step for turn in steps_of for step in turn]
    seconds = [after["at_s"] - before["at_s"] for before, after in steps]
    return {
        "seconds": statistics.median(seconds),
        "best_seconds": min(seconds),
        "seconds_by_turn": [
            statistics.median(after["at_s"] - before["at_s"] for before, after in turn) for turn in steps_of
        ],
        "master_cpu_seconds": statistics.median(after["cpu_s"] - before["cpu_s"] for before, after in steps),
        "workers_cpu_seconds": statistics.median(
            after["workers_cpu_s"] - before["workers_cpu_s"] for before, after in steps
        ),
        "bytes_up": statistics.median(after["bytes_up"] - before["bytes_up"] for before, after in steps),
        "bytes_down": statistics.median(after["bytes_down"] - before["bytes_down"] for before, after in steps),
        "peak_mb": max(marks[-1]["peak_mb"] for marks in runs),
    }


def compare(dim: int, args: argparse.Namespace) -> Dict[str, Dict[str, Any]]:
    """Run all contestants in turn with one size."""
    styles = {BARE: "plain", TUNED: "tuned"}
    runs: Dict[str, List[Any]] = {name: [] for name in list(styles) + args.modes}
    for _ in range(args.turns):
        for name in runs:
            runs[name].append(
                run_bare(styles[name], dim, args.workers, args.rounds, args.serve)
                if name in styles
                else run_flq(name, dim, args.workers, args.rounds, args.journal, args.evaluator)
            )
    found = {name: summary(turns) for name, turns in runs.items()}
    for row in found.values():
        for key, floor in (("to_bare", BARE), ("to_tuned", TUNED)):
            row[key] = statistics.median(
                bare / own for own, bare in zip(row["seconds_by_turn"], found[floor]["seconds_by_turn"])
            )
    return found


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    results = {}
    print(
        "%d workers, %d turns of %d rounds, baseline served by %s, median (best); the baseline's bytes are its bodies"
        % (args.workers, args.turns, args.rounds - WARM_UP, args.serve)
    )
    for dim in map(int, args.dims):
        results[dim] = compare(dim, args)
        print(
            table(
                [
                    "d = %d" % dim,
                    "s/round",
                    "(best)",
                    "x faster than bare",
                    "than tuned",
                    "master CPU s",
                    "workers CPU s",
                    "MB up",
                    "MB down",
                    "master peak MB",
                ],
                [
                    [
                        name,
                        row["seconds"],
                        row["best_seconds"],
                        row["to_bare"],
                        row["to_tuned"],
                        row["master_cpu_seconds"],
                        row["workers_cpu_seconds"],
                        row["bytes_up"] / 1e6,
                        row["bytes_down"] / 1e6,
                        row["peak_mb"],
                    ]
                    for name, row in results[dim].items()
                ],
            ),
            flush=True,
        )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
