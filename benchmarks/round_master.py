"""The real master program without its evaluator; prints what it noted at the end of each round as JSON.

    python -m benchmarks.round_master FOLDER [flags of flq_master.py]

A quadratic of ten million parameters takes the evaluator about as long as the round itself, in
a process of its own: with two cores it would be measured too. So nobody evaluates here. All the
rest is what flq_master.py runs; FOLDER takes its logs and results. With ``--evaluator`` as the
first flag the evaluator is the real one.
"""

import json
import sys
from typing import Any, Callable, List, Sequence, Type

from benchmarks.peak import mark
from benchmarks.volatile import leave_out_the_disk
from flq.core.layout import Vector
from flq.master import command_line
from flq.master.records.round_log import Evaluated
from flq.master.records.wire_meter import Meter
from flq.master.runtime import assembly
from flq.master.runtime.evaluator import Evaluator

METER = Meter()
MARKS: List[Any] = []


def note() -> None:
    """Keep the numbers of a round that has just closed."""
    wire = METER.of_workers()
    MARKS.append(mark(wire.up, wire.down))


class NobodyEvaluates:
    """In the evaluator's place: is told of each round when it has closed."""

    def __init__(self, *_: Any) -> None:
        pass

    def evaluate(self, round_index: int, vectors: Sequence[Vector], done: Callable[[int, Evaluated], None]) -> None:
        """Note the round, and say that its results are not known."""
        note()
        done(round_index, Evaluated())

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Return that nothing is left to do."""
        return True

    def close(self) -> None:
        """Do nothing."""


class RealEvaluator(Evaluator):
    """The evaluator; rounds are noted on the way to it."""

    def evaluate(self, *args: Any) -> None:
        """Note the round, and have it evaluated."""
        note()
        super().evaluate(*args)


def serve(evaluator: Type[Any], flags: List[str], folder: str) -> int:
    """Run the master with this in the evaluator's place, and print its marks; return the exit code."""
    assembly.Evaluator = evaluator
    assembly.Meter = lambda: METER
    code = command_line.main(flags, folder)
    print(json.dumps(MARKS), flush=True)
    return code


def main() -> int:
    """Run the master."""
    folder, flags = sys.argv[1], leave_out_the_disk(sys.argv[2:])
    evaluates = flags[:1] == ["--evaluator"]
    return serve(RealEvaluator if evaluates else NobodyEvaluates, flags[1:] if evaluates else flags, folder)


if __name__ == "__main__":
    sys.exit(main())
