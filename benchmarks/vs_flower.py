"""Compares a round without training: FLQ with 4 bits both ways against Flower, in the same run.

    python -m benchmarks.vs_flower                     1e5, 1e6 and 1e7 parameters, 4 workers
    python -m benchmarks.vs_flower --dims 1e6          part of it
    python -m benchmarks.vs_flower --superlink         with Flower's SuperLink too: some minutes more for each size
    python -m benchmarks.vs_flower --json vs_flower.json --png vs_flower.png

Flower is installed in its own environment (benchmarks.flower_environment), created at the first start (--environment).
It runs its gRPC server, ``start_server`` with ``start_client``: one master process and four worker processes with ready
updates, like FLQ's (benchmarks.round_overhead). A bare Flask loop is the third contestant. They take turns. With the
journal off, FLQ writes nothing to disk, like the others; with the journal on, it writes everything that a crash must
not lose. Bytes are those at the sockets, counted between both ends in separate runs: the difference that additional
rounds make, which excludes connections and the first model. Memory is the peak of the master's process.

SuperLink is what Flower deploys today (benchmarks.flower_superlink defines its CPU time and memory). Its rounds take
about ten seconds, independent of their size, so it runs a few of them, in one turn.
"""

import argparse
import json
import os
import statistics
import tempfile
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from benchmarks.flower_environment import DEFAULT, FLOWER, QUIET, flower_python
from benchmarks.flower_superlink import run_superlink
from benchmarks.processes import Marks, run
from benchmarks.round_overhead import WARM_UP, run_bare, run_flq, summary
from benchmarks.timing import table

GRPC, SUPERLINK = "Flower gRPC", "Flower SuperLink"
OFF, ON, BARE = "FLQ, journal off", "FLQ, journal on", "bare Flask loop"

Run = Callable[[int, int, Optional[Dict[str, int]]], Marks]  # parameters, rounds, byte counts


class Contestant(NamedTuple):
    """A contestant and its numbers of rounds.

    Attributes
    ----------
    run : callable
        Runs it once.
    rounds, turns, warm_up : int
        Rounds of a turn, turns, and rounds of each turn that do not count.
    counted : tuple of int
        Rounds of the two runs whose byte counts are subtracted.
    """

    run: Run
    rounds: int
    turns: int
    warm_up: int = WARM_UP
    counted: Tuple[int, int] = (3, 7)


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Compare FLQ with Flower, without training.")
    flags.add_argument("--dims", type=float, nargs="*", default=[1e5, 1e6, 1e7])
    flags.add_argument("--workers", type=int, default=4)
    flags.add_argument("--rounds", type=int, default=12, help="per turn, of which %d do not count" % WARM_UP)
    flags.add_argument("--turns", type=int, default=3)
    flags.add_argument(
        "--superlink", action="store_true", help="include Flower's SuperLink, whose rounds take 10 to 20 seconds"
    )
    flags.add_argument(
        "--superlink_rounds",
        type=int,
        default=4,
        help="rounds in its one turn, of which 1 does not count (default: %(default)s)",
    )
    flags.add_argument(
        "--environment", default=DEFAULT, help="environment with Flower, created if missing (default: .venv-flower)"
    )
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    flags.add_argument("--png", metavar="FILE", help="draw them here")
    args = flags.parse_args()
    for name, least in (("rounds", WARM_UP + 1), ("superlink_rounds", 2), ("turns", 1), ("workers", 1)):
        if getattr(args, name) < least:
            flags.error("--%s must be at least %d, got %d" % (name, least, getattr(args, name)))
    return args


def contestants(args: argparse.Namespace, python: str) -> Dict[str, Contestant]:
    """Return the contestants by name."""
    n_workers = args.workers

    def flower(dim: int, n_rounds: int, bytes_moved: Optional[Dict[str, int]]) -> Marks:
        with tempfile.TemporaryDirectory() as folder:
            return run(
                ["benchmarks.flower_server", str(dim), str(n_rounds), str(n_workers)],
                lambda port: [["benchmarks.flower_client", port, str(i), str(dim)] for i in range(n_workers)],
                folder,
                python,
                bytes_moved,
            )

    runs: Dict[str, Run] = {
        GRPC: flower,
        OFF: lambda dim, n_rounds, moved: run_flq("4bit", dim, n_workers, n_rounds, False, bytes_moved=moved),
        ON: lambda dim, n_rounds, moved: run_flq("4bit", dim, n_workers, n_rounds, True, bytes_moved=moved),
        BARE: lambda dim, n_rounds, moved: run_bare("plain", dim, n_workers, n_rounds, "werkzeug", moved),
    }
    found = {name: Contestant(one, args.rounds, args.turns) for name, one in runs.items()}
    if args.superlink:
        found[SUPERLINK] = Contestant(
            lambda dim, n_rounds, moved: run_superlink(dim, n_rounds, n_workers, python, moved),
            args.superlink_rounds,
            turns=1,
            warm_up=1,
            counted=(1, 3),
        )
    return found


def bytes_per_round(contestant: Contestant, dim: int) -> Dict[str, float]:
    """Return the bytes at the sockets per additional round."""
    moved: List[Dict[str, int]] = [{}, {}]
    for n_rounds, where in zip(contestant.counted, moved):
        contestant.run(dim, n_rounds, where)
    fewer, more = contestant.counted
    return {way: (moved[1][way] - moved[0][way]) / (more - fewer) for way in ("up", "down")}


def compare(dim: int, entrants: Dict[str, Contestant]) -> Dict[str, Dict[str, Any]]:
    """Run all contestants in turn with one size."""
    runs: Dict[str, List[Marks]] = {name: [] for name in entrants}
    for turn in range(max(one.turns for one in entrants.values())):
        for name, one in entrants.items():
            if turn < one.turns:
                runs[name].append(one.run(dim, one.rounds, None))
    found = {name: summary(turns, entrants[name].warm_up) for name, turns in runs.items()}
    for name, row in found.items():
        row.update(bytes_per_round(entrants[name], dim))
        row["to_flower"] = statistics.median(
            other / own for own, other in zip(row["seconds_by_turn"], found[GRPC]["seconds_by_turn"])
        )
        row["cpu_to_flower"] = _cpu(found[GRPC]) / _cpu(row)
    if SUPERLINK in found:
        found[SUPERLINK]["peaks_mb"] = runs[SUPERLINK][0][-1]["peaks_mb"]
    return found


def _cpu(row: Dict[str, Any]) -> float:
    return row["master_cpu_seconds"] + row["workers_cpu_seconds"]


def draw(results: Dict[int, Dict[str, Dict[str, Any]]], path: str) -> None:
    """Draw seconds, bytes and memory over the number of parameters."""
    from matplotlib.figure import Figure  # slow to import, and rarely needed

    figure = Figure((12, 4), layout="constrained")
    panels = {
        "seconds per round": lambda row: row["seconds"],
        "MB per round at the sockets": lambda row: (row["up"] + row["down"]) / 1e6,
        "master's peak memory, MB": lambda row: row["peak_mb"],
    }
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
    os.environ.update(QUIET)
    entrants = contestants(args, flower_python(args.environment))
    print(
        "%s, %d workers, %d turns of %d rounds, median (best)"
        % (FLOWER, args.workers, args.turns, args.rounds - WARM_UP),
        flush=True,
    )
    results: Dict[int, Dict[str, Dict[str, Any]]] = {}
    for dim in map(int, args.dims):
        results[dim] = compare(dim, entrants)
        print(
            table(
                [
                    "d = %d" % dim,
                    "s/round",
                    "(best)",
                    "x faster than gRPC",
                    "CPU s, all",
                    "x less CPU",
                    "MB up",
                    "MB down",
                    "master peak MB",
                ],
                [
                    [
                        name,
                        row["seconds"],
                        row["best_seconds"],
                        row["to_flower"],
                        _cpu(row),
                        row["cpu_to_flower"],
                        row["up"] / 1e6,
                        row["down"] / 1e6,
                        row["peak_mb"],
                    ]
                    for name, row in results[dim].items()
                ],
            ),
            flush=True,
        )
        if SUPERLINK in results[dim]:
            print(
                "%s: one turn of %d rounds; its peak MB: %s"
                % (
                    SUPERLINK,
                    args.superlink_rounds - 1,
                    ", ".join("%s %.0f" % item for item in results[dim][SUPERLINK]["peaks_mb"].items()),
                ),
                flush=True,
            )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    if args.png:
        draw(results, args.png)


if __name__ == "__main__":
    main()
