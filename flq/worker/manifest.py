"""The manifest of a worker's data: samples per class, and shape. Nothing leaves the worker."""

import argparse
import json
import sys
from typing import Any, Dict, Optional

from ..core.settings import DatasetSettings
from ..errors import FlqError
from ..training.datasets import describe_files
from .own_settings import read_own_file


def run(args: argparse.Namespace) -> int:
    """Print the manifest of a worker's data; return 0, or 2 if the data cannot be used."""
    try:
        data_dir = args.data_dir or read_own_file(args.config).data_dir
        found = manifest(args.worker_id, args.dataset or "own", data_dir)
    except FlqError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(found) if args.json else _as_text(found))
    return 0


def manifest(worker_id: int, name: str, data_dir: Optional[str]) -> Dict[str, Any]:
    """Return the manifest, JSON values: worker_id, data, n_samples, classes (a count for each), input_shape.

    Parameters
    ----------
    name : str
        As ``dataset.name``: npz:FILE, images:FOLDER, csv:FILE, or own.

    Raises
    ------
    DataError
        If the files are missing or invalid. Images of different sizes have input_shape None.
    """
    counts, shape = describe_files(DatasetSettings(name=name, data_dir=data_dir, partition="local"))
    return {
        "worker_id": worker_id,
        "data": name,
        "n_samples": int(counts.sum()),
        "classes": counts.tolist(),
        "input_shape": None if shape is None else list(shape),
    }


def _as_text(found: Dict[str, Any]) -> str:
    shape = "images of different sizes" if found["input_shape"] is None else " x ".join(map(str, found["input_shape"]))
    lines = ["worker %d: %d samples, %s" % (found["worker_id"], found["n_samples"], shape)]
    return "\n".join(lines + ["class %3d: %d" % pair for pair in enumerate(found["classes"])])
