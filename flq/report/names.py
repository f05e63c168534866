"""Names of a run's files.

Example
-------
>>> workbook_name(Settings(), stamp_of("20260801_120000_ab12"))
'flq_results_digits_lowrank_20260801_120000.xlsx'
"""

import os
import re
import shlex
from typing import Any, Mapping

from ..core.settings import Settings, settings_from_json

LONGEST_DATASET = 60  # characters
DEFAULT = "results"  # where --resume looks up a name, unless report.results_dir says otherwise


def stamp_of(run_id: str) -> str:
    """Return the timestamp in the name of a run."""
    return run_id.rpartition("_")[0]


def named(folder: str, default: str = DEFAULT) -> str:
    """Return a run for a command line, quoted: the path of its folder, or its name if ``default`` contains it."""
    parent, name = os.path.split(os.path.normpath(folder))
    return shlex.quote(name if parent == default else folder)


def workbook_name(settings: Settings, stamp: str) -> str:
    """Return the name of a run's workbook."""
    return "flq_results_%s_%s_%s.xlsx" % (name_of_data(settings), settings.flq_algorithm.mode, stamp)


def workbook_name_of(about: Mapping[str, Any]) -> str:
    """Return the name of a run's workbook, from its journal's table about."""
    return workbook_name(settings_from_json(about["settings"], allow_missing=True), stamp_of(str(about["run_id"])))


def name_of_dataset(name: str) -> str:
    """Return a data set's part of a file name: ``npz:/data/faces.npz`` gives npz_faces."""
    kind, colon, path = name.partition(":")
    if colon:
        kind += "_" + os.path.splitext(os.path.basename(path.rstrip("/")))[0]
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", kind)[:LONGEST_DATASET]


def name_of_data(settings: Settings) -> str:
    """Return the data's part of a file name; without a data set, the model's name."""
    return name_of_dataset(settings.dataset.name) if settings.model.has_data else settings.model.name
