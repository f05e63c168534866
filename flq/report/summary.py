"""Totals of a whole run, and the lines of the sheet Summary.

The traffic of a round is counted until it closes. Later traffic (the last verdicts, a round that was open at the stop,
the notice of the end) has separate lines: each total is the sum over the rounds plus such a line.
"""

import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..core.layout import Layout
from ..core.settings import Settings
from .headline import WIRE_DOWN, WIRE_UP, Line, Tested, headline, last_tested
from .rows import RoundRow, Sum, WorkerRow

NEVER_JOINED, PRESENT, GONE = "never joined", "present", "lost"


class Totals(NamedTuple):
    """The counts of a run at one moment; pairs are (up, down).

    Attributes
    ----------
    workers : list of WorkerRow
    wire_bytes : (int, int)
        Sums over the workers.
    others : (int, int)
        Wire bytes of all other peers.
    blocked : sequence of (int, int)
        Worker id, and the number of its updates that an intermediary rejected on the way to the master; only workers
        with such updates.
    """

    workers: List[WorkerRow]
    payload_bits: Tuple[int, int]
    wire_bytes: Tuple[int, int]
    others: Tuple[int, int]
    blocked: Sequence[Sequence[int]] = ()


def totals_to_stored(totals: Totals) -> Dict[str, Any]:
    """Return the totals as JSON values for the journal; columns of workers take less space than rows."""
    columns = {field: [getattr(row, field) for row in totals.workers] for field in WorkerRow._fields}
    return dict(totals._asdict(), workers=columns)


def totals_from_stored(value: Mapping[str, Any]) -> Totals:
    """Inverse of :func:`totals_to_stored`."""
    columns = value["workers"]
    rows = [WorkerRow(**dict(zip(columns, row))) for row in zip(*columns.values())]
    return Totals(**dict(value, workers=rows))


def per(total: Optional[float], number: float) -> Optional[float]:
    """Return ``total / number``; None if the total is None or the number is not positive."""
    return total / number if total is not None and number > 0 else None


def _energy(totals: Totals, last: Tested) -> List[Tuple[str, Any]]:
    """Return the lines on energy; none if no board reported any."""
    reported = [row.energy_j for row in totals.workers if row.energy_j is not None]
    if not reported:
        return []
    whole = math.fsum(reported)
    return [
        ("energy of %d of %d workers (J)" % (len(reported), len(totals.workers)), Sum(whole, workers="energy_j")),
        ("energy per percentage point (J)", per(whole, 100 * (last.accuracy or 0))),
    ]


def lost_workers(totals: Totals) -> List[int]:
    """Return the ids of workers that joined and were lost at the end."""
    return [row.worker_id for row in totals.workers if row.state == GONE]


def blocked_updates(totals: Totals) -> Optional[str]:
    """Return a sentence on updates that an intermediary rejected; None if there are none."""
    n_updates = sum(count for _, count in totals.blocked)
    if not n_updates:
        return None
    words = (
        "updates did not arrive, because something between a worker and the master rejected them"
        if n_updates > 1
        else "update did not arrive, because something between the worker and the master rejected it"
    )
    return "%d %s: %s" % (
        n_updates,
        words,
        ", ".join("%d of worker %d" % (count, worker_id) for worker_id, count in totals.blocked),
    )


def summary(
    run_id: str,
    reason: str,
    rounds: List[RoundRow],
    totals: Totals,
    settings: Settings,
    config_hash: str,
    layout: Optional[Layout] = None,
) -> List[Line]:
    """Return the lines of the sheet Summary; without a layout, those on the size of the model are left out."""
    is_local = settings.dataset.partition == "local"
    lost, last = lost_workers(totals), last_tested(rounds, is_local)

    def over_workers(field: str) -> Sum:
        return Sum(sum(getattr(row, field) for row in totals.workers), workers=field)

    def after(total: int, *fields: str) -> int:
        return total - sum(getattr(row, field) for row in rounds for field in fields)

    parted = [
        (label, "%s after the last round (%s" % tuple(label.split(" (")), total, field)
        for label, total, field in (
            ("payload up (bits)", totals.payload_bits[0], "payload_bits_up"),
            ("payload down (bits)", totals.payload_bits[1], "payload_bits_down"),
            (WIRE_UP, totals.wire_bytes[0], "wire_bytes_up"),
            (WIRE_DOWN, totals.wire_bytes[1], "wire_bytes_down"),
        )
    ]
    pairs = [
        *([] if last.average_accuracy is None else [("test accuracy of the average", last.average_accuracy)]),
        ("test loss", last.loss),
        ("measured on", "the workers' held-out samples, with the shared copy" if is_local else "the test set"),
        ("run", run_id),
        ("ended because", reason),
        ("data set", settings.dataset.name),
        ("model", settings.model.name),
        ("mode", settings.flq_algorithm.mode),
        ("configuration (SHA-256)", config_hash),
        ("rounds", len(rounds)),
        ("workers that joined", sum(row.state != NEVER_JOINED for row in totals.workers)),
        ("workers lost", ", ".join(map(str, lost)) or "none"),
        ("uploads", over_workers("uploaded")),
        ("skips", over_workers("skipped")),
        ("refusals", over_workers("refused")),
        *([("updates that did not arrive", sum(count for _, count in totals.blocked))] if totals.blocked else []),
        *((label, Sum(total, field, lines=(after_label,))) for label, after_label, total, field in parted),
        ("answers after the last round", after(over_workers("rounds").value, "uploaded", "skipped", "refused")),
        *((after_label, after(total, field)) for _, after_label, total, field in parted),
        ("wire of other peers (bytes)", sum(totals.others)),
        *_energy(totals, last),
        ("seconds", Sum(math.fsum(row.round_s for row in rounds), "round_s")),
    ]
    return headline(run_id, rounds, is_local, sum(totals.wire_bytes), layout) + [Line(*pair) for pair in pairs]
