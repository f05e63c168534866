"""The process of one tracker: ``python -m flq.sinks.trackers NAME FOLDER``, a sink of the master."""

import sys
from typing import Dict, Iterable, List, Optional

from ...core.settings import public, to_json
from ...flags import Flags
from ...report.rows import RoundRow
from ..messages import Began, Message, Round, read
from . import TRACKERS, Tracker, Values

# Field of a round -> name of a curve; trackers group curves by the part before the slash.
CURVES = {
    "accuracy": "test/accuracy",
    "test_loss": "test/loss",
    "shared_accuracy": "test/accuracy_of_shared_copy",
    "average_accuracy": "test/accuracy_of_average",
    "own_accuracy": "own_data/accuracy",
    "own_loss": "own_data/loss",
    "training_loss": "training/loss",
    "uploaded": "roll-call/uploaded",
    "skipped": "roll-call/skipped",
    "refused": "roll-call/refused",
    "late": "roll-call/late",
    "lost": "roll-call/lost",
    "payload_bits_up": "payload/bits_up",
    "payload_bits_down": "payload/bits_down",
    "wire_bytes_up": "wire/bytes_up",
    "wire_bytes_down": "wire/bytes_down",
    "training_s": "seconds/training",
    "waiting_s": "seconds/waiting",
    "round_s": "seconds/round",
    "energy_so_far_j": "energy/joules_so_far",
}


def main(argv: Optional[List[str]] = None) -> int:
    """Track the run whose messages come from stdin; return the exit code."""
    flags = Flags(
        prog="python -m flq.sinks.trackers", description="Run one tracker; the master's messages come from stdin."
    )
    flags.add_argument("name", choices=sorted(TRACKERS))
    flags.add_argument("folder", help="output folder")
    args = flags.parse_args(argv)
    track(TRACKERS[args.name].make(args.folder), read(sys.stdin.buffer))
    return 0


def track(tracker: Tracker, messages: Iterable[Message]) -> None:
    """Pass the new values of each round to a tracker."""
    known: Dict[int, Values] = {}

    def take(message: Round) -> None:
        before = known.get(message.row.round_index, {})
        values = values_of(message.row)
        new = {name: value for name, value in values.items() if before.get(name) != value}
        if new:
            known[message.row.round_index] = values
            tracker.round(message.row.round_index, new)

    for message in messages:
        if isinstance(message, Began):
            tracker.begin(message.run_id, public(to_json(message.settings)))
            for earlier in message.rounds:
                take(earlier)
        elif isinstance(message, Round):
            take(message)
    tracker.end()


def values_of(row: RoundRow) -> Values:
    """Return the known values of a round by the name of the curve."""
    return {name: float(getattr(row, field)) for field, name in CURVES.items() if getattr(row, field) is not None}


if __name__ == "__main__":
    sys.exit(main())
