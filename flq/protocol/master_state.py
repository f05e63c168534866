"""A master's machine between two rounds <-> JSON values and arrays: the content of a snapshot.

A snapshot and the later events of the journal reproduce the machine bit for bit.
Traffic is not part of it: it counts requests that change nothing, too, and the journal has none of these.
"""

from typing import Any, Dict, List, Tuple

from ..core.codecs import Payload
from ..core.layout import Vector
from .master_machine import MasterMachine, State


def is_between_rounds(machine: MasterMachine) -> bool:
    """Return whether the machine can be captured: no part of an open round is decided."""
    return machine.state in (State.LOBBY, State.OPEN) and machine.rounds.is_between()


def capture(machine: MasterMachine) -> Tuple[Dict[str, Any], Dict[str, Vector]]:
    """Return the machine's state; the arrays are its own, which it never modifies."""
    membership, rounds, model = machine.membership, machine.rounds, machine.model
    of_model, arrays = model.capture()
    workers = [
        {**membership.capture_worker(worker_id), **rounds.capture_worker(worker_id), **model.capture_worker(worker_id)}
        for worker_id, member in sorted(machine.members.items())
        if member.epoch
    ]
    data = machine.data.capture()
    return {"state": machine.state.value, "members": workers, "data": data, **rounds.capture(), **of_model}, arrays


def resume(
    machine: MasterMachine, meta: Dict[str, Any], arrays: Dict[str, Vector], deltas: List[Tuple[int, Payload]]
) -> None:
    """Restore the captured state in a new machine with the same options.

    Parameters
    ----------
    deltas : list of (int, ndarray of uint8)
        Versions and payloads of the known deltas that lead to the captured version, ascending.
    """
    machine.state = State(meta["state"])
    machine.membership.resume(meta["members"], machine.options.rules.coding)
    machine.data.resume(meta["data"])
    machine.rounds.resume(meta, meta["members"])
    machine.model.resume(meta, meta["members"], arrays, deltas)
