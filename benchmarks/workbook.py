"""Measures the time and memory to write the Excel workbook of a long run.

    python -m benchmarks.workbook                             2,000 rounds, 64 workers, three turns
    python -m benchmarks.workbook --rounds 20000 --turns 1    a longer run
    python -m benchmarks.workbook --json workbook.json        the numbers, for another program

The baseline is a loop that writes the same numbers of numeric and text cells into one sheet with XlsxWriter, without
formulas, colours and charts. Both take turns, each time in a new process. The time starts when the rows exist and ends
when the file does; peak memory is that of the whole process, including Python and the rows.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from typing import Any, Callable, Dict, List, Tuple

from benchmarks.peak import peak_mb
from benchmarks.timing import table

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FLQ, BARE = "the workbook of a run", "a bare loop, as many cells"
STATUSES = ("uploaded", "skipped", "refused", "late", "lost")
WIDTH = 64  # cells per row of the bare loop


def parse_flags() -> argparse.Namespace:
    """Read the command line."""
    flags = argparse.ArgumentParser(description="Measure the time and memory to write a workbook.")
    flags.add_argument("--rounds", type=int, default=2000)
    flags.add_argument("--workers", type=int, default=64)
    flags.add_argument("--turns", type=int, default=3)
    flags.add_argument("--json", metavar="FILE", help="write the numbers here")
    flags.add_argument("--child", choices=(FLQ, BARE), help=argparse.SUPPRESS)
    flags.add_argument("--cells", type=int, nargs=2, default=(0, 0), help=argparse.SUPPRESS)  # numbers, texts
    return flags.parse_args()


def rows_of(n_rounds: int, n_workers: int) -> Tuple[list, list, list]:
    """Return rounds, workers and roll calls without unknown values; no two rounds are equal."""
    from flq.report.rows import RoundRow, WorkerRow

    draw = random.Random(1)
    roll_calls = [
        (k, dict(enumerate(draw.choices(STATUSES, (60, 30, 6, 3, 1), k=n_workers)))) for k in range(1, n_rounds + 1)
    ]
    rounds = []
    for round_index, statuses in roll_calls:
        counts = [list(statuses.values()).count(status) for status in STATUSES]
        rounds.append(
            RoundRow(
                round_index,
                *(draw.random() for _ in range(4)),
                *counts,
                *(draw.randrange(10**7) for _ in range(7)),
                *(draw.random() for _ in range(6)),
            )
        )
    workers = [
        WorkerRow(m, 1000, "present", *(draw.randrange(10**7) for _ in range(12)), *(draw.random() for _ in range(8)))
        for m in range(n_workers)
    ]
    return rounds, workers, roll_calls


def write_flq(path: str, args: argparse.Namespace) -> Callable[[], None]:
    """Create the rows; return a function that writes the workbook of a run."""
    from flq.report.excel import write_workbook
    from flq.report.rows import Sum

    rounds, workers, roll_calls = rows_of(args.rounds, args.workers)
    wire = Sum(sum(row.wire_bytes_up for row in rounds), "wire_bytes_up")
    return lambda: write_workbook(path, [("wire up (bytes)", wire)], rounds, workers, {}, roll_calls)


def write_bare(path: str, args: argparse.Namespace) -> Callable[[], None]:
    """Return the bare loop."""
    from xlsxwriter import Workbook

    draw, (n_numbers, n_texts) = random.Random(1), args.cells
    numbers, texts = [draw.random() for _ in range(n_numbers)], draw.choices("USRLX", k=n_texts)

    def write() -> None:
        with Workbook(path, {"in_memory": True}) as workbook:
            sheet = workbook.add_worksheet()
            for index, number in enumerate(numbers):
                sheet.write_number(index // WIDTH, index % WIDTH, number)
            first = 1 + n_numbers // WIDTH
            for index, text in enumerate(texts):
                sheet.write_string(first + index // WIDTH, index % WIDTH, text)

    return write


def measure_here(args: argparse.Namespace) -> Dict[str, Any]:
    """Write one workbook in this process."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "run.xlsx")
        write = (write_flq if args.child == FLQ else write_bare)(path, args)
        began, before = time.perf_counter(), time.process_time()
        write()
        return {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - before,
            "peak_mb": peak_mb(),
            "file_mb": os.path.getsize(path) / 1e6,
            "cells": cells_of(path),
        }


def cells_of(path: str) -> List[int]:
    """Return the numbers of numeric cells, including formulas, and of text cells of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = [archive.read(name) for name in archive.namelist() if name.startswith("xl/worksheets/sheet")]
    texts = sum(part.count(b't="s"') for part in parts)
    return [sum(part.count(b"<v>") for part in parts) - texts, texts]


def run(child: str, args: argparse.Namespace, cells: List[int]) -> Dict[str, Any]:
    """Write one workbook in a new process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.workbook",
        "--child",
        child,
        "--rounds",
        str(args.rounds),
        "--workers",
        str(args.workers),
        "--cells",
        *map(str, cells),
    ]
    return json.loads(subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True, text=True).stdout)


def main() -> None:
    """Measure and print."""
    args = parse_flags()
    if args.child:
        print(json.dumps(measure_here(args)))
        return
    turns: Dict[str, List[Dict[str, Any]]] = {FLQ: [], BARE: []}
    for _ in range(args.turns):
        turns[FLQ].append(run(FLQ, args, [0, 0]))
        turns[BARE].append(run(BARE, args, turns[FLQ][-1]["cells"]))
    rows = []
    for name, found in turns.items():
        middle = {
            key: statistics.median(one[key] for one in found)
            for key in ("seconds", "cpu_seconds", "peak_mb", "file_mb")
        }
        ratio = statistics.median(one["cpu_seconds"] / bare["cpu_seconds"] for one, bare in zip(found, turns[BARE]))
        rows.append({"name": name, "cells": sum(found[0]["cells"]), **middle, "to_bare": ratio})
    print("%d rounds, %d workers, %d turns, median" % (args.rounds, args.workers, args.turns))
    print(
        table(
            ["", "cells", "seconds", "CPU seconds", "x bare", "peak MB", "file MB"],
            [
                [
                    row["name"],
                    str(row["cells"]),
                    row["seconds"],
                    row["cpu_seconds"],
                    row["to_bare"],
                    row["peak_mb"],
                    row["file_mb"],
                ]
                for row in rows
            ],
        )
    )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
