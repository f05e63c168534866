"""Counts wire bytes and the devices' energy, which the machine does not; per round, in total, and for a resume."""

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
        """Return a closed round with the wire bytes since the previous one, and the energy so far."""
        total, before = self.meter.of_workers(), self._at_last_close
        self._at_last_close = total
        return Closed(report, Wire(total.up - before.up, total.down - before.down), self.devices.energy_j())

    def resume_round(self, closed: Closed) -> None:
        """Add a round that closed in an earlier process."""
        self._at_last_close = self._at_last_close.plus(closed.wire)

    def totals(self, machine: MasterMachine, accuracy: Optional[float]) -> Totals:
        """Return the totals of the run; ``accuracy`` is the last one, for the ratio to energy."""
        return totals_of(machine, self.meter, self.devices, accuracy)

    def to_json(self, machine: MasterMachine) -> Dict[str, Any]:
        """Return the counts as JSON values, for a master that resumes the run."""
        return {
            "traffic": machine.delivery.capture(),
            "wire": [[worker_id, *wire] for worker_id, wire in self.meter.snapshot().items()],
            "devices": self.devices.to_json(),
        }

    def resume(self, machine: MasterMachine, counted: Optional[Dict[str, Any]]) -> None:
        """Continue from the counts of :meth:`to_json`; None = they are not known."""
        if counted is None:
            return
        machine.delivery.resume(counted["traffic"])
        for worker_id, *wire in counted["wire"]:
            self.meter.add(worker_id, Wire(*wire))
        self.devices.resume(counted["devices"])
