"""The files of a run: its configuration, its model, the workbook. What fails is remembered as one sentence.

Each file is written whole or not at all, and none keeps another from being written.
"""

import itertools
import json
import logging
import os
import tempfile
import threading
from contextlib import suppress
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...core.layout import Layout, Vector, unflatten
from ...core.settings import Json, Settings, public, to_json
from ...durable import make_folder, sync_folder, write_whole
from ...errors import FlqError
from ...report.excel import write_workbook
from ...report.figures import FILES as FIGURES
from ...report.names import workbook_name
from ..reminder import Reminder

logger = logging.getLogger(__name__)

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


class Failure(NamedTuple):
    """Why a file is not written, and the path that the error names."""

    reason: str
    place: str


NOT_BEGUN = Failure("it was not begun", "")


class Results:
    """Where the results go, and what has become of them. Safe to use from any thread.

    A run has ended only when the model and the workbook are on disk; ``problem`` says which one is not, and why.

    Parameters
    ----------
    results_dir, run_dir, stamp : str
        Of the workbook and of the other files; ``stamp`` is part of the workbook's name.
    figures_dir : str
        Of the figures, which another process draws.

    Attributes
    ----------
    workbook, model : str
        Their paths, whether they are there or not.
    keras : str or None
        Where the model goes as a Keras file; None if it has no such form.
    run_dir, figures_dir : str
    """

    def __init__(
        self, settings: Settings, layout: Layout, results_dir: str, run_dir: str, stamp: str, figures_dir: str
    ) -> None:
        self.workbook = os.path.join(results_dir, workbook_name(settings, stamp))
        self.model = os.path.join(run_dir, "model.npz")
        self.keras = None if settings.model.name == "quadratic" else os.path.join(run_dir, "model.keras")
        self.figures_dir = figures_dir
        self.run_dir, self._results_dir = run_dir, results_dir
        self._settings = public(to_json(settings))
        self._layout = layout
        self._writing = threading.Lock()
        self._failures = {self.model: NOT_BEGUN, self.workbook: NOT_BEGUN}  # of the files that are not written
        self._content: Any = None  # of the workbook that is there
        self._reminder = Reminder(logger)
        self._found = {path: _identity(path) for path in self._paths(("workbook", "model"))}

    @property
    def problem(self) -> Optional[str]:
        """Which of the two files is not written by this process, and why; None if both are. Names no folder."""
        return (
            "; ".join(
                "%s is not written: %s" % (os.path.basename(path), failure.reason)
                for path, failure in self._failures.copy().items()
            )
            or None
        )

    def problem_of(self, path: Optional[str] = None) -> Optional[str]:
        """Say so with the paths: of one file, or of both."""
        failures = [item for item in self._failures.copy().items() if path in (None, item[0])]
        return "; ".join(_sentence(*item) for item in failures) or None

    def files(self) -> List[ResultFile]:
        """Return the files of the run, the workbook first, without model and workbook of an earlier start."""
        found = []
        for path, kind in self._paths(("workbook", "model", "configuration", FIGURE)).items():
            with suppress(OSError):
                size = os.stat(path).st_size
                if self._found.get(path) is None or self._found[path] != _identity(path):
                    found.append(ResultFile(os.path.basename(path), kind, size, path))
        return found

    def save_config(self) -> None:
        """Write the resolved configuration, as a file that ``--config`` takes.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        write_whole(
            os.path.join(self.run_dir, "config.json"),
            lambda stream: stream.write(config_text(self._settings).encode("utf-8")),
        )

    def save_model(self, model: Vector) -> None:
        """Write the model, unless this has been done."""
        with self._writing:
            if self.model in self._failures:
                self._try(self.model, lambda: save_npz(self.model, model, self._layout))

    def save_workbook(self, make: Callable[[], tuple]) -> None:
        """Write the workbook, unless the one that is there says the same.

        Parameters
        ----------
        make : callable() -> (summary, rounds, workers, roll_calls)
            Returns its content; if this fails, the workbook is not written.
        """

        def write() -> None:
            content = make()
            if content != self._content or self.workbook in self._failures:
                summary, rounds, workers, roll_calls = content
                write_workbook(self.workbook, summary, rounds, workers, self._settings, roll_calls)
                self._content = content
                logger.info("results saved: %s", self.workbook)

        with self._writing:
            self._try(self.workbook, write)

    def check(self) -> None:
        """Raise an error if the model or the workbook is not written.

        Raises
        ------
        FlqError
        """
        problem = self.problem_of()
        if problem is not None:
            raise FlqError(
                problem,
                "make room, or remove what is in the way: the master tries again until it ends, and "
                "--resume after that",
            )

    def move(self) -> bool:
        """Write to a new folder from now on, since that of the run is not where it was; return whether one was made."""
        for parent in (self._results_dir, tempfile.gettempdir()):
            try:
                folder = _new_folder(parent, "%s_recovered" % os.path.basename(self.run_dir))
            except OSError as error:
                logger.warning("the model cannot be saved in %s: %s", parent, error.strerror)
                continue
            with self._writing:
                self.model = os.path.join(folder, os.path.basename(self.model))
                self.workbook = os.path.join(folder, os.path.basename(self.workbook))
                self._failures = {self.model: NOT_BEGUN, self.workbook: NOT_BEGUN}
            return True
        return False

    def _paths(self, kinds: Sequence[str]) -> Dict[str, str]:
        """Return the paths of the result files of some kinds, and the kind of each; the workbook comes first."""
        paths = {self.workbook: "workbook"}
        paths.update((os.path.join(self.run_dir, name), kind) for name, kind in KINDS.items())
        paths.update((os.path.join(self.figures_dir, name), FIGURE) for name in FIGURES)
        return {path: kind for path, kind in paths.items() if kind in kinds}

    def _try(self, path: str, write: Callable[[], None]) -> None:
        """Write a file, or keep the reason why it is not written."""
        try:
            write()
        except OSError as error:
            self._failures[path] = Failure(error.strerror or str(error), error.filename2 or error.filename or path)
        except Exception as error:  # a bug, or memory that does not suffice: the other files may still do
            logger.exception("%s is not written", path)
            self._failures[path] = Failure("%s: %s" % (type(error).__name__, error), path)
        else:
            self._failures.pop(path, None)
            return
        self._reminder.say(_sentence(path, self._failures[path]))


def _new_folder(parent: str, name: str) -> str:
    """Make a folder that was not there, with a number behind its name, and return it."""
    make_folder(parent)  # outside of the loop: a file in its place exists, too
    for number in itertools.count(1):
        folder = os.path.join(parent, "%s_%d" % (name, number))
        try:
            os.mkdir(folder)
        except FileExistsError:
            continue
        break
    sync_folder(parent)
    return folder


def _sentence(path: str, failure: Failure) -> str:
    return "%s is not written: %s: %s" % (os.path.basename(path), failure.reason, failure.place or path)


def _identity(path: str) -> Optional[Tuple[int, int]]:
    """Return inode and time of the last change, which tell a file from its replacement; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def content_type_of(name: str) -> str:
    """Return what GET calls a result file: pictures are pictures, all else is bytes."""
    return PICTURES.get(os.path.splitext(name)[1], BINARY)


def config_text(settings: Json) -> str:
    """Return the settings as the text of a configuration file."""
    return json.dumps(settings, indent=2, allow_nan=False) + "\n"


def write_npz(stream: BinaryIO, model: Vector, layout: Layout) -> None:
    """Write the model's tensors under their names; loads with ``numpy.load``."""
    np.savez(stream, **{tensor.name: array for tensor, array in zip(layout.tensors, unflatten(model, layout))})  # type: ignore[arg-type]


def save_npz(path: str, model: Vector, layout: Layout) -> None:
    """Write the model's tensors to a file: the whole of it or nothing."""
    write_whole(path, lambda stream: write_npz(stream, model, layout))
