"""One global model: x and w, the strategies' states, the workers' mirrors, and the downlink.

It knows worker ids and payloads, but no requests, leases, offers or deadlines. A run has one, which every worker
trains; a replacement with the same methods may keep several and choose by worker id.

With memory flq or mirror each worker has a mirror. ``mirrors`` holds those that count in the aggregate; the next
upload of a worker in ``restarting`` starts from zero:

================= ============ ================== ==================
mirror            upload       begin_epoch        forget
================= ============ ================== ==================
none              held         none, restarting   none
none, restarting  held         none, restarting   none, restarting
held              held         held, restarting   none
held, restarting  held         held, restarting   none, restarting
================= ============ ================== ==================
"""

from typing import Any, Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple

import numpy as np

from ..core import server_step
from ..core.codecs import Payload, plus
from ..core.layout import Layout, Vector, fingerprint
from ..core.server_step import ServerState
from ..core.settings import Rules
from ..core.strategies import AGGREGATORS, SERVER_OPTIMIZERS, join_state, split_state
from ..errors import BadValues, CodecError
from .downlink import Downlink
from .messages import Answer
from .wire import Buffers, Link

VECTORS = ("model", "shared", "mean")  # of the server's state
STRATEGIES = ("aggregator", "optimizer")  # in the server's state; None before their first step


class ModelPlan(NamedTuple):
    """The model's part of a plan.

    Attributes
    ----------
    version, crc : int
        Of the shared copy to train on.
    threshold : float
        S of the lazy rule.
    bytes_up : int
        Mode lowrank: the largest payload of an upload; otherwise 0.
    frames : list of buffers
        Model frames that lead from the worker's version to this one.
    payload_bits : int
        Of these frames.
    """

    version: int
    crc: int
    threshold: float
    bytes_up: int
    frames: List[Buffers]
    payload_bits: int


class Step(NamedTuple):
    """The effect of a closed round on a model.

    Attributes
    ----------
    delta : ndarray of uint8, or None
        Payload of the delta frame; None if the shared copy has not moved.
    problem : str
        Why the model is unchanged in spite of uploads, or "".
    """

    delta: Optional[Payload]
    problem: str = ""


class GlobalModel:
    """The model of a run.

    Parameters
    ----------
    start : ndarray of shape (n_params,), float32
        x^0 = w^0.
    link : Link
        Holds the parameter layout.
    rules : Rules

    Attributes
    ----------
    state : ServerState
        x, w and what steps them.
    start_crc : int
        Fingerprint of w^0.
    mirrors : dict
        Worker id -> mirror, float32 (n_params,): its last reconstructed update. Absent is 0.
    restarting : set of int
        Workers whose next upload starts from 0; until then the old mirror counts.
    """

    def __init__(self, start: Vector, link: Link, rules: Rules) -> None:
        self._layout: Layout = link.layout
        self._rules = rules
        self.state = server_step.first_server_state(start)
        self.downlink = Downlink(start, link)
        self.start_crc = self.downlink.crc
        self.mirrors: Dict[int, Vector] = {}
        self.restarting: Set[int] = set()

    @property
    def shared_crc(self) -> int:
        """Fingerprint of the shared copy."""
        return self.downlink.crc

    # -- workers -------------------------------------------------------------------------

    def plan(self, worker_id: int, have: Optional[int], codings: Collection[str], n_members: int) -> ModelPlan:
        """Return what a worker needs to train in a round of ``n_members``.

        Parameters
        ----------
        have : int or None
            Its version of the shared copy, -1 for none; None if it needs no frames.
        codings : collection of str
            The payload codings that it reads.
        """
        frames: List[Buffers] = []
        payload_bits = 0
        if have is not None:
            frames, payload_bits = self.downlink.since(have, codings)
        threshold = server_step.threshold(self.state, self._rules, n_members)
        longest = self._longest(n_members)
        return ModelPlan(self.downlink.version, self.downlink.crc, threshold, longest, frames, payload_bits)

    def mirror_of(self, worker_id: int) -> Optional[Vector]:
        """Return the mirror from which the worker's next upload starts; None is 0."""
        return None if worker_id in self.restarting else self.mirrors.get(worker_id)

    def begin_epoch(self, worker_id: int) -> None:
        """Note that a worker's memories are empty now."""
        self.restarting.add(worker_id)

    def forget(self, worker_id: int) -> bool:
        """Drop a worker's mirror from the aggregate; return whether that makes its memories useless."""
        self.mirrors.pop(worker_id, None)
        return self._rules.has_mirrors

    def receive(self, answer: Answer, n_members: int) -> bool:
        """Update the worker's mirror, if any, by an upload; return whether both ends agree on it.

        Raises
        ------
        BadValues
            If the payload is larger than the plan admits, or the mirror would not be finite.
        """
        payload, longest = answer.payload, self._longest(n_members)
        assert payload is not None  # of an upload
        if longest and payload.size > longest:
            raise BadValues("the payload has %d bytes, expected at most the %d of the plan" % (payload.size, longest))
        if not self._rules.has_mirrors:
            return True
        mirror = self._mirror_after(answer, payload)
        if fingerprint(mirror) != answer.state_crc:
            return False
        self.mirrors[answer.worker_id] = mirror
        self.restarting.discard(answer.worker_id)
        return True

    def _mirror_after(self, answer: Answer, payload: Payload) -> Vector:
        """Return the mirror after an upload, float32 (n_params,), new; raise BadValues if not finite."""
        before = self.mirror_of(answer.worker_id)
        with np.errstate(over="ignore", invalid="ignore"):  # the outcome is checked
            mirror = plus(
                np.zeros(self._layout.n_params, np.float32) if before is None else before,
                answer.codec_id,
                payload,
                self._layout,
            )
        if not (np.isfinite(mirror.max()) and np.isfinite(mirror.min())):
            raise BadValues("the mirror of worker %d would no longer be finite" % answer.worker_id, "lower model.lr")
        return mirror

    def _longest(self, n_members: int) -> int:
        """Return the size in bytes of the largest payload; 0 if only the codec limits it."""
        return server_step.payload_sizes(self.state, n_members, self._layout, self._rules).up

    # -- rounds --------------------------------------------------------------------------

    def close_round(
        self,
        round_index: int,
        n_samples: Mapping[int, int],
        uploads: Mapping[int, Optional[Payload]],
        known: Optional[Payload] = None,
    ) -> Step:
        """Step the model by a round's uploads, and make the delta frame.

        Parameters
        ----------
        n_samples : mapping
            Worker id -> samples, of the round's members.
        uploads : mapping
            Worker id -> payload, of those that have uploaded; None if the mirror holds it.
        known : ndarray of uint8, optional
            The delta that this round has made before: it is not encoded again, since the workers have it.
        """
        layout, rules = self._layout, self._rules
        mirrors = {worker_id: self.mirrors[worker_id] for worker_id in n_samples if worker_id in self.mirrors}
        payloads = {worker_id: payload for worker_id, payload in uploads.items() if payload is not None}
        problem = ""
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # the outcome is checked
                state, total = server_step.aggregate(
                    self.state, n_samples, list(uploads), payloads, mirrors, layout, rules
                )
                self.state, delta = server_step.close_round(state, total, round_index, layout, rules, known)
        except CodecError as error:
            problem = error.detail
            self.state, delta = server_step.close_round(self.state, None, round_index, layout, rules)
        if delta is not None:
            self.downlink.push(self.state.version, self.state.shared, rules.codec_down, delta)
        return Step(delta, problem)

    # -- snapshots -----------------------------------------------------------------------

    def capture(self) -> Tuple[Dict[str, Any], Dict[str, Vector]]:
        """Return the state as JSON values and arrays, which are never modified."""
        state = self.state
        meta: Dict[str, Any] = {
            "start_crc": self.start_crc,
            "version": state.version,
            "energies": list(state.energies),
            "lag": state.lag,
        }
        arrays = {"mirror%d" % worker_id: mirror for worker_id, mirror in sorted(self.mirrors.items())}
        arrays.update((name, getattr(state, name)) for name in VECTORS if getattr(state, name) is not None)
        for role in STRATEGIES:
            if getattr(state, role) is not None:
                meta[role], vectors = split_state(getattr(state, role))
                arrays.update(("%s.%s" % (role, name), vector) for name, vector in vectors.items())
        return meta, arrays

    def capture_worker(self, worker_id: int) -> Dict[str, Any]:
        """Return the rest of a worker's state, as JSON values."""
        return {"mirror_is_stale": worker_id in self.restarting}

    def resume(
        self,
        meta: Mapping[str, Any],
        workers: Iterable[Mapping[str, Any]],
        arrays: Mapping[str, Vector],
        deltas: Iterable[Tuple[int, Payload]],
    ) -> None:
        """Restore the captured state.

        Parameters
        ----------
        deltas : iterable of (int, ndarray of uint8)
            Versions and payloads of the known deltas that lead to the captured version, ascending.
        """
        self.start_crc = meta["start_crc"]
        self.state = ServerState(
            arrays["model"],
            arrays["shared"],
            meta["version"],
            tuple(meta["energies"]),
            mean=arrays.get("mean"),
            lag=meta["lag"],
        )
        rows = (AGGREGATORS[self._rules.aggregator], SERVER_OPTIMIZERS[self._rules.step.optimizer])
        for role, row in zip(STRATEGIES, rows):
            if role in meta:
                begin = role + "."
                vectors = {name[len(begin) :]: array for name, array in arrays.items() if name.startswith(begin)}
                self.state = self.state._replace(**{role: join_state(row, meta[role], vectors)})
        self.downlink.resume(meta["version"], self.state.shared, self._rules.codec_down, deltas)
        for body in workers:
            worker_id = body["worker_id"]
            mirror = arrays.get("mirror%d" % worker_id)
            if mirror is not None:
                self.mirrors[worker_id] = mirror
            if body["mirror_is_stale"]:
                self.restarting.add(worker_id)
