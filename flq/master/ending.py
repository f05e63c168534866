"""What the workbook says of a run as a whole: its workers, its totals, its summary.

Totals are the machine's and the meter's own, over the whole run. Rounds hold what came until
they closed; the rest (the last verdicts, an open round that was stopped, that the run has
ended) stands in lines of its own, so that each total is the sum of its rounds and that line.
"""

import math
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..protocol.ledger import Traffic
from ..protocol.master_machine import MasterMachine
from ..protocol.members import LATE, LOST, REFUSED, SKIPPED, UPLOADED, Member
from ..report.rows import RoundRow, Sum, WorkerRow
from .devices import Counts, Devices
from .meter import Meter, Wire
from .record import Evaluated

NEVER_JOINED, PRESENT, GONE = "never joined", "present", "lost"


class Totals(NamedTuple):
    """The counts of a run at one moment; the wire bytes are the sums of the workers' rows."""

    workers: List[WorkerRow]
    traffic: Traffic
    wire: Wire
    others: Wire


def totals_of(machine: MasterMachine, meter: Meter, devices: Devices, accuracy: Optional[float]) -> Totals:
    """Take the counts; only the thread that owns the machine may call this.

    Parameters
    ----------
    accuracy : float or None
        The run's last, a fraction in [0, 1]: what energy is held against.
    """
    wires = meter.snapshot()
    others = wires.pop(None, Wire())
    rows = [_worker_row(machine.members.get(worker_id) or Member(worker_id), wires.get(worker_id, Wire()),
                        devices.counts(worker_id), accuracy)
            for worker_id in sorted(set(machine.members) | set(wires))]
    wire = Wire(sum(row.wire_bytes_up for row in rows), sum(row.wire_bytes_down for row in rows))
    return Totals(rows, machine.totals, wire, others)


def _worker_row(member: Member, wire: Wire, device: Counts, accuracy: Optional[float]) -> WorkerRow:
    tally, traffic = member.tally, member.traffic
    state = NEVER_JOINED if member.epoch == 0 else GONE if member.gone else PRESENT
    n_rounds = tally[UPLOADED] + tally[SKIPPED] + tally[REFUSED]
    return WorkerRow(
        member.worker_id, member.n_samples, state, n_rounds,
        tally[UPLOADED], tally[SKIPPED], tally[REFUSED], tally[LATE], tally[LOST],
        traffic.payload_bits_up, traffic.frame_bytes_up, traffic.frame_bytes_down,
        wire.up, wire.down, traffic.retransmitted_bytes, member.training_s, member.waiting_s, member.last_loss,
        device.energy_j, _per(device.energy_j, n_rounds), _per(device.energy_j, (device.samples or 0) / 1000),
        _per(device.energy_j, 100 * (accuracy or 0)), device.peak_c, device.name)


def _per(total: Optional[float], number: float) -> Optional[float]:
    return total / number if total is not None and number > 0 else None


def _energy(totals: Totals, last: Evaluated) -> List[Tuple[str, Any]]:
    """Return the lines that speak of energy, if a board has told of any."""
    told = [row.energy_j for row in totals.workers if row.energy_j is not None]
    if not told:
        return []
    whole = math.fsum(told)
    return [("energy of %d of %d workers (J)" % (len(told), len(totals.workers)), Sum(whole, workers="energy_j")),
            ("energy per percentage point (J)", _per(whole, 100 * (last.accuracy or 0)))]


def lost_workers(totals: Totals) -> List[int]:
    """Return who has joined and was not there at the end."""
    return [row.worker_id for row in totals.workers if row.state == GONE]


def summary(run_id: str, reason: str, rounds: List[RoundRow], totals: Totals, last: Evaluated,
            settings: Dict[str, Dict[str, Any]], config_hash: str) -> List[Tuple[str, Any]]:
    """Return the label and value pairs of the sheet Summary; a value may be a :class:`.rows.Sum`."""
    is_local = settings["dataset"]["partition"] == "local"
    accuracies = [row.own_accuracy if is_local else row.accuracy for row in rounds]
    accuracies = [accuracy for accuracy in accuracies if accuracy is not None]
    lost = lost_workers(totals)
    traffic, wire = totals.traffic, totals.wire

    def over_workers(field: str) -> Sum:
        return Sum(sum(getattr(row, field) for row in totals.workers), workers=field)

    def after(total: int, *fields: str) -> int:
        return total - sum(getattr(row, field) for row in rounds for field in fields)

    parted = [("%s (%s)" % (what, unit), "%s after the last round (%s)" % (what, unit), total, field)
              for what, unit, total, field in (
                  ("payload up", "bits", traffic.payload_bits_up, "payload_bits_up"),
                  ("payload down", "bits", traffic.payload_bits_down, "payload_bits_down"),
                  ("wire up", "bytes", wire.up, "wire_bytes_up"), ("wire down", "bytes", wire.down, "wire_bytes_down"))]
    return [
        ("run", run_id), ("ended because", reason),
        ("data set", settings["dataset"]["name"]), ("model", settings["model"]["name"]),
        ("mode", settings["flq_algorithm"]["mode"]), ("configuration (SHA-256)", config_hash),
        ("rounds", len(rounds)),
        ("workers that joined", sum(row.state != NEVER_JOINED for row in totals.workers)),
        ("workers lost", ", ".join(map(str, lost)) or "none"),
        ("test accuracy", last.accuracy), ("best test accuracy", max(accuracies, default=None)),
        *([] if last.average_accuracy is None else [("test accuracy of the average", last.average_accuracy)]),
        ("test loss", last.loss),
        ("measured on", "what the workers hold back, by the shared copy" if is_local else "the test set"),
        ("uploads", over_workers("uploaded")), ("skips", over_workers("skipped")),
        ("refusals", over_workers("refused")),
        *((label, Sum(total, field, line=after_label)) for label, after_label, total, field in parted),
        ("answers after the last round", after(over_workers("rounds").value, "uploaded", "skipped", "refused")),
        *((after_label, after(total, field)) for _, after_label, total, field in parted),
        ("wire of other peers (bytes)", totals.others.up + totals.others.down),
        *_energy(totals, last),
        ("seconds", Sum(math.fsum(row.round_s for row in rounds), "round_s")),
    ]
