"""Rebuilds the state of a run, and its past models: a snapshot, and then the entries of the journal after it.

Each closed round must give the model that it gave before, by the fingerprints in its row.
"""

import logging
import sqlite3
from contextlib import closing
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ...core.codecs import Payload
from ...core.layout import Vector, fingerprint
from ...durable import Corrupted
from ...errors import FlqError
from ...protocol import events
from ...protocol.global_model import VECTORS
from ...protocol.journal_codec import from_entry
from ...protocol.master_machine import MasterMachine
from ...protocol.master_state import resume
from .journal import Journal, open_journal
from .snapshots import Snapshots

logger = logging.getLogger(__name__)

PRINTS = "fingerprints"  # a key of a round's row and a snapshot: fingerprints of x, w and the average of x
BEGAN = "resume with the version of FLQ that began the run, or restore its folder from a backup"


def replay(
    journal: Journal,
    snapshots: Snapshots,
    machine: MasterMachine,
    restored: Callable[[int], None],
    closed: Callable[[events.RoundClosed], None],
) -> Tuple[int, Optional[str]]:
    """Bring a new machine to the state at the end of the journal.

    Parameters
    ----------
    restored : callable(int)
        Called with the number of closed rounds when the machine has the state of the snapshot.
    closed : callable(RoundClosed)
        Called with each round after the snapshot.

    Returns
    -------
    snapshot_round : int
        The round in which the snapshot was taken.
    reason : str or None
        Why the run has ended, if it has.

    Raises
    ------
    FlqError
        If no snapshot or an entry after it cannot be read, or replaying them gives another model.
    """
    known = _known_prints(journal)
    meta, arrays = snapshots.newest(lambda meta, arrays: _check_snapshot(meta, arrays, machine.options.run_id, known))
    n_closed = _n_closed(meta)
    if meta["seq"] > journal.last_seq():
        _leap(journal, meta, n_closed)
    encoded = _resume(machine, journal, meta, arrays)
    reason = None
    restored(n_closed)
    for effect in _effects(machine, journal, meta["seq"], encoded, known):
        if isinstance(effect, events.RoundClosed):
            n_closed = effect.report.round_index
            closed(effect)
        elif isinstance(effect, events.RunEnded):
            reason = effect.reason
    extent = journal.extent
    if (n_closed, machine.model.state.version) != (extent.n_rounds, extent.version or machine.model.state.version):
        raise FlqError(
            "replaying the journal %s leads to round %d and version %d of the shared copy, expected %d and %d"
            % (journal.path, n_closed, machine.model.state.version, extent.n_rounds, extent.version),
            BEGAN,
        )
    return meta["round_index"], reason


def past_models(run_dir: str, snapshots: Snapshots, machine: MasterMachine) -> Iterator[Tuple[int, Any]]:
    """Rebuild the models of past rounds from the oldest snapshot on; any thread may call it.

    Parameters
    ----------
    machine : MasterMachine
        A new one.

    Yields
    ------
    round_index : int
    models : with attributes model, shared and mean

    Raises
    ------
    FlqError
        As :func:`replay`.
    """
    with closing(open_journal(run_dir, only_to_look=True)) as journal:
        known = _known_prints(journal)

        def accept(meta: Dict[str, Any], arrays: Dict[str, Vector]) -> None:
            _check_snapshot(meta, arrays, machine.options.run_id, known)
            if meta["seq"] < journal.extent.forgotten:
                raise Corrupted("the journal lacks entries after it")

        meta, arrays = snapshots.oldest_whole(accept)
        encoded = _resume(machine, journal, meta, arrays)
        yield _n_closed(meta), machine.model.state
        for effect in _effects(machine, journal, meta["seq"], encoded, known):
            if isinstance(effect, events.RoundClosed):
                yield effect.report.round_index, effect


def prints_of(models: Any, shared_crc: int) -> List[int]:
    """Return the fingerprints of x, of w (``shared_crc``) and, if there is one, of the average of x."""
    model = shared_crc if models.shared is models.model else fingerprint(models.model)
    return [model, shared_crc] + ([] if models.mean is None else [fingerprint(models.mean)])


def _known_prints(journal: Journal) -> Dict[int, Optional[List[int]]]:
    """Return the fingerprints after each closed round, by round."""
    return {index: row.get(PRINTS) for index, row in journal.rounds()}


def _leap(journal: Journal, meta: Dict[str, Any], n_closed: int) -> None:
    """Continue after a snapshot that is newer than the journal, with a warning.

    Raises
    ------
    FlqError
        If the journal cannot be written.
    """
    extent = journal.extent
    logger.warning(
        "the journal %s ends with entry %d and round %d, the newest snapshot was taken after entry %d "
        "and round %d: the run resumes from there; the reports of the rounds between them, and all "
        "later rounds, are lost",
        journal.path,
        extent.seq,
        extent.n_rounds,
        meta["seq"],
        n_closed,
    )
    try:
        journal.leap(meta["seq"], meta["version"], n_closed)
    except sqlite3.Error as error:
        raise FlqError("the journal %s cannot be written: %s" % (journal.path, error)) from None


def _resume(
    machine: MasterMachine, journal: Journal, meta: Dict[str, Any], arrays: Dict[str, Vector]
) -> Dict[int, Payload]:
    """Bring a new machine to the state of a snapshot; return the later deltas by round."""
    deltas = journal.deltas()
    before = [(version, payload) for version, _, payload in deltas if version <= meta["version"]]
    resume(machine, meta, arrays, _that_lead_to(meta["version"], before))
    return {index: payload for version, index, payload in deltas if version > meta["version"]}


def _effects(
    machine: MasterMachine,
    journal: Journal,
    after: int,
    encoded: Dict[int, Payload],
    known: Dict[int, Optional[List[int]]],
) -> Iterator[events.Effect]:
    """Replay the entries after a number; yield their effects.

    Raises
    ------
    FlqError
        If an entry cannot be read or replayed, or a round gives another model than before.
    """
    for seq, kind, body, frame in journal.entries(after):
        event = from_entry(kind, body, frame, machine.link, ticket=-seq)
        try:
            effects = machine.replay(event, encoded)
        except (MemoryError, OSError):
            raise
        except Exception as error:
            raise FlqError(
                "entry %d of the journal cannot be replayed: %s: %s" % (seq, type(error).__name__, error)
            ) from error
        for effect in effects:
            if isinstance(effect, events.RoundClosed):
                round_index = effect.report.round_index
                if known.get(round_index) not in (None, prints_of(effect, effect.shared_crc)):
                    raise FlqError(
                        "replaying round %d of the journal %s gives another model" % (round_index, journal.path), BEGAN
                    )
            yield effect


def _n_closed(meta: Dict[str, Any]) -> int:
    """Return the number of closed rounds of a snapshot."""
    return meta["round_index"] - (meta["open_round"] is not None)


def _check_snapshot(
    meta: Dict[str, Any], arrays: Dict[str, Vector], run_id: str, known: Dict[int, Optional[List[int]]]
) -> None:
    """Compare a snapshot with the run id, its own fingerprints, and those of its round in the journal.

    Raises
    ------
    Corrupted
        If they differ.
    """
    if meta.get("run_id") != run_id:
        raise Corrupted("it belongs to run %.80s, not to %s" % (meta.get("run_id"), run_id))
    prints = [fingerprint(arrays[name]) for name in VECTORS if name in arrays]
    if prints != meta.get(PRINTS) or known.get(_n_closed(meta)) not in (None, prints):
        raise Corrupted("its model is not that of the run after round %d" % _n_closed(meta))


def _that_lead_to(version: int, deltas: List[Tuple[int, Payload]]) -> List[Tuple[int, Payload]]:
    """Return the last of the ascending deltas that lead to a version without a gap."""
    n_steps = 0
    for step, _ in reversed(deltas):
        if step != version - n_steps:
            break
        n_steps += 1
    return deltas[len(deltas) - n_steps :]
