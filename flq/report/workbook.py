"""Writes the workbook of a run from its journal, whether the run has finished, is in progress or has crashed.

The master writes the totals of a run to its journal when a round closes and when the run ends. Journals of format 3 and
older have no totals: some are counted from other tables, and the other cells are empty.

Example
-------
    rewrite(read_journal("results/20260801_120000_ab12"), "again.xlsx")
"""

import os
from collections import Counter
from typing import Any, Dict, Optional, Sequence, Tuple

from ..core.layout import layout_from_json
from ..core.settings import public
from ..errors import FlqError
from ..run_end import end_of
from .excel import write_workbook
from .headline import last_tested
from .names import workbook_name_of
from .recorded import Recorded
from .rows import WorkerRow
from .summary import GONE, NEVER_JOINED, PRESENT, Totals, per, summary, totals_from_stored

UNFINISHED = "it has not ended"


def path_of(recorded: Recorded, run_dir: str) -> str:
    """Return the path where the master writes the workbook, beside the folder of the run."""
    return os.path.join(os.path.dirname(os.path.abspath(run_dir)), workbook_name_of(recorded.about))


def rewrite(recorded: Recorded, path: str) -> None:
    """Write the workbook of a run.

    Raises
    ------
    FlqError
        If the journal is incomplete.
    OSError
        If the workbook cannot be written.
    """
    try:
        about, settings = recorded.about, recorded.settings
        totals = totals_from_stored(about["totals"]) if "totals" in about else _count(recorded)
        tested = last_tested(recorded.rows, settings.dataset.partition == "local")
        workers = [
            row._replace(energy_per_point_j=per(row.energy_j, 100 * (tested.accuracy or 0))) for row in totals.workers
        ]
        lines = summary(
            recorded.run_id,
            end_of(about).reason or UNFINISHED,
            recorded.rows,
            totals,
            settings,
            about["config_hash"],
            layout_from_json(about["layout"]) if "layout" in about else None,
        )
        shown = public(about["settings"])
        calls = [(row.round_index, call) for row, call in zip(recorded.rows, recorded.roll_calls)]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FlqError(
            "the workbook of run %s cannot be made from its journal: %s: %s"
            % (recorded.run_id, type(error).__name__, error)
        ) from None
    write_workbook(path, lines, recorded.rows, workers, shown, calls, about.get("data"))


def _count(recorded: Recorded) -> Totals:
    """Return the totals that can be counted from a journal without totals."""
    counted = recorded.about.get("counted") or {}
    traffic = counted.get("traffic", {"totals": [0] * 5, "members": []})
    frames = dict(traffic["members"])
    wires = {worker_id: (up, down) for worker_id, up, down in counted.get("wire", ())}
    others = wires.pop(None, (0, 0))
    devices = {worker_id: rest for worker_id, *rest in counted.get("devices", ())}
    tallies: Dict[int, Counter] = {}
    for call in recorded.roll_calls:
        for worker_id, status in call.items():
            tallies.setdefault(worker_id, Counter())[status] += 1
    rows = [
        _row(
            worker_id,
            recorded.joined.get(worker_id),
            tallies.get(worker_id, Counter()),
            frames.get(worker_id, [0] * 5),
            wires.get(worker_id, (0, 0)),
            devices.get(worker_id),
        )
        for worker_id in sorted({*frames, *wires, *tallies, *recorded.joined})
    ]
    wire = sum(row.wire_bytes_up for row in rows), sum(row.wire_bytes_down for row in rows)
    return Totals(rows, (traffic["totals"][0], traffic["totals"][1]), wire, others)


def _row(
    worker_id: int,
    joined: Optional[Tuple[int, bool]],
    tally: Counter,
    frames: Sequence[int],
    wire: Tuple[int, int],
    device: Any,
) -> WorkerRow:
    payload_bits_up, _, frame_bytes_up, frame_bytes_down, retransmitted_bytes = frames
    n_samples, is_there = joined or (0, None)
    state = NEVER_JOINED if is_there is None else PRESENT if is_there else GONE
    n_rounds = tally["uploaded"] + tally["skipped"] + tally["refused"]
    energy_j, peak_c, name = _device(*device) if device is not None else (None, None, None)
    return WorkerRow(
        worker_id,
        n_samples,
        state,
        n_rounds,
        tally["uploaded"],
        tally["skipped"],
        tally["refused"],
        tally["late"],
        tally["lost"],
        payload_bits_up,
        frame_bytes_up,
        frame_bytes_down,
        *wire,
        retransmitted_bytes,
        None,
        None,
        None,
        energy_j,
        per(energy_j, n_rounds),
        peak_c=peak_c,
        name=name,
    )


def _device(report: Dict[str, Any], first: Dict[str, float], before: Sequence[Any]) -> Tuple[Any, ...]:
    """Return the energy, the highest temperature and the name of a board."""
    energy_j, _, peak_c, name = before
    if "energy_j" in report:
        energy_j = (energy_j or 0.0) + max(0.0, report["energy_j"] - first.get("energy_j", report["energy_j"]))
    return energy_j, peak_c, name
