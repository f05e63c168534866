"""Checks in a long run that memory is constant and disk usage bounded.

    python -m benchmarks.soak                      2,000 rounds of 1e6 parameters, 2 workers
    python -m benchmarks.soak --rounds 500 --dim 1e5

The real programs run over loopback HTTP, including the evaluator. Memory is the resident set of each process; disk
usage is that of the folder of the run. The result is the growth after round 100.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import Any, Dict, List

import psutil

from benchmarks.timing import table

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIRST = 100  # growth is measured from this round on
PAUSE_S = 1.0  # between two samples


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure memory and disk usage of a long run.")
    flags.add_argument("--rounds", type=int, default=2000)
    flags.add_argument("--dim", type=float, default=1e6)
    flags.add_argument("--workers", type=int, default=2)
    flags.add_argument("--mode", default="bbit")
    flags.add_argument("--memory", default="residual")
    return flags.parse_args()


def start(folder: str, program: str, *flags: str) -> subprocess.Popen:
    """Start a program with its logs, state and results in a folder."""
    code = (
        "import sys; sys.path.insert(0, %r); from flq.%s.command_line import main; sys.exit(main(sys.argv[1:], %r))"
        % (PROJECT, program, folder)
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def look(port: str, processes: Dict[str, psutil.Process]) -> Dict[str, Any]:
    """Return the round, and memory of each process and disk usage in MB."""
    with urllib.request.urlopen("http://127.0.0.1:%s/status" % port, timeout=60) as answer:
        status = json.load(answer)
    row = {"round": status["current_round"], "disk": status["disk_bytes"] / 1e6}
    row.update({name: process.memory_info().rss / 1e6 for name, process in processes.items()})
    return row


def main() -> None:
    """Run, measure and print."""
    args = parse_flags()
    settings = {
        "model.name": "quadratic",
        "model.dim": int(args.dim),
        "model.lr": 0.05,
        "system.max_rounds": args.rounds,
        "system.total_workers": args.workers,
        "system.min_workers": args.workers,
        "system.linger_s": 1,
        "flq_algorithm.mode": args.mode,
        "flq_algorithm.memory": args.memory,
    }
    rows: List[Dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        sets = [text for key, value in settings.items() for text in ("--set", "%s=%s" % (key, value))]
        master = start(
            folder,
            "master",
            "--config",
            os.path.join(PROJECT, "flq_config.json"),
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            *sets,
        )
        running = [master]
        try:
            port = re.search(r"http://[^:]+:(\d+)", master.stdout.readline()).group(1)
            running += [
                start(
                    folder,
                    "worker",
                    "--worker_id",
                    str(i),
                    "--master_ip",
                    "127.0.0.1",
                    "--port",
                    port,
                    "--state_dir",
                    os.path.join(folder, "state", "worker%d" % i),
                )
                for i in range(args.workers)
            ]
            processes = {"master": psutil.Process(master.pid)}
            processes.update({"worker%d" % i: psutil.Process(worker.pid) for i, worker in enumerate(running[1:])})
            while master.poll() is None:
                try:
                    rows.append(look(port, processes))
                except (OSError, psutil.NoSuchProcess):
                    break  # it has just ended
                time.sleep(PAUSE_S)
        finally:
            for process in running:
                process.terminate()
                process.wait()
                process.stdout.close()
    report(rows)


def report(rows: List[Dict[str, Any]]) -> None:
    """Print the samples, and the growth."""
    counted = [row for row in rows if row["round"] >= FIRST]
    if not counted:
        sys.exit("the run has ended before round %d" % FIRST)
    shown = counted[:: max(1, len(counted) // 10)] + counted[-1:]
    names = [name for name in counted[0] if name != "round"]
    print("MB (resident; disk: the folder of the run)")
    print(table(["round", *names], [[row["round"], *(row[name] for name in names)] for row in shown]))
    tenth = max(1, len(counted) // 10)
    for name in names:
        early = sorted(row[name] for row in counted[:tenth])[tenth // 2]
        late = sorted(row[name] for row in counted[-tenth:])[tenth // 2]
        print(
            "%s: %.1f MB at first, %.1f at last (medians of a tenth of the looks): %+.1f %%"
            % (name, early, late, 100.0 * (late / early - 1.0))
        )


if __name__ == "__main__":
    main()
