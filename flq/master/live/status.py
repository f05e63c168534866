"""Makes the reply to GET /status: a snapshot of the machine as JSON values, without addresses or paths."""

import math
import os
from typing import Any, Dict, Optional

from ...core.data_report import DataReport, described
from ...core.statuses import STATUSES
from ...protocol.master_machine import MasterMachine
from ...protocol.traffic import Traffic
from ...report.divergence import Divergence
from ..records.devices import Devices
from ..records.round_log import Evaluated
from ..records.wire_meter import Meter, Wire

MOST_CLASSES = 20  # whose names and counts are shown


def status_of(
    machine: MasterMachine,
    meter: Meter,
    devices: Devices,
    last: Evaluated,
    settings_hash: str,
    disk_bytes: int,
    divergence: Optional[Divergence],
    now: float,
) -> Dict[str, Any]:
    """Return the snapshot; only the thread that owns the machine may call this."""
    workers = {}
    for worker_id, member in sorted(machine.members.items()):
        wire, attendance = meter.of_worker(worker_id), machine.rounds.attendance_of(worker_id)
        workers[str(worker_id)] = dict(
            attendance.tally,
            connected=member.is_leased(now),
            samples=member.n_samples,
            round=attendance.last_round,
            loss=attendance.last_loss,
            last_seen_s=round(now - member.last_seen, 1),
            wire_bytes_up=wire.up,
            wire_bytes_down=wire.down,
            device=devices.status(worker_id),
        )
    return _snapshot(
        machine.options.run_id,
        settings_hash,
        machine.state.value,
        machine.round_index,
        machine.options.settings.system.max_rounds,
        workers,
        machine.delivery.totals,
        meter.of_workers(),
        last,
        disk_bytes,
        divergence,
        machine.data.of_run,
    )


def status_before(run_id: str, settings_hash: str, state: str, max_rounds: int) -> Dict[str, Any]:
    """Return the snapshot of a master without a machine yet."""
    return _snapshot(run_id, settings_hash, state, 0, max_rounds, {}, Traffic(), Wire(), Evaluated(), 0, None, None)


def _snapshot(
    run_id: str,
    settings_hash: str,
    state: str,
    round_index: int,
    max_rounds: int,
    workers: Dict[str, Dict[str, Any]],
    totals: Traffic,
    wire: Wire,
    last: Evaluated,
    disk_bytes: int,
    divergence: Optional[Divergence],
    data: Optional[DataReport],
) -> Dict[str, Any]:
    return {
        "run_id": run_id,
        "config_hash": settings_hash,
        "state": state,
        "current_round": round_index,
        "max_rounds": max_rounds,
        "connected_workers": sum(worker["connected"] for worker in workers.values()),
        "worker_status": workers,
        "totals": {
            "payload_bits_up": totals.payload_bits_up,
            "payload_bits_down": totals.payload_bits_down,
            "frame_bytes_up": totals.frame_bytes_up,
            "frame_bytes_down": totals.frame_bytes_down,
            "retransmitted_bytes": totals.retransmitted_bytes,
            "wire_bytes_up": wire.up,
            "wire_bytes_down": wire.down,
            **{status: sum(worker[status] for worker in workers.values()) for status in STATUSES},
        },
        "accuracy": last.accuracy,
        "test_loss": last.loss,
        "memory_bytes": resident_bytes(),
        "disk_bytes": disk_bytes,
        "problem": None,
        "divergence": None if divergence is None else _divergence(divergence),
        "data": None if data is None else described(data, MOST_CLASSES),
    }


def _divergence(found: Divergence) -> Dict[str, Any]:
    """Return a divergence as JSON values; a value that is not finite is null."""
    return dict(found._asdict(), value=found.value if math.isfinite(found.value) else None)


def resident_bytes() -> Optional[int]:
    """Return the resident memory of this process in bytes; None if unknown."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
