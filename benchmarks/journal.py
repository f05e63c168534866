"""Measures the cost of durability: a round without training, with and without the journal.

    python -m benchmarks.journal                           1e5, 1e6 and 1e7 parameters, 4 workers, 4 bits
    python -m benchmarks.journal --dims 1e6 --turns 5      part of it

The real programs take turns over loopback HTTP, as in benchmarks.round_overhead. With the journal, the master commits
every upload before it replies and writes a snapshot every 10 rounds, and each worker writes its state before it sends.
All of them share one disk here, so the ratio is worse than on a cluster.
"""

import argparse
import statistics
from typing import Any, Dict, List

from benchmarks.round_overhead import MODES, WARM_UP, run_flq, summary
from benchmarks.timing import table


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure the cost of the journal.")
    flags.add_argument("--dims", type=float, nargs="*", default=[1e5, 1e6, 1e7])
    flags.add_argument("--mode", choices=sorted(MODES), default="4bit")
    flags.add_argument("--workers", type=int, default=4)
    flags.add_argument("--rounds", type=int, default=32, help="per turn, of which %d do not count" % WARM_UP)
    flags.add_argument("--turns", type=int, default=3)
    return flags.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    rows: List[List[Any]] = []
    for dim in map(int, args.dims):
        runs: Dict[bool, List[Any]] = {True: [], False: []}
        for _ in range(args.turns):
            for is_durable, turns in runs.items():
                turns.append(run_flq(args.mode, dim, args.workers, args.rounds, is_durable))
        on, off = summary(runs[True]), summary(runs[False])
        ratio = statistics.median(mine / other for mine, other in zip(on["seconds_by_turn"], off["seconds_by_turn"]))
        rows.append([dim, on["seconds"], off["seconds"], ratio, on["peak_mb"], off["peak_mb"]])
    print(
        "%d workers, %s, %d turns of %d rounds, median" % (args.workers, args.mode, args.turns, args.rounds - WARM_UP)
    )
    print(table(["parameters", "s/round with", "without", "ratio", "master peak MB with", "without"], rows))


if __name__ == "__main__":
    main()
