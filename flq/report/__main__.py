"""The command line of the reports.

python -m flq.report list
python -m flq.report compare A.xlsx results/20260801_120000_ab12 --out compare.xlsx --accuracy 0.8 0.9
python -m flq.report figures results/20260801_120000_ab12
python -m flq.report workbook results/20260801_120000_ab12
"""

import argparse
import os
import sys
from typing import List, Optional, Sequence

from ..errors import FlqError
from ..flags import TINY, Flags, within
from ..output import make_output_safe
from .compare import compare
from .figures import FIGURES, write_figures
from .listing import list_runs
from .recorded import read_journal
from .runs import find_folder
from .text_table import terminal_width
from .workbook import path_of, rewrite

PROGRAM = "python -m flq.report"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command; return the exit code."""
    args = _flags().parse_args(arguments)
    try:
        problems = args.run(args)
    except FlqError as error:
        problems = [str(error)]
    except ImportError as error:
        problems = ["the package %s is missing; install it with pip" % error.name]
    except OSError as error:
        problems = ["%s cannot be written: %s" % (args.out, error.strerror or error)]
    for problem in problems:
        print("%s %s: error: %s" % (PROGRAM, args.command, problem), file=sys.stderr)
    return 2 if problems else 0


def _flags() -> Flags:
    flags = Flags(prog=PROGRAM, description="Reports of runs, finished or in progress.")
    commands = flags.add_subparsers(dest="command", metavar="command")
    commands.required = True

    command = commands.add_parser(
        "list",
        help="list the runs: state, rounds, accuracy, bytes, and how to resume",
        description=(
            "List the runs of a folder, the newest last: state, rounds, last and best accuracy, bytes on the wire; the "
            "workbook of a run that has ended, and the command that resumes one that has not. Damaged folders come "
            "after them."
        ),
    )
    command.set_defaults(run=_list)
    command = commands.add_parser(
        "compare",
        help="compare runs",
        description=(
            "Compare runs: their accuracy, and the rounds, uploads, bits and bytes that it took. Runs that differ "
            "only in the seed are one row: their mean and standard deviation. Prints a table, writes a workbook with "
            "a chart and, beside it, a figure as PNG and SVG."
        ),
    )
    command.add_argument(
        "files",
        nargs="+",
        metavar="RUN",
        help=(
            "workbook of a run or of the reference program (results_<dataset>_<mode>.xlsx), or path or name of the "
            "folder of a run"
        ),
    )
    command.add_argument("--out", default="compare.xlsx", help="workbook to write (default: %(default)s)")
    command.add_argument(
        "--accuracy",
        nargs="+",
        type=within(float, TINY, 1),
        default=[],
        metavar="SHARE",
        help="accuracies whose cost is compared, such as 0.85 (default: chosen from the accuracies of the runs)",
    )
    command.add_argument(
        "--labels",
        nargs="+",
        default=[],
        metavar="LABEL",
        help=(
            "names of the runs, one each, with the seeds of one setting as one (default: the mode, the mode and "
            "bits, the settings that differ, or the file, the first of these that differs between all)"
        ),
    )
    command.set_defaults(run=_compare)

    command = commands.add_parser(
        "figures",
        help="redraw the figures of a run",
        description=(
            "Draw the figures of a run from its journal, during the run or after it, except the class distribution, "
            "which needs the data: python -m flq.training.distribution draws that."
        ),
    )
    command.add_argument("files", metavar="RUN", help="path or name of the folder of a run")
    command.add_argument(
        "--out",
        metavar="FOLDER",
        help="folder of the figures (default: figures/<run> beside the folder of the run, as during the run)",
    )
    command.set_defaults(run=_figures)
    command = commands.add_parser(
        "workbook",
        help="rewrite the workbook of a run",
        description=(
            "Write the workbook of a run from its journal, as the master does at the end of the run; works during the "
            "run, and after a crash."
        ),
    )
    command.add_argument("files", metavar="RUN", help="path or name of the folder of a run")
    command.add_argument(
        "--out", metavar="FILE", help="workbook to write (default: the run's own, beside the folder of the run)"
    )
    command.set_defaults(run=_workbook)
    for command in commands.choices.values():
        command.add_argument(
            "--results_dir",
            default="results",
            metavar="FOLDER",
            help="folder of the runs, and of those given by name (default: %(default)s)",
        )
    return flags


def _list(args: argparse.Namespace) -> List[str]:
    print(list_runs(args.results_dir, terminal_width()))
    return []


def _compare(args: argparse.Namespace) -> List[str]:
    text, written = compare(args.files, args.out, args.accuracy, args.labels, args.results_dir, terminal_width())
    print(text)
    print("written: %s" % ", ".join(written))
    return []


def _figures(args: argparse.Namespace) -> List[str]:
    folder = os.path.abspath(find_folder(args.files, args.results_dir))
    recorded = read_journal(folder)
    if args.out is None:
        args.out = os.path.join(os.path.dirname(folder), "figures", os.path.basename(folder))
    os.makedirs(args.out, exist_ok=True)
    written, problems = write_figures(args.out, FIGURES, recorded.rows, recorded.roll_calls)
    print("written: %s" % (", ".join(written) or "nothing: the run has no rounds yet"))
    return problems


def _workbook(args: argparse.Namespace) -> List[str]:
    folder = find_folder(args.files, args.results_dir)
    recorded = read_journal(folder)
    if args.out is None:
        args.out = path_of(recorded, folder)
    rewrite(recorded, args.out)
    print("written: %s" % args.out)
    return []


if __name__ == "__main__":
    make_output_safe()
    sys.exit(main())
