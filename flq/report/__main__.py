"""The command line of the report.

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
from .recorded import read_journal
from .runs import find_folder
from .workbook import path_of, rewrite

PROGRAM = "python -m flq.report"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Do what the command line says; return the exit code."""
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
    flags = Flags(prog=PROGRAM, description="What runs have to say, those that have ended and those that go on.")
    commands = flags.add_subparsers(dest="command", metavar="command")
    commands.required = True

    command = commands.add_parser(
        "compare",
        help="put runs side by side",
        description=(
            "Put runs side by side: how accurate they became, and after how many rounds, uploads, bits and bytes. "
            "Prints a table, writes a workbook with a chart and, beside it, a figure as PNG and SVG."
        ),
    )
    command.add_argument(
        "files",
        nargs="+",
        metavar="RUN",
        help=(
            "workbook of a run, ours or of the reference (results_<dataset>_<mode>.xlsx), or the folder of a run, by "
            "its path or its name"
        ),
    )
    command.add_argument("--out", default="compare.xlsx", help="workbook to write (default: %(default)s)")
    command.add_argument(
        "--accuracy",
        nargs="+",
        type=within(float, TINY, 1),
        default=[],
        metavar="SHARE",
        help="accuracies to ask for, as 0.85 (default: chosen from what the runs reached)",
    )
    command.add_argument(
        "--labels",
        nargs="+",
        default=[],
        metavar="LABEL",
        help=(
            "what the runs are called, one for each (default: in the figure by mode, by mode and bits, or by file, "
            "whichever tells them apart)"
        ),
    )
    command.set_defaults(run=_compare)

    command = commands.add_parser(
        "figures",
        help="draw the figures of a run again",
        description=(
            "Draw the figures of a run from its journal, also while it goes on; all but that of the classes, which "
            "needs the data: python -m flq.training.distribution draws that one."
        ),
    )
    command.add_argument("files", metavar="RUN", help="folder of a run, by its path or its name")
    command.add_argument(
        "--out",
        metavar="FOLDER",
        help="where they go (default: figures/<run> beside the folder of the run, where the master has them drawn)",
    )
    command.set_defaults(run=_figures)
    command = commands.add_parser(
        "workbook",
        help="write the workbook of a run again",
        description=(
            "Write the workbook of a run from its journal, as the master does when the run ends; also of a run that "
            "goes on, or was killed."
        ),
    )
    command.add_argument("files", metavar="RUN", help="folder of a run, by its path or its name")
    command.add_argument(
        "--out", metavar="FILE", help="workbook to write (default: the run's own, beside the folder of the run)"
    )
    command.set_defaults(run=_workbook)
    for command in commands.choices.values():
        command.add_argument(
            "--results_dir",
            default="results",
            metavar="FOLDER",
            help="where runs are looked for by their names (default: %(default)s)",
        )
    return flags


def _compare(args: argparse.Namespace) -> List[str]:
    text, written = compare(args.files, args.out, args.accuracy, args.labels, args.results_dir)
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
    print("written: %s" % (", ".join(written) or "nothing, the run has no rounds yet"))
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
