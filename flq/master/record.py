"""What a run has left so far: its rounds, their evaluations, and the files made of them.

The machine decides what a round was; this keeps it and writes it down. Safe to use from any
thread.
"""

import math
import os
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ..core.params import Layout, Vector, unflatten
from ..protocol.events import RoundReport
from ..protocol.members import LATE, LOST, REFUSED, SKIPPED, UPLOADED, Member
from ..report.rows import RoundRow, WorkerRow
from .meter import Meter, Wire


class Evaluated(NamedTuple):
    """Test results of the model x and of the shared copy w after a round; None = not known."""

    loss: Optional[float] = None
    accuracy: Optional[float] = None
    shared_accuracy: Optional[float] = None


class Record:
    """The rows of one run.

    Parameters
    ----------
    meter : Meter
        Where the wire bytes are counted.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._reports: List[Tuple[RoundReport, Wire]] = []
        self._evaluated: Dict[int, Evaluated] = {}
        self._wire_before = Wire()

    def add_round(self, report: RoundReport) -> None:
        """Keep a closed round, with the wire bytes since the one before."""
        wire = self._meter.of_workers()
        with self._lock:
            before, self._wire_before = self._wire_before, wire
            self._reports.append((report, Wire(wire.up - before.up, wire.down - before.down)))

    def add_evaluation(self, round_index: int, evaluated: Evaluated) -> RoundRow:
        """Keep what a round's model achieved; return the round's row, now complete."""
        with self._lock:
            self._evaluated[round_index] = evaluated
            return self._row(*self._reports[round_index - 1])

    def rounds(self) -> List[RoundRow]:
        """Return one row per closed round."""
        with self._lock:
            return [self._row(report, wire) for report, wire in self._reports]

    def last_evaluated(self) -> Evaluated:
        """Return the newest test results."""
        with self._lock:
            return self._evaluated[max(self._evaluated)] if self._evaluated else Evaluated()

    def _row(self, report: RoundReport, wire: Wire) -> RoundRow:
        evaluated = self._evaluated.get(report.round_index, Evaluated())
        statuses = list(report.roll_call.values())
        return RoundRow(
            report.round_index, evaluated.accuracy, evaluated.loss, evaluated.shared_accuracy, report.training_loss,
            uploaded=statuses.count(UPLOADED), skipped=statuses.count(SKIPPED), refused=statuses.count(REFUSED),
            late=statuses.count(LATE), lost=statuses.count(LOST),
            payload_bits_up=report.payload_bits_up, payload_bits_down=report.payload_bits_down,
            frame_bytes_up=report.frame_bytes_up, frame_bytes_down=report.frame_bytes_down,
            wire_bytes_up=wire.up, wire_bytes_down=wire.down, retransmitted_bytes=report.retransmitted_bytes,
            training_s=report.training_s, waiting_s=report.waiting_s, round_s=report.round_s)


def worker_rows(members: Dict[int, Member], meter: Meter) -> List[WorkerRow]:
    """Return one row per worker that ever joined."""
    rows = []
    for worker_id, member in sorted(members.items()):
        if member.epoch == 0:
            continue
        wire, traffic = meter.of_worker(worker_id), member.traffic
        rows.append(WorkerRow(
            worker_id, member.n_samples, "lost" if member.gone else "present", sum(member.tally.values()),
            member.tally[UPLOADED], member.tally[SKIPPED], member.tally[REFUSED], member.tally[LATE],
            member.tally[LOST], traffic.payload_bits_up, traffic.frame_bytes_up, traffic.frame_bytes_down,
            wire.up, wire.down, traffic.retransmitted_bytes, member.training_s, member.waiting_s, member.last_loss))
    return rows


def summary(run_id: str, reason: str, rounds: List[RoundRow], workers: List[WorkerRow], last: Evaluated,
            others: Wire, settings: Dict[str, Dict[str, Any]]) -> List[Tuple[str, Any]]:
    """Return the label and value pairs of the sheet Summary."""
    accuracies = [row.accuracy for row in rounds if row.accuracy is not None]
    lost = [row.worker_id for row in workers if row.state == "lost"]
    return [
        ("run", run_id), ("ended because", reason),
        ("data set", settings["dataset"]["name"]), ("model", settings["model"]["name"]),
        ("mode", settings["flq_algorithm"]["mode"]),
        ("rounds", len(rounds)), ("workers that joined", len(workers)),
        ("workers lost", ", ".join(map(str, lost)) or "none"),
        ("test accuracy", last.accuracy), ("best test accuracy", max(accuracies, default=None)),
        ("test loss", last.loss),
        ("uploads", sum(row.uploaded for row in rounds)), ("skips", sum(row.skipped for row in rounds)),
        ("refusals", sum(row.refused for row in rounds)),
        ("payload up (bits)", sum(row.payload_bits_up for row in rounds)),
        ("payload down (bits)", sum(row.payload_bits_down for row in rounds)),
        ("wire up (bytes)", sum(row.wire_bytes_up for row in rounds)),
        ("wire down (bytes)", sum(row.wire_bytes_down for row in rounds)),
        ("wire of other peers (bytes)", others.up + others.down),
        ("seconds", math.fsum(row.round_s for row in rounds)),
    ]


def save_npz(path: str, model: Vector, layout: Layout) -> None:
    """Write the model's tensors under their names; loads with ``numpy.load``."""
    temporary = path + ".part"
    with open(temporary, "wb") as stream:
        np.savez(stream, **{tensor.name: array for tensor, array in zip(layout.tensors, unflatten(model, layout))})
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
