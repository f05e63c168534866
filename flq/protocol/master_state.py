"""A master's machine between two rounds <-> JSON values and arrays: what a snapshot holds.

A snapshot and the events that the journal holds after it make the machine again, bit for bit.
Traffic is no part of it: requests that change nothing are counted too, and are in no journal.
"""

from typing import Any, Dict, List, Tuple

from ..core.codecs import Payload
from ..core.codecs.lossless import common
from ..core.layout import Vector
from .master_machine import MasterMachine, State
from .messages import Outcome
from .records import Member, OpenRound
from .traffic import Traffic

PLAIN = (
    "worker_id",
    "instance",
    "session",
    "earlier_sessions",
    "n_sessions",
    "is_contested",
    "epoch",
    "n_samples",
    "is_forgotten",
    "passed_over",
    "last_until",
    "closed_seq",
    "closed_round",
    "gone",
    "blocked",
    "tally",
    "training_s",
    "waiting_s",
    "last_loss",
    "last_round",
)


def is_between_rounds(machine: MasterMachine) -> bool:
    """Say whether the machine can be captured: no part of an open round is decided."""
    going = machine.open_round
    return machine.state in (State.LOBBY, State.OPEN) and (going is None or not going.has_begun())


def capture(machine: MasterMachine) -> Tuple[Dict[str, Any], Dict[str, Vector]]:
    """Return the machine's state; the arrays are its own, which it never writes to."""
    going, (model, arrays) = machine.open_round, machine.model.capture()
    meta = {
        "round_index": machine.round_index,
        "state": machine.state.value,
        "members": [
            dict(_of_member(member), **machine.model.capture_worker(worker_id))
            for worker_id, member in sorted(machine.members.items())
            if member.epoch
        ],
        "open_round": None if going is None else [[worker_id, n] for worker_id, n in sorted(going.n_samples.items())],
    }
    return dict(meta, **model), arrays


def resume(
    machine: MasterMachine, meta: Dict[str, Any], arrays: Dict[str, Vector], deltas: List[Tuple[int, Payload]]
) -> None:
    """Bring a new machine of the same options into the state that was captured.

    Parameters
    ----------
    deltas : list of (int, ndarray of uint8)
        Versions and payloads that lead to the captured version, as far back as they are known, ascending.
    """
    machine.round_index, machine.state = meta["round_index"], State(meta["state"])
    machine.model.resume(meta, meta["members"], arrays, deltas)
    for body in meta["members"]:
        member = _to_member(body)
        member.codings = common(machine.options.rules.coding, body["codings"])  # as far as this machine knows them
        machine.members[member.worker_id] = member
    if meta["open_round"] is not None:
        machine.open_round = OpenRound(meta["round_index"], dict(meta["open_round"]), 0.0, None, None)


def traffic_of(machine: MasterMachine) -> Dict[str, Any]:
    """Return what the machine has counted so far, as JSON values."""
    return {
        "totals": machine.totals,
        "round": machine.round_traffic,
        "members": [[worker_id, member.traffic] for worker_id, member in sorted(machine.members.items())],
    }


def set_traffic(machine: MasterMachine, counted: Dict[str, Any]) -> None:
    """Let a machine that was restored go on counting from there."""
    machine.totals, machine.round_traffic = Traffic(*counted["totals"]), Traffic(*counted["round"])
    for worker_id, traffic in counted["members"]:
        if worker_id in machine.members:  # who has only asked for the settings is in no journal
            machine.members[worker_id].traffic = Traffic(*traffic)


def _of_member(member: Member) -> Dict[str, Any]:
    return dict(
        {name: getattr(member, name) for name in PLAIN},
        closed_outcome=int(member.closed_outcome),
        codings=list(member.codings),
        tally=dict(member.tally),
    )  # it goes on counting while the snapshot is written


def _to_member(body: Dict[str, Any]) -> Member:
    member = Member(body["worker_id"])
    for name in PLAIN:
        setattr(member, name, body[name])
    member.closed_outcome = Outcome(body["closed_outcome"])
    member.holder = member.instance if not member.gone else ""
    return member
