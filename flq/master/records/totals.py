"""Makes the totals of a run from the counts of machine, meter and devices."""

from typing import Optional

from ...core.statuses import LATE, LOST, REFUSED, SKIPPED, UPLOADED
from ...protocol.master_machine import MasterMachine
from ...protocol.member import Member, Presence
from ...protocol.roll_call import Attendance
from ...protocol.traffic import Traffic
from ...report.rows import WorkerRow
from ...report.summary import GONE, NEVER_JOINED, PRESENT, Totals, per
from .devices import DeviceCounts, Devices
from .wire_meter import Meter, Wire


def totals_of(machine: MasterMachine, meter: Meter, devices: Devices, accuracy: Optional[float]) -> Totals:
    """Return the totals of a run; only the thread that owns the machine may call this.

    Parameters
    ----------
    accuracy : float or None
        The run's last accuracy, a fraction in [0, 1], for the ratio to energy.
    """
    wires = meter.snapshot()
    others = wires.pop(None, Wire())
    rows = [
        _worker_row(
            machine.members.get(worker_id) or Member(worker_id),
            machine.rounds.attendance_of(worker_id),
            machine.delivery.traffic_of(worker_id),
            wires.get(worker_id, Wire()),
            devices.counts(worker_id),
            accuracy,
        )
        for worker_id in sorted(set(machine.members) | set(wires))
    ]
    wire = Wire(sum(row.wire_bytes_up for row in rows), sum(row.wire_bytes_down for row in rows))
    attendance, totals = machine.rounds.attendance, machine.delivery.totals
    blocked = [(worker_id, record.blocked) for worker_id, record in sorted(attendance.items()) if record.blocked]
    return Totals(rows, (totals.payload_bits_up, totals.payload_bits_down), wire, others, blocked)


STATES = {Presence.RESERVED: NEVER_JOINED, Presence.LEASED: PRESENT, Presence.LOST: GONE}


def _worker_row(
    member: Member,
    attendance: Attendance,
    traffic: Traffic,
    wire: Wire,
    device: DeviceCounts,
    accuracy: Optional[float],
) -> WorkerRow:
    tally = attendance.tally
    n_rounds = tally[UPLOADED] + tally[SKIPPED] + tally[REFUSED]
    return WorkerRow(
        member.worker_id,
        member.n_samples,
        STATES[member.presence],
        n_rounds,
        tally[UPLOADED],
        tally[SKIPPED],
        tally[REFUSED],
        tally[LATE],
        tally[LOST],
        traffic.payload_bits_up,
        traffic.frame_bytes_up,
        traffic.frame_bytes_down,
        wire.up,
        wire.down,
        traffic.retransmitted_bytes,
        attendance.training_s,
        attendance.waiting_s,
        attendance.last_loss,
        device.energy_j,
        per(device.energy_j, n_rounds),
        per(device.energy_j, (device.samples or 0) / 1000),
        per(device.energy_j, 100 * (accuracy or 0)),
        device.peak_c,
        device.name,
    )
