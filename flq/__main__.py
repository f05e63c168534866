"""The commands of an installed FLQ: flq-master, flq-worker, and flq COMMAND, the same as python -m flq COMMAND."""

import os
import runpy
import sys
from typing import Dict, NamedTuple

from .output import make_output_safe


class Command(NamedTuple):
    """A module to run, and its purpose."""

    module: str
    purpose: str


COMMANDS: Dict[str, Command] = {
    "report": Command("flq.report", "list and compare runs, draw their figures, write their workbooks"),
    "distribution": Command("flq.training.distribution", "show which classes each worker gets"),
    "data": Command("flq.data", "show what FLQ sees in your data"),
    "notify": Command("flq.sinks.notify", "send test notifications"),
}


def main() -> int:
    """Run the named command's module; return the exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        print("usage: flq COMMAND ...\n")
        for command in COMMANDS:
            print("    flq %-14s%s" % (command, COMMANDS[command].purpose))
        print("\nMaster and worker: flq-master, flq-worker.")
        return 0
    if name not in COMMANDS:
        print("flq: error: unknown command %r, expected one of %s" % (name, ", ".join(COMMANDS)), file=sys.stderr)
        return 2
    del sys.argv[0]
    runpy.run_module(COMMANDS[name].module, run_name="__main__", alter_sys=True)
    return 0


def master() -> int:
    """Run a master in the current folder; return the exit code."""
    from .master.command_line import main as run

    make_output_safe()
    return run(None, os.getcwd())


def worker() -> int:
    """Run a worker in the current folder; return the exit code."""
    from .worker.command_line import main as run

    make_output_safe()
    return run(None, os.getcwd())


if __name__ == "__main__":
    make_output_safe()
    sys.exit(main())
