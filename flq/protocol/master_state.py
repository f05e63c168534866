"""A master's machine between two rounds <-> JSON values and arrays: what a snapshot holds.

A snapshot and the events that the journal holds after it make the machine again, bit for bit.
Traffic is no part of it: requests that change nothing are counted too, and are in no journal.
"""

from typing import Any, Dict, List, Tuple

from ..core.codecs import Payload
from ..core.layout import Vector
from .master_machine import MasterMachine, State


def is_between_rounds(machine: MasterMachine) -> bool:
    """Return whether the machine can be captured: no part of an open round is decided."""
    return machine.state in (State.LOBBY, State.OPEN) and machine.rounds.is_between()


def capture(machine: MasterMachine) -> Tuple[Dict[str, Any], Dict[str, Vector]]:
    """Return the machine's state; the arrays are its own, which it never writes to."""
    membership, rounds, model = machine.membership, machine.rounds, machine.model
    of_model, arrays = model.capture()
    workers = [
        {**membership.capture_worker(worker_id), **rounds.capture_worker(worker_id), **model.capture_worker(worker_id)}
        for worker_id, member in sorted(machine.members.items())
        if member.epoch
    ]
    return {"state": machine.state.value, "members": workers, **rounds.capture(), **of_model}, arrays


def resume(
    machine: MasterMachine, meta: Dict[str, Any], arrays: Dict[str, Vector], deltas: List[Tuple[int, Payload]]
) -> None:
    """Bring a new machine of the same options into the state that was captured.

    Parameters
    ----------
    deltas : list of (int, ndarray of uint8)
        Versions and payloads that lead to the captured version, as far back as they are known, ascending.
    """
    machine.state = State(meta["state"])
    machine.membership.resume(meta["members"], machine.options.rules.coding)
    machine.rounds.resume(meta, meta["members"])
    machine.model.resume(meta, meta["members"], arrays, deltas)
