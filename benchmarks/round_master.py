"""The real master program without its evaluator; prints the marks of all rounds as JSON.

    python -m benchmarks.round_master FOLDER [flags of flq_master.py]

The evaluator, a separate process, takes about as long for a quadratic of ten million parameters as the round itself.
With two cores, it would be measured too, so it is left out. Everything else is what flq_master.py runs; FOLDER receives
its logs and results. With ``--evaluator`` as the first flag, the real evaluator runs.
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
    """Record the mark of a round that has just closed."""
    wire = METER.of_workers()
    MARKS.append(mark(wire.up, wire.down))


class NoEvaluator:
    """Replaces the evaluator; marks each round when it has closed."""

    def __init__(self, *_: Any) -> None:
        pass

    def evaluate(self, round_index: int, vectors: Sequence[Vector], done: Callable[[int, Evaluated], None]) -> None:
        """Mark the round, and report unknown results."""
        note()
        done(round_index, Evaluated())

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Return True: there is never work left."""
        return True

    def close(self) -> None:
        """Do nothing."""


class RealEvaluator(Evaluator):
    """The real evaluator, which also marks each round."""

    def evaluate(self, *args: Any) -> None:
        """Mark the round, and evaluate it."""
        note()
        super().evaluate(*args)


def serve(evaluator: Type[Any], flags: List[str], folder: str) -> int:
    """Run the master with this evaluator, and print its marks; return the exit code."""
    assembly.Evaluator = evaluator
    assembly.Meter = lambda: METER
    code = command_line.main(flags, folder)
    print(json.dumps(MARKS), flush=True)
    return code


def main() -> int:
    """Run the master."""
    folder, flags = sys.argv[1], leave_out_the_disk(sys.argv[2:])
    evaluates = flags[:1] == ["--evaluator"]
    return serve(RealEvaluator if evaluates else NoEvaluator, flags[1:] if evaluates else flags, folder)


if __name__ == "__main__":
    sys.exit(main())
