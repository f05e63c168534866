"""What a worker must remember while its answer is in flight <-> JSON values and arrays.

It is on disk before the first byte is sent: a restarted worker sends the same bytes, and has the
state that follows either verdict.
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..core.codecs.lossless import NUMBERS, Coded
from ..core.held_back import HeldBack
from ..core.layout import Vector
from ..core.worker_step import WorkerState
from ..errors import BadValues
from .messages import Answer, Kind

VERSION = 4
STATES = ("if_applied", "if_not")
MEMORIES = ("residual", "mirror")


class PendingUpload(NamedTuple):
    """An answer without a verdict, and the two states that it may lead to.

    Attributes
    ----------
    run_id : str
    needs_offer : bool
        Whether the offer goes first.
    answer : Answer
        A skip, or an upload with its payload.
    if_applied, if_not : WorkerState
    """

    run_id: str
    needs_offer: bool
    answer: Answer
    if_applied: WorkerState
    if_not: WorkerState


def to_state(pending: PendingUpload) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Return the form on disk: JSON values, and arrays by name."""
    answer = pending.answer
    meta = {
        "version": VERSION,
        "run_id": pending.run_id,
        "needs_offer": pending.needs_offer,
        "answer": dict(
            answer._replace(payload=None)._asdict(), kind=int(answer.kind), coded=answer.coded and answer.coded.coding
        ),
    }  # type: Dict[str, Any]
    arrays = {} if answer.sent is None else {"payload": np.asarray(answer.sent)}
    for name in STATES:
        state = getattr(pending, name)
        meta[name] = {"clock": state.clock, "fresh": state.fresh, "error": state.error}
        for memory in MEMORIES:
            if getattr(state, memory) is not None:
                arrays["%s_%s" % (name, memory)] = getattr(state, memory)
    return meta, arrays


def from_state(meta: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> PendingUpload:
    """Read the form on disk.

    Raises
    ------
    BadValues
        If it is from another version of FLQ, or not the result of :func:`to_state`.
    """
    if meta.get("version") != VERSION:
        raise BadValues("the state of this worker has version %.20r, expected %d" % (meta.get("version"), VERSION))
    try:
        answer = dict(meta["answer"], kind=Kind(meta["answer"]["kind"]), payload=arrays.get("payload"))
        if set(answer) != set(Answer._fields) or (answer["payload"] is None) != (answer["kind"] is not Kind.UPLOAD):
            raise ValueError("the answer is incomplete")
        if answer["coded"] is not None:
            answer.update(coded=Coded(_coding(answer["coded"]), answer["payload"]), payload=None)
        if answer["held_back"] is not None:
            answer["held_back"] = HeldBack(*answer["held_back"])
        states = [
            WorkerState(
                _vector(arrays, name, "residual"),
                _vector(arrays, name, "mirror"),
                meta[name]["clock"],
                meta[name]["fresh"],
                float(meta[name]["error"]),
            )
            for name in STATES
        ]
        return PendingUpload(meta["run_id"], meta["needs_offer"], Answer(**answer), *states)
    except (KeyError, TypeError, ValueError) as error:
        raise BadValues("the state of this worker cannot be read: %s %s" % (type(error).__name__, error)) from None


def fits(pending: PendingUpload, n_params: int, memories: WorkerState) -> bool:
    """Return whether the states have the memories that a run needs, in the size of its model."""
    return all(
        (getattr(state, name) is None) == (getattr(memories, name) is None)
        and (getattr(state, name) is None or getattr(state, name).shape == (n_params,))
        for state in (pending.if_applied, pending.if_not)
        for name in MEMORIES
    )


def _coding(number: Any) -> int:
    if number not in NUMBERS.values():
        raise ValueError("the payload has the unknown coding %.20r" % (number,))
    return int(number)


def _vector(arrays: Dict[str, np.ndarray], state: str, memory: str) -> Optional[Vector]:
    vector = arrays.get("%s_%s" % (state, memory))
    if vector is not None and (vector.dtype != np.float32 or vector.ndim != 1):
        raise ValueError("the %s is not a vector of float32" % memory)
    return vector
