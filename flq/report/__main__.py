"""The command line of the report.

    python -m flq.report compare A.xlsx B.xlsx --out compare.xlsx --accuracy 0.8 0.9
"""

import sys
from typing import Optional, Sequence

from ..errors import FlqError
from ..flags import TINY, Flags, within
from .compare import compare

PROGRAM = "python -m flq.report"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Do what the command line says; return the exit code."""
    flags = Flags(prog=PROGRAM, description="What finished runs have to say.")
    commands = flags.add_subparsers(dest="command", metavar="command")
    commands.required = True
    command = commands.add_parser("compare", help="put runs side by side", description=(
        "Put runs side by side: how accurate they became, and after how many bytes. Reads workbooks of ours and "
        "of the reference (results_<dataset>_<mode>.xlsx), prints a table and writes a workbook with a chart."))
    command.add_argument("files", nargs="+", metavar="FILE.xlsx", help="workbook of a run")
    command.add_argument("--out", default="compare.xlsx", help="workbook to write (default: %(default)s)")
    command.add_argument("--accuracy", nargs="+", type=within(float, TINY, 1), default=[], metavar="SHARE",
                         help="accuracies to ask for, as 0.85 (default: chosen from what the runs reached)")
    args = flags.parse_args(arguments)
    try:
        print(compare(args.files, args.out, args.accuracy))
    except FlqError as error:
        sentence = str(error)
    except ImportError as error:
        sentence = "the package %s is missing; install it with pip" % error.name
    except OSError as error:
        sentence = "%s can not be written: %s" % (args.out, error.strerror or error)
    else:
        print("written: %s" % args.out)
        return 0
    print("%s %s: error: %s" % (PROGRAM, args.command, sentence), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
