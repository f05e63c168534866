"""What is counted beside the machine: bytes on the wire and what devices tell; by round, in total, and on disk."""

from typing import Any, Dict, Optional

from ...protocol.events import RoundReport
from ...protocol.master_machine import MasterMachine
from ...report.summary import Totals
from .devices import Devices
from .round_log import Closed
from .totals import totals_of
from .wire_meter import Meter, Wire


class Counts:
    """The counts of a run; only the thread that owns the machine may call the methods.

    Parameters
    ----------
    meter : Meter

    Attributes
    ----------
    meter : Meter
    devices : Devices
    """

    def __init__(self, meter: Meter) -> None:
        self.meter, self.devices = meter, Devices()
        self._at_last_close = Wire()

    def close_round(self, report: RoundReport) -> Closed:
        """Return a closed round with the wire bytes since the one before, and the energy so far."""
        total, before = self.meter.of_workers(), self._at_last_close
        self._at_last_close = total
        return Closed(report, Wire(total.up - before.up, total.down - before.down), self.devices.energy_j())

    def resume_round(self, closed: Closed) -> None:
        """Count on from a round that closed in an earlier process."""
        self._at_last_close = self._at_last_close.plus(closed.wire)

    def totals(self, machine: MasterMachine, accuracy: Optional[float]) -> Totals:
        """Return the totals of the run; ``accuracy`` is its last, what energy is held against."""
        return totals_of(machine, self.meter, self.devices, accuracy)

    def to_json(self, machine: MasterMachine) -> Dict[str, Any]:
        """Return what another process of the master goes on with."""
        return {
            "traffic": machine.delivery.capture(),
            "wire": [[worker_id, *wire] for worker_id, wire in self.meter.snapshot().items()],
            "devices": self.devices.to_json(),
        }

    def resume(self, machine: MasterMachine, counted: Optional[Dict[str, Any]]) -> None:
        """Count on from what :meth:`to_json` returned; None = it is not known."""
        if counted is None:
            return
        machine.delivery.resume(counted["traffic"])
        for worker_id, *wire in counted["wire"]:
            self.meter.add(worker_id, Wire(*wire))
        self.devices.resume(counted["devices"])
