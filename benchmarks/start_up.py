"""Measures the start of the programs: their --help, and a master until it serves.

    python -m benchmarks.start_up                        seven turns, the median
    python -m benchmarks.start_up --json start_up.json   the numbers, for another program

The references are ``python -c pass``, and the import of Flask and numpy, which every master needs. All commands take
turns. A master is ready when it has printed its address. Its evaluator, which starts TensorFlow for a Keras model, is
still starting then, and is killed with it. CPU seconds are those of the process, without its evaluator.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, Tuple

from benchmarks.timing import table

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
READY = "FLQ master ready on "

Times = Tuple[float, float]  # seconds, CPU seconds


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure the start of the programs.")
    flags.add_argument("--turns", type=int, default=7, help="starts of each command (default: %(default)s)")
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    return flags.parse_args()


def ended(*arguments: str) -> Times:
    """Run a Python program to its end."""
    began, before = time.perf_counter(), _cpu_of_children()
    subprocess.run([sys.executable, *arguments], cwd=PROJECT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began, _cpu_of_children() - before


def ready(*overrides: str) -> Times:
    """Start a master, wait until it serves, and kill it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "flq_master.py",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--token_file",
            os.path.join(folder, "tokens"),
            "--set",
            "report.results_dir=" + folder,
        ]
        for override in overrides:
            command += ["--set", override]
        began = time.perf_counter()
        master = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=dict(os.environ, PYTHONUNBUFFERED="1", TF_CPP_MIN_LOG_LEVEL="3"),
            start_new_session=True,
        )
        try:
            line = master.stdout.readline()
            times = time.perf_counter() - began, _cpu_of(master.pid)
            if not line.startswith(READY):
                sys.exit("the master did not start: %r" % line)
            return times
        finally:
            os.killpg(master.pid, signal.SIGKILL)  # and its evaluator
            master.wait()
            master.stdout.close()


def _cpu_of_children() -> float:
    spent = os.times()
    return spent.children_user + spent.children_system


def _cpu_of(pid: int) -> float:
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        after_name = file.read().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


CONTESTANTS: Dict[str, Callable[[], Times]] = {
    "python -c pass": lambda: ended("-c", "pass"),
    "import flask, numpy": lambda: ended("-c", "import flask, numpy"),
    "flq_master.py --help": lambda: ended("flq_master.py", "--help"),
    "flq_worker.py --help": lambda: ended("flq_worker.py", "--help"),
    "flq_fed_v3.py --help": lambda: ended("flq_fed_v3.py", "--help"),
    "master ready, quadratic": lambda: ready("model.name=quadratic"),
    "master ready, Keras mlp": lambda: ready("model.name=mlp"),
}


def measure(turns: int) -> List[Dict[str, Any]]:
    """Return a row per command: medians, and the ratio to the import of Flask and numpy."""
    found: Dict[str, List[Times]] = {name: [] for name in CONTESTANTS}
    for turn in range(turns + 1):  # the first turn reads from disk, and does not count
        for name, start in CONTESTANTS.items():
            times = start()
            if turn:
                found[name].append(times)
    floor = found["import flask, numpy"]
    return [
        {
            "name": name,
            "seconds": statistics.median(own[0] for own in times),
            "best_seconds": min(times)[0],
            "cpu_seconds": statistics.median(own[1] for own in times),
            "to_imports": statistics.median(own[0] / other[0] for own, other in zip(times, floor)),
        }
        for name, times in found.items()
    ]


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    rows = measure(args.turns)
    print(
        table(
            ["%d turns, median" % args.turns, "seconds", "(best)", "CPU seconds", "x import flask, numpy"],
            [[row["name"], row["seconds"], row["best_seconds"], row["cpu_seconds"], row["to_imports"]] for row in rows],
        )
    )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
