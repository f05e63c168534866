"""Measures a round in which every worker has a slow link that loses packets.

    python -m benchmarks.links                                1 Mbit/s, 5 % lost, as root
    python -m benchmarks.links --rate 10mbit --lost 0 --modes lowrank

The real programs run in network namespaces, one for the master and one per worker. Each link has a token bucket (tc
tbf) in both directions, and nftables drops a share of the packets that arrive at each end. The model is cnn_small for
40 x 40 images, 215,370 parameters. Workers send ready updates instead of training, so the time is that of the link, and
of encoding and decoding. The first two rounds do not count. Bytes are those of all workers at the master's sockets.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from typing import Any, Dict, List

import numpy as np

from benchmarks.namespaces import NoNamespaces, Star
from benchmarks.processes import PROJECT, Marks, run, worker_command
from benchmarks.timing import table

WARM_UP = 2  # rounds: the first sends no model, and in the second all workers answer at once
SIDE = 40  # pixels
MODES: Dict[str, Dict[str, Any]] = {
    "lowrank": {"mode": "lowrank"},
    "bbit 4": {"mode": "bbit", "b_up": 4, "b_down": 4},
    "fedavg float32": {"mode": "fedavg"},
}


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure a round over slow links that lose packets.")
    flags.add_argument("--modes", nargs="*", choices=sorted(MODES), default=list(MODES))
    flags.add_argument("--workers", type=int, default=4)
    flags.add_argument("--rounds", type=int, default=20)
    flags.add_argument("--rate", default="1mbit", help="rate of each link, in the format of tc")
    flags.add_argument("--lost", type=int, default=5, help="percentage of packets lost at each end")
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    return flags.parse_args()


def flags_of(mode: str, n_workers: int, n_rounds: int, folder: str) -> List[str]:
    """Return the master's flags; the data set is a dummy file in the folder."""
    path = os.path.join(folder, "zeros.npz")
    np.savez(path, x_train=np.zeros((1000, SIDE, SIDE), np.uint8), y_train=np.arange(1000) % 10)
    settings = {
        "system.total_workers": n_workers,
        "system.min_workers": n_workers,
        "system.max_rounds": n_rounds,
        "model.name": "cnn_small",
        "dataset.name": "npz:" + path,
        "dataset.n_classes": 10,
        "report.results_dir": folder,
    }
    settings.update({"flq_algorithm." + key: value for key, value in MODES[mode].items()})
    return ["--config", os.path.join(PROJECT, "flq_config.json"), "--port", "0"] + [
        text for key, value in settings.items() for text in ("--set", "%s=%s" % (key, value))
    ]


def measure(mode: str, args: argparse.Namespace) -> Marks:
    """Run one mode; return the master's marks, one per round."""
    with Star(args.workers, args.rate, args.lost) as star, tempfile.TemporaryDirectory() as folder:

        def by(worker_id: int) -> List[str]:
            return star.in_middle() if worker_id < 0 else star.in_leaf(worker_id)

        return run(
            [
                "benchmarks.round_master",
                folder,
                "--host",
                "0.0.0.0",
                *flags_of(mode, args.workers, args.rounds, folder),
            ],
            lambda port: [
                worker_command("benchmarks.round_worker", folder, i, port, star.address(i)) for i in range(args.workers)
            ],
            folder,
            by=by,
        )


def summary(marks: Marks) -> Dict[str, Any]:
    """Return seconds and bytes per round."""
    steps = list(zip(marks[WARM_UP - 1 :], marks[WARM_UP:]))
    seconds = [after["at_s"] - before["at_s"] for before, after in steps]
    found = {"rounds": len(marks), "seconds": statistics.median(seconds), "slowest_seconds": max(seconds)}
    for name in "bytes_up", "bytes_down":
        found[name] = statistics.median(after[name] - before[name] for before, after in steps)
    return found


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    found = {}
    for mode in args.modes:
        try:
            found[mode] = summary(measure(mode, args))
        except NoNamespaces as error:
            sys.exit("network namespaces with tc and nft are needed, and root: %s" % error)
        print("%s: %s" % (mode, json.dumps(found[mode])), file=sys.stderr, flush=True)
    print(
        "%d workers, each behind %s, %d %% lost at each end; median over the rounds after the first %d"
        % (args.workers, args.rate, args.lost, WARM_UP)
    )
    print(
        table(
            ["", "rounds", "s/round", "slowest", "kB up", "kB down"],
            [
                [
                    mode,
                    str(row["rounds"]),
                    row["seconds"],
                    row["slowest_seconds"],
                    row["bytes_up"] / 1e3,
                    row["bytes_down"] / 1e3,
                ]
                for mode, row in found.items()
            ],
        )
    )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
