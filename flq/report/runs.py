"""Finds runs by workbook, by run folder, or by the name of that folder.

Example
-------
    run, = find_runs("20260801_120000_ab12", "results")
    run.mode
    # 'bbit'
"""

import os
from itertools import accumulate
from typing import List, Optional

from ..core.settings import public, to_json
from ..errors import FlqError
from .recorded import Recorded, is_journalled, read_journal
from .stored import ACCURACIES, LOSSES, StoredRun, best_known, complete, curve_of, read_runs, shown


def find_runs(name: str, results_dir: str) -> List[StoredRun]:
    """Read the runs of a workbook, or the run of a folder.

    Raises
    ------
    FlqError
        If there is no such run, or it cannot be read.
    """
    path = path_of(name, results_dir)
    return [_run_of(read_journal(path))] if is_journalled(path) else read_runs(path)


def path_of(name: str, results_dir: str) -> str:
    """Return the path of a workbook, or the folder of a run.

    Raises
    ------
    FlqError
        If there is no such run.
    """
    return name if os.path.isfile(name) or name.endswith(".xlsx") else find_folder(name, results_dir)


def find_folder(name: str, results_dir: str) -> str:
    """Return the folder of a run, given its path or its name in ``results_dir``.

    Raises
    ------
    FlqError
        If there is no such run.
    """
    for folder in name, os.path.join(results_dir, name):
        if is_journalled(folder):
            return folder
    raise FlqError(
        "%s: no such workbook, and no such run in %s" % (shown(name), results_dir),
        "name a workbook (.xlsx), or a folder of a run that has a journal",
    )


def _run_of(recorded: Recorded) -> StoredRun:
    rows, settings = recorded.rows, recorded.settings
    if not rows:
        raise FlqError("run %s has no rounds yet" % shown(recorded.run_id))

    def column_of(field: str) -> List[Optional[float]]:
        return [getattr(row, field) for row in rows]

    accuracy_of, accuracy = best_known(ACCURACIES, column_of)
    loss_of, loss = best_known(LOSSES, column_of)
    curve = curve_of(
        column_of("round_index"),
        accuracy,
        loss,
        column_of("uploaded"),
        list(accumulate(row.wire_bytes_up + row.wire_bytes_down for row in rows)),
        list(accumulate(row.payload_bits_up + row.payload_bits_down for row in rows)),
    )
    return StoredRun(
        shown(recorded.run_id),
        shown(settings.dataset.name),
        shown(settings.model.name),
        shown(settings.flq_algorithm.mode),
        accuracy_of,
        curve,
        loss_of,
        complete(public(to_json(settings))),
    )
