"""Measures the bytes that master and workers write to disk per round, and whether they grow.

    python -m benchmarks.writes                       lowrank, 4 bits and float32, 155 rounds

The real programs run on one machine, with the model and updates of benchmarks.links, but without its links. Bytes are
those that each process has written to block devices, in whole pages (write_bytes of /proc/PID/io), so the folder for
temporary files must not be in memory. The start is excluded: a worker's bytes per round come from the difference
between a short and a long run; the master's are measured between rounds, in the first and in the second half.
"""

import argparse
import statistics
import sys
import tempfile
from typing import Any, Dict

from benchmarks.links import MODES, flags_of
from benchmarks.processes import Marks, run, worker_command
from benchmarks.timing import table

SHORT = 35  # rounds before the count begins: some snapshots; the count begins and ends between two snapshots


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure the bytes that master and workers write to disk per round.")
    flags.add_argument("--modes", nargs="*", choices=sorted(MODES), default=list(MODES))
    flags.add_argument("--workers", type=int, default=4)
    flags.add_argument("--rounds", type=int, default=155)
    return flags.parse_args()


def measure(mode: str, n_workers: int, n_rounds: int) -> Marks:
    """Run one mode; return the master's marks, the last of which has the bytes that the workers have written."""
    with tempfile.TemporaryDirectory() as folder:
        return run(
            ["benchmarks.round_master", folder, "--host", "127.0.0.1", *flags_of(mode, n_workers, n_rounds, folder)],
            lambda port: [worker_command("benchmarks.round_worker", folder, i, port) for i in range(n_workers)],
            folder,
        )


def summary(short: Marks, long: Marks) -> Dict[str, Any]:
    """Return bytes per round: of a worker, and of the master in the first and the second half of the long run."""
    middle = (SHORT + len(long)) // 2

    def of_master(first: int, last: int) -> float:
        return (long[last - 1]["written"] - long[first - 1]["written"]) / (last - first)

    workers = [
        (more - fewer) / (len(long) - len(short))
        for fewer, more in zip(short[-1]["workers_written"], long[-1]["workers_written"])
    ]
    return {
        "worker": statistics.mean(workers),
        "first_half": of_master(SHORT, middle),
        "second_half": of_master(middle, len(long)),
    }


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    if args.rounds < 3 * SHORT:
        sys.exit("--rounds must be at least %d, got %d" % (3 * SHORT, args.rounds))
    found = {
        mode: summary(*(measure(mode, args.workers, n_rounds) for n_rounds in (SHORT, args.rounds)))
        for mode in args.modes
    }
    print("kB to disk per round, %d workers, %d rounds" % (args.workers, args.rounds))
    print(
        table(
            ["", "a worker", "master, first half", "second half"],
            [
                [mode] + [row[name] / 1e3 for name in ("worker", "first_half", "second_half")]
                for mode, row in found.items()
            ],
        )
    )


if __name__ == "__main__":
    main()
