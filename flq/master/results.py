"""The files of a run: model.npz and the workbook. What fails is remembered as one sentence.

Each file is written whole or not at all, and none keeps another from being written.
"""

import logging
import os
import threading
from typing import Any, BinaryIO, Callable, Dict, Optional

import numpy as np

from ..core.params import Layout, Vector, unflatten
from ..errors import FlqError
from ..report.excel import write_workbook

logger = logging.getLogger(__name__)


class Results:
    """Where the results go, and what has become of them. Safe to use from any thread.

    Parameters
    ----------
    results_dir, run_dir, stamp : str
        Of the workbook and of the model files; ``stamp`` is part of the workbook's name.

    Attributes
    ----------
    workbook : str
        Its path, whether it is there or not.
    """

    def __init__(self, settings: Dict[str, Dict[str, Any]], layout: Layout, results_dir: str, run_dir: str,
                 stamp: str) -> None:
        self.workbook = os.path.join(results_dir, "flq_results_%s_%s_%s.xlsx" % (
            settings["dataset"]["name"], settings["flq_algorithm"]["mode"], stamp))
        self._npz = os.path.join(run_dir, "model.npz")
        self._settings = settings
        self._layout = layout
        self._writing = threading.Lock()
        self._has_model = False
        self._problem = "it was not begun"  # the last
        self._content: Optional[tuple] = None  # of the workbook that is there

    def save_model(self, model: Vector) -> None:
        """Write the model, unless this has been done."""
        with self._writing:
            if not self._has_model:
                self._has_model = self._try(self._npz, lambda: save_npz(self._npz, model, self._layout))

    def save_workbook(self, summary: list, rounds: list, workers: list) -> None:
        """Write the workbook, unless the one that is there says the same."""
        content = (summary, rounds, workers)
        with self._writing:
            if content != self._content and self._try(
                    self.workbook, lambda: write_workbook(self.workbook, summary, rounds, workers, self._settings)):
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


def write_npz(stream: BinaryIO, model: Vector, layout: Layout) -> None:
    """Write the model's tensors under their names; loads with ``numpy.load``."""
    np.savez(stream, **{tensor.name: array for tensor, array in zip(layout.tensors, unflatten(model, layout))})


def save_npz(path: str, model: Vector, layout: Layout) -> None:
    """Write the model's tensors to a file: the whole of it or nothing."""
    temporary = path + ".part"
    with open(temporary, "wb") as stream:
        write_npz(stream, model, layout)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
