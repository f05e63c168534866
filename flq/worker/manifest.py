"""The manifest of a worker's data: samples per class, shape and range. Nothing leaves the worker."""

import argparse
import json
import sys
from typing import Any, Dict, Optional

from ..core.settings import DatasetSettings
from ..errors import FlqError
from ..training.datasets import describe_files, values_of_files
from ..training.sources.own_data import LABEL_COLUMN
from ..training.sources.seen import Seen, range_words
from .own_settings import read_own_file

CHECK = "; the manifest takes no such setting, but this does: python -m flq.data check PATH --set %s=COLUMN"


def run(args: argparse.Namespace) -> int:
    """Print the manifest of a worker's data; return 0, or 2 if the data cannot be used."""
    try:
        data_dir = args.data_dir or read_own_file(args.config).data_dir
        found = manifest(args.worker_id, args.dataset or "own", data_dir)
    except FlqError as error:
        print("%s%s" % (error, CHECK % LABEL_COLUMN if LABEL_COLUMN in error.hint else ""), file=sys.stderr)
        return 2
    print(json.dumps(found) if args.json else _as_text(found))
    return 0


def manifest(worker_id: int, name: str, data_dir: Optional[str]) -> Dict[str, Any]:
    """Return the manifest, JSON values: worker_id, data, n_samples, classes (a count for each), input_shape, values.

    Parameters
    ----------
    name : str
        As ``dataset.name``: npz:FILE, images:FOLDER, csv:FILE, or own.

    Raises
    ------
    DataError
        If the files are missing or invalid. Images of different sizes have input_shape None.

    Notes
    -----
    ``values`` are those of an .npz or .csv file: dtype, lowest, highest, and the scale that ``dataset.scale`` null
    would choose; None for images.
    """
    section = DatasetSettings(name=name, data_dir=data_dir, partition="local")
    counts, shape = describe_files(section)
    seen = values_of_files(section, len(counts))
    return {
        "worker_id": worker_id,
        "data": name,
        "n_samples": int(counts.sum()),
        "classes": counts.tolist(),
        "input_shape": None if shape is None else list(shape),
        "values": seen and {name: getattr(seen, name) for name in ("dtype", "lowest", "highest", "scale")},
    }


def _as_text(found: Dict[str, Any]) -> str:
    shape = "images of different sizes" if found["input_shape"] is None else " x ".join(map(str, found["input_shape"]))
    values = "; " + range_words(Seen("", "", **found["values"])) if found["values"] else ""
    lines = ["worker %d: %d samples, %s%s" % (found["worker_id"], found["n_samples"], shape, values)]
    return "\n".join(lines + ["class %3d: %d" % pair for pair in enumerate(found["classes"])])
