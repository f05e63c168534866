"""Measures time and memory of the start of a simulation with many workers.

    python -m benchmarks.simulated_start                       1, 4, 20 and 100 workers of cnn_small, three turns
    python -m benchmarks.simulated_start --beside FOLDER       and those of another checkout, in turn

A start is everything up to the first aggregate: importing TensorFlow, partitioning the digits, and one round of
training on batches of 8. All workers together see each sample once, so training takes the same time for any number of
them, and the growth is the cost per worker. Every start is a separate process. The reference in the same run is the
start of one worker. On a busy machine, CPU seconds are more reliable than seconds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Dict, List

from benchmarks.timing import table

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SETTINGS = (
    "dataset.name=digits",
    "dataset.partition=iid",
    "dataset.batch_size=8",
    "model.name=cnn_small",
    "system.max_rounds=1",
    "system.min_workers=1",
)


def start(n_workers: int) -> Dict[str, float]:
    """Start a simulation in this process; return seconds, CPU seconds and peak MB of the whole process."""
    from benchmarks.peak import peak_mb
    from flq.config_file import load_config
    from flq.training.datasets import resolve_dataset

    try:
        from flq.engines.simulation import simulate
    except ImportError:  # a checkout from before the package flq.engines
        from flq.simulate.loopback import simulate  # type: ignore[import-not-found,no-redef]

    began = time.perf_counter()
    settings = load_config(None, SETTINGS + ("system.total_workers=%d" % n_workers,))
    if hasattr(settings, "settings"):  # likewise
        settings = settings.settings()
    simulate(resolve_dataset(settings))
    return {"seconds": time.perf_counter() - began, "cpu_s": time.process_time(), "peak_mb": peak_mb()}


def started(n_workers: int, folder: str) -> Dict[str, float]:
    """Start a simulation with the code of a folder, in a separate process."""
    command = [sys.executable, os.path.abspath(__file__), "--one", str(n_workers)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join((folder, PROJECT)), TF_CPP_MIN_LOG_LEVEL="3")
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Measure and print; return the exit code."""
    flags = argparse.ArgumentParser(description="Measure the start of a simulation with many workers.")
    flags.add_argument("--workers", type=int, nargs="+", default=[4, 20, 100], help="(default: 4 20 100)")
    flags.add_argument("--turns", type=int, default=3, help="starts of each number; the median is printed (default: 3)")
    flags.add_argument("--beside", metavar="FOLDER", help="another checkout, measured in turn")
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    flags.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.one is not None:
        print(json.dumps(start(args.one)))
        return 0
    folders = {"here": PROJECT}
    if args.beside:
        folders["beside"] = os.path.abspath(args.beside)
    counts = [1] + [n for n in args.workers if n != 1]
    found: Dict[str, List[Dict[str, float]]] = {}
    for _ in range(args.turns):
        for n_workers in counts:
            for name, folder in folders.items():
                found.setdefault("%s, %d" % (name, n_workers), []).append(started(n_workers, folder))
    rows: List[List[object]] = []
    for name in folders:
        alone = _medians(found["%s, 1" % name])
        for n_workers in counts:
            one = _medians(found["%s, %d" % (name, n_workers)])
            ratios = [one[key] / alone[key] for key in ("cpu_s", "peak_mb")]
            rows.append(["%s, %d workers" % (name, n_workers), one["seconds"], one["cpu_s"], one["peak_mb"], *ratios])
    print(table(["", "seconds", "CPU s", "peak MB", "CPU / 1 worker", "MB / 1 worker"], rows))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return 0


def _medians(turns: List[Dict[str, float]]) -> Dict[str, float]:
    return {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}


if __name__ == "__main__":
    sys.exit(main())
