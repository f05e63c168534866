"""A round without training: FLQ with 4 bits both ways against Flower, in the same run.

    python -m benchmarks.vs_flower                     1e5, 1e6 and 1e7 parameters, 4 workers
    python -m benchmarks.vs_flower --dims 1e6          part of it
    python -m benchmarks.vs_flower --json vs_flower.json --png vs_flower.png

Flower (FLOWER below) lives in an environment of its own, which is made at the first start (--environment). It is
its gRPC server, ``start_server`` with ``start_client``: one master process and four worker
processes whose update is ready, as FLQ's are (benchmarks.round_overhead); a bare Flask loop is the third. They take
turns. Journal off, FLQ writes nothing to disk, as the others; journal on, everything that a crash
must not lose. Bytes are those that pass the sockets, counted between both ends in runs of their own:
what four more rounds add, so that connections and the first model do not count. Memory is the peak of the
master's process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, List, Optional

from benchmarks.processes import PROJECT, Marks, run
from benchmarks.round_overhead import WARM_UP, run_bare, run_flq, summary
from benchmarks.timing import table

FLOWER = "flwr==1.41.0"
GRPC, OFF, ON, BARE = "Flower gRPC", "FLQ, journal off", "FLQ, journal on", "bare Flask loop"
COUNTED = (3, 7)  # rounds of the two runs whose bytes are compared

Contestant = Callable[[int, int, Optional[Dict[str, int]]], Marks]  # parameters, rounds, where bytes go


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="FLQ against Flower, without training.")
    flags.add_argument("--dims", type=float, nargs="*", default=[1e5, 1e6, 1e7])
    flags.add_argument("--workers", type=int, default=4)
    flags.add_argument("--rounds", type=int, default=12, help="per turn, of which %d do not count" % WARM_UP)
    flags.add_argument("--turns", type=int, default=3)
    flags.add_argument("--environment", default=os.path.join(PROJECT, ".venv-flower"),
                       help="Flower's; made if it is not there (default: .venv-flower)")
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    flags.add_argument("--png", metavar="FILE", help="draw them here")
    return flags.parse_args()


def flower_python(environment: str) -> str:
    """Return the Python of Flower's environment, which is made if it is not there."""
    python = os.path.join(environment, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", FLOWER], check=True)
    return python


def contestants(n_workers: int, python: str) -> Dict[str, Contestant]:
    """Return what runs each of them once."""
    def flower(dim: int, n_rounds: int, bytes_moved: Optional[Dict[str, int]]) -> Marks:
        with tempfile.TemporaryDirectory() as folder:
            return run(["benchmarks.flower_server", str(dim), str(n_rounds), str(n_workers)],
                       lambda port: [["benchmarks.flower_client", port, str(i), str(dim)] for i in range(n_workers)],
                       folder, python, bytes_moved)

    return {GRPC: flower,
            OFF: lambda dim, n_rounds, moved: run_flq("4bit", dim, n_workers, n_rounds, False, bytes_moved=moved),
            ON: lambda dim, n_rounds, moved: run_flq("4bit", dim, n_workers, n_rounds, True, bytes_moved=moved),
            BARE: lambda dim, n_rounds, moved: run_bare("plain", dim, n_workers, n_rounds, "werkzeug", moved)}


def bytes_per_round(contestant: Contestant, dim: int) -> Dict[str, float]:
    """Return what passes the sockets in one more round."""
    fewer, more = {}, {}
    for n_rounds, moved in zip(COUNTED, (fewer, more)):
        contestant(dim, n_rounds, moved)
    return {way: (more[way] - fewer[way]) / (COUNTED[1] - COUNTED[0]) for way in ("up", "down")}


def compare(dim: int, args: argparse.Namespace, python: str) -> Dict[str, Dict[str, Any]]:
    """Let all contestants take turns with one size."""
    runs: Dict[str, List[Marks]] = {}
    for _ in range(args.turns):
        for name, contestant in contestants(args.workers, python).items():
            runs.setdefault(name, []).append(contestant(dim, args.rounds, None))
    found = {name: summary(turns) for name, turns in runs.items()}
    for name, row in found.items():
        row.update(bytes_per_round(contestants(args.workers, python)[name], dim))
        row["to_flower"] = statistics.median(
            other / own for own, other in zip(row["seconds_by_turn"], found[GRPC]["seconds_by_turn"]))
        row["cpu_to_flower"] = _cpu(found[GRPC]) / _cpu(row)
    return found


def _cpu(row: Dict[str, Any]) -> float:
    return row["master_cpu_seconds"] + row["workers_cpu_seconds"]


def draw(results: Dict[int, Dict[str, Dict[str, Any]]], path: str) -> None:
    """Draw seconds, bytes and memory over the number of parameters."""
    from matplotlib.figure import Figure  # takes a second, and most runs draw nothing

    figure = Figure((12, 4), layout="constrained")
    panels = {"seconds per round": lambda row: row["seconds"], "MB per round at the sockets":
              lambda row: (row["up"] + row["down"]) / 1e6, "master's peak memory, MB": lambda row: row["peak_mb"]}
    for axes, (title, value) in zip(figure.subplots(1, len(panels)), panels.items()):
        for name in next(iter(results.values())):
            axes.plot(list(results), [value(found[name]) for found in results.values()], marker="o", label=name)
        axes.set(xscale="log", yscale="log", xlabel="parameters", title=title)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    python = flower_python(args.environment)
    print("%s, %d workers, %d turns of %d rounds, median (best)"
          % (FLOWER, args.workers, args.turns, args.rounds - WARM_UP), flush=True)
    results: Dict[int, Dict[str, Dict[str, Any]]] = {}
    for dim in map(int, args.dims):
        results[dim] = compare(dim, args, python)
        print(table(["d = %d" % dim, "s/round", "(best)", "x faster than gRPC", "CPU s, all", "x less CPU", "MB up",
                     "MB down", "master peak MB"],
                    [[name, row["seconds"], row["best_seconds"], row["to_flower"], _cpu(row), row["cpu_to_flower"],
                      row["up"] / 1e6, row["down"] / 1e6, row["peak_mb"]] for name, row in results[dim].items()]),
              flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    if args.png:
        draw(results, args.png)


if __name__ == "__main__":
    main()
