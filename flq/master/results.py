"""The files of a run: its configuration, its model, the workbook. What fails is remembered as one sentence.

Each file is written whole or not at all, and none keeps another from being written.
"""

import json
import logging
import os
import re
import threading
from contextlib import suppress
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Optional

import numpy as np

from ..core.params import Layout, Vector, unflatten
from ..durable import write_whole
from ..errors import FlqError
from ..report.excel import write_workbook
from ..report.figures import FILES as FIGURES

logger = logging.getLogger(__name__)

LONGEST_DATASET = 60  # characters of a workbook's name
KINDS = {"config.json": "configuration", "model.npz": "model", "model.keras": "model"}  # in the folder of the run
FIGURE = "figure"
BINARY = "application/octet-stream"
PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}


class ResultFile(NamedTuple):
    """A file that is there; ``kind`` is workbook, model, configuration or figure."""

    name: str
    kind: str
    n_bytes: int
    path: str


class Results:
    """Where the results go, and what has become of them. Safe to use from any thread.

    Parameters
    ----------
    results_dir, run_dir, stamp : str
        Of the workbook and of the other files; ``stamp`` is part of the workbook's name.
    figures_dir : str
        Of the figures, which another process draws.

    Attributes
    ----------
    workbook : str
        Its path, whether it is there or not.
    """

    def __init__(self, settings: Dict[str, Dict[str, Any]], layout: Layout, results_dir: str, run_dir: str,
                 stamp: str, figures_dir: str) -> None:
        self.workbook = os.path.join(results_dir, "flq_results_%s_%s_%s.xlsx" % (
            name_of_data(settings), settings["flq_algorithm"]["mode"], stamp))
        self._npz = os.path.join(run_dir, "model.npz")
        self._run_dir, self._figures_dir = run_dir, figures_dir
        self._settings = without_address(settings)
        self._layout = layout
        self._writing = threading.Lock()
        self._has_model = False
        self._problem = "it was not begun"  # the last
        self._content: Optional[tuple] = None  # of the workbook that is there

    def files(self) -> List[ResultFile]:
        """Return the files of the run that are there, the workbook first."""
        paths = [("workbook", self.workbook)]
        paths += [(kind, os.path.join(self._run_dir, name)) for name, kind in KINDS.items()]
        paths += [(FIGURE, os.path.join(self._figures_dir, name)) for name in FIGURES]
        found = []
        for kind, path in paths:
            with suppress(OSError):
                found.append(ResultFile(os.path.basename(path), kind, os.stat(path).st_size, path))
        return found

    def save_config(self) -> None:
        """Write the resolved configuration, as a file that ``--config`` takes.

        Raises
        ------
        OSError
            If it can not be written.
        """
        write_whole(os.path.join(self._run_dir, "config.json"),
                    lambda stream: stream.write(config_text(self._settings).encode("utf-8")))

    def save_model(self, model: Vector) -> None:
        """Write the model, unless this has been done."""
        with self._writing:
            if not self._has_model:
                self._has_model = self._try(self._npz, lambda: save_npz(self._npz, model, self._layout))

    def save_workbook(self, summary: list, rounds: list, workers: list, roll_calls: list) -> None:
        """Write the workbook, unless the one that is there says the same."""
        content = (summary, rounds, workers, roll_calls)
        with self._writing:
            if content != self._content and self._try(
                    self.workbook,
                    lambda: write_workbook(self.workbook, summary, rounds, workers, self._settings, roll_calls)):
                self._content = content
                logger.info("results saved: %s", self.workbook)

    def check_workbook(self) -> None:
        """Make sure that the workbook is there.

        Raises
        ------
        FlqError
            If it could not be written, or nobody has tried.
        """
        if self._content is None:
            raise FlqError("the workbook is not written: %s" % self._problem,
                           "see to the folder report.results_dir: the master tries again when it ends")

    def _try(self, path: str, write: Callable[[], None]) -> bool:
        """Write a file; return whether it is written."""
        try:
            write()
            return True
        except OSError as error:
            self._problem = "%s: %s" % (error.strerror or error, error.filename or path)
        except Exception as error:  # a bug, or memory that does not suffice: the other files may still do
            logger.exception("%s is not written", path)
            self._problem = "%s: %s" % (type(error).__name__, error)
        logger.error("%s is not written: %s", os.path.basename(path), self._problem)
        return False


def content_type_of(name: str) -> str:
    """Return what GET calls a result file: pictures are pictures, all else is bytes."""
    return PICTURES.get(os.path.splitext(name)[1], BINARY)


def name_of_dataset(name: str) -> str:
    """Return what stands for a data set in a file's name: ``npz:/data/faces.npz`` is npz_faces."""
    kind, colon, path = name.partition(":")
    if colon:
        kind += "_" + os.path.splitext(os.path.basename(path.rstrip("/")))[0]
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", kind)[:LONGEST_DATASET]


def name_of_data(settings: Dict[str, Dict[str, Any]]) -> str:
    """Return what stands for a run's data in a file's name; the quadratic problem makes its own."""
    return "quadratic" if settings["model"]["name"] == "quadratic" else name_of_dataset(settings["dataset"]["name"])


def without_address(settings: Dict[str, Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    """Return the settings without ``system.master_url``: it is a worker's own, and nobody's who reads these."""
    system = {key: value for key, value in settings["system"].items() if key != "master_url"}
    return dict(settings, system=system)


def config_text(settings: Dict[str, Dict[str, Any]]) -> str:
    """Return the settings as the text of a configuration file."""
    return json.dumps(settings, indent=2, allow_nan=False) + "\n"


def write_npz(stream: BinaryIO, model: Vector, layout: Layout) -> None:
    """Write the model's tensors under their names; loads with ``numpy.load``."""
    np.savez(stream, **{tensor.name: array for tensor, array in zip(layout.tensors, unflatten(model, layout))})


def save_npz(path: str, model: Vector, layout: Layout) -> None:
    """Write the model's tensors to a file: the whole of it or nothing."""
    write_whole(path, lambda stream: write_npz(stream, model, layout))
