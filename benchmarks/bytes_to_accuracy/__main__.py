"""Measures the bytes to a given accuracy: the table and the figure of docs/bytes.md.

    FLQ_DATA_DIR=DATA python -m benchmarks.bytes_to_accuracy                          # all recipes, seed 1
    FLQ_DATA_DIR=DATA python -m benchmarks.bytes_to_accuracy --recipe "fedavg E2" --seeds 1 2 3 --jobs 2
    FLQ_DATA_DIR=DATA python -m benchmarks.bytes_to_accuracy --recipe mine mode=bbit b_up=3 lr=0.07 --rounds 40
    python -m benchmarks.bytes_to_accuracy --table --figure

Ten workers, cnn_small, Fashion-MNIST, Dirichlet 0.1, one partition. Each run is one file in --out; existing files are
kept, so an interrupted series can be resumed. An unknown recipe name starts from the defaults. key=value changes a
recipe, which then needs its own --name.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import List

from flq.errors import FlqError

from .recipes import RECIPES, recipe_of
from .runs import Job, run
from .table import figure, gather, table, write_json

HTTP_BYTES = 235  # overhead of HTTP per exchange, both ways, measured at a socket
OUT = os.path.join("results", "bytes_to_accuracy")


def main() -> int:
    """Run the jobs of the command line; return the exit code."""
    args = _arguments().parse_args()
    if args.table or args.figure:
        summaries = gather(args.out, args.http, args.alpha)
        print(table(summaries, "mean_" if args.mean else ""))
        place = os.path.join(args.out, "alpha%g" % args.alpha)
        write_json(summaries, place + ".json", args.http, args.alpha)
        if args.figure:
            figure(summaries, place + ".png")
        return 0
    try:
        jobs = _jobs(args)
        if len(jobs) == 1:
            print(run(jobs[0]), flush=True)
            return 0
    except FlqError as error:
        print("error: %s" % error, file=sys.stderr)
        return 2
    with ThreadPoolExecutor(args.jobs) as pool:  # each run is a process, because of TensorFlow
        return max(pool.map(_child, jobs))


def _arguments() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description="Bytes to a given accuracy on Fashion-MNIST.")
    flags.add_argument(
        "--recipe",
        nargs="+",
        action="append",
        metavar=("NAME", "key=value"),
        help="may be repeated; one of: " + "; ".join(RECIPES),
    )
    flags.add_argument("--name", help="name of the changed recipe in files and tables")
    flags.add_argument("--seeds", nargs="+", type=int, default=[1])
    flags.add_argument("--rounds", type=int, help="overrides the recipe's number of rounds")
    flags.add_argument("--alpha", type=float, default=0.1, help="concentration of the Dirichlet distribution")
    flags.add_argument(
        "--stop_at",
        type=float,
        default=2.0,
        metavar="ACCURACY",
        help="stop when the mean of three validation accuracies reaches this",
    )
    flags.add_argument("--out", default=OUT, help="folder of the files")
    flags.add_argument("--jobs", type=int, default=1, help="number of parallel runs")
    flags.add_argument("--table", action="store_true", help="print the table, and write alphaA.json")
    flags.add_argument("--figure", action="store_true", help="the same, and draw alphaA.png")
    flags.add_argument("--mean", action="store_true", help="in the table, use the average of the models instead of x")
    flags.add_argument("--http", type=int, default=HTTP_BYTES, help="overhead of HTTP per exchange, in bytes")
    return flags


def _jobs(args: argparse.Namespace) -> List[Job]:
    """Return the requested runs, recipe by recipe."""
    jobs = []
    for seed in args.seeds:
        for name, *changes in args.recipe or [[name] for name in RECIPES]:
            recipe = recipe_of(name, changes)
            if not recipe.overrides:
                raise SystemExit("error: unknown recipe %r; known are: %s" % (name, "; ".join(RECIPES)))
            if args.rounds:
                recipe = recipe._replace(rounds=args.rounds)
            jobs.append(Job(args.name or name, recipe, seed, args.alpha, args.stop_at, args.out))
    return jobs


def _child(job: Job) -> int:
    command = [sys.executable, "-m", "benchmarks.bytes_to_accuracy", "--recipe", job.name] + list(job.recipe.overrides)
    command += [
        "--seeds",
        str(job.seed),
        "--rounds",
        str(job.recipe.rounds),
        "--alpha",
        "%g" % job.alpha,
        "--stop_at",
        "%g" % job.stop_at,
        "--out",
        job.out,
    ]
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
