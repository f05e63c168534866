"""Writes the files of a run: configuration, model, workbook; keeps the reason of a failure as one sentence.

Each file is written atomically, and independently of the others.
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

from ...config_file import SEEN
from ...core.layout import Layout, Vector, unflatten
from ...core.settings import Json, Settings, public, to_json
from ...durable import make_folder, sync_folder, write_whole
from ...errors import FlqError
from ...report.excel import write_workbook
from ...report.figures import FILES as FIGURES
from ...report.names import workbook_name
from ...training.frameworks import FRAMEWORKS, framework_of
from ..reminder import Reminder

logger = logging.getLogger(__name__)

KINDS = {
    "config.json": "configuration",
    "model.npz": "model",
    **{"model" + framework.file_ending: "model" for framework in FRAMEWORKS.values() if framework.file_ending},
}  # in the folder of the run
FIGURE = "figure"
BINARY = "application/octet-stream"
PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}


class ResultFile(NamedTuple):
    """An existing file; ``kind`` is workbook, model, configuration or figure."""

    name: str
    kind: str
    n_bytes: int
    path: str


class Failure(NamedTuple):
    """Why a file is not written, and the path in the error."""

    reason: str
    place: str


NOT_BEGUN = Failure("not attempted yet", "")


class Results:
    """Writes results and keeps the reasons of failures. Safe to use from any thread.

    A run is over only when the model and the workbook are on disk; ``problem`` says which one is not, and why.

    Parameters
    ----------
    results_dir, run_dir, stamp : str
        Folders of the workbook and of the other files; ``stamp`` is part of the workbook's name.
    figures_dir : str
        Folder of the figures, which another process draws.

    Attributes
    ----------
    workbook, model : str
        Their paths, whether or not they exist.
    exported : str or None
        Path of the model as a file of its framework; None if it has no such form.
    run_dir, figures_dir : str
    data : dict or None
        What is known of the data, for config.json and the workbook: ``DataAgreement.stored``.
    """

    def __init__(
        self, settings: Settings, layout: Layout, results_dir: str, run_dir: str, stamp: str, figures_dir: str
    ) -> None:
        self.workbook = os.path.join(results_dir, workbook_name(settings, stamp))
        self.model = os.path.join(run_dir, "model.npz")
        ending = framework_of(settings.model.name).file_ending
        self.exported = os.path.join(run_dir, "model" + ending) if ending else None
        self.figures_dir = figures_dir
        self.run_dir, self._results_dir = run_dir, results_dir
        self._settings = public(to_json(settings))
        self._layout = layout
        self.data: Optional[Json] = None
        self._written_config = ""
        self._writing = threading.Lock()
        self._failures = {self.model: NOT_BEGUN, self.workbook: NOT_BEGUN}  # of the files that are not written
        self._content: Any = None  # of the written workbook
        self._reminder = Reminder(logger)
        self._found = {path: _identity(path) for path in self._paths(("workbook", "model"))}

    @property
    def problem(self) -> Optional[str]:
        """Which of the two files this process has not written, and why, without folders; None if both are written."""
        return (
            "; ".join(
                "%s is not written: %s" % (os.path.basename(path), failure.reason)
                for path, failure in self._failures.copy().items()
            )
            or None
        )

    def problem_of(self, path: Optional[str] = None) -> Optional[str]:
        """Return the problem of one file, or of both, with paths; None if there is none."""
        failures = [item for item in self._failures.copy().items() if path in (None, item[0])]
        return "; ".join(_sentence(*item) for item in failures) or None

    @property
    def places(self) -> Dict[str, Optional[str]]:
        """The names, without paths, of the workbook, None = not written, and of the folder of the other files."""
        is_written = self.problem_of(self.workbook) is None
        return {
            "workbook": os.path.basename(self.workbook) if is_written else None,
            "folder": os.path.basename(os.path.dirname(self.model)),
        }

    def files(self) -> List[ResultFile]:
        """Return the files of the run, the workbook first; omit model and workbook of an earlier process."""
        found = []
        for path, kind in self._paths(("workbook", "model", "configuration", FIGURE)).items():
            with suppress(OSError):
                size = os.stat(path).st_size
                if self._found.get(path) is None or self._found[path] != _identity(path):
                    found.append(ResultFile(os.path.basename(path), kind, size, path))
        return found

    def save_config(self) -> None:
        """Write the resolved configuration, with what is known of the data, as a file for ``--config``.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        seen = {} if self.data is None else {SEEN: self.data["all"]}
        text = config_text(dict(self._settings, **seen))
        if text != self._written_config:
            write_whole(os.path.join(self.run_dir, "config.json"), lambda stream: stream.write(text.encode("utf-8")))
            self._written_config = text

    def update_config(self) -> None:
        """Write the configuration again if more is known of the data; log a failure, and try again next time."""
        try:
            self.save_config()
        except OSError as error:
            self._reminder.say("config.json is not written: %s" % (error.strerror or error))

    def save_model(self, model: Vector) -> None:
        """Write the model, unless it is written."""
        with self._writing:
            if self.model in self._failures:
                self._try(self.model, lambda: save_npz(self.model, model, self._layout))

    def save_workbook(self, make: Callable[[], tuple]) -> None:
        """Write the workbook, unless the written one has the same content.

        Parameters
        ----------
        make : callable() -> (summary, rounds, workers, roll_calls)
            Returns the content; if this fails, the workbook is not written.
        """

        def write() -> None:
            content = make(), self.data
            if content != self._content or self.workbook in self._failures:
                (summary, rounds, workers, roll_calls), data = content
                write_workbook(self.workbook, summary, rounds, workers, self._settings, roll_calls, data)
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
                "free disk space, or remove what is in the way: the master retries until it exits, and --resume "
                "retries after that",
            )

    def move(self) -> bool:
        """Write to a new folder from now on, since that of the run is misplaced; return whether one was made."""
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
        """Return path -> kind of the result files of some kinds; the workbook comes first."""
        paths = {self.workbook: "workbook"}
        paths.update((os.path.join(self.run_dir, name), kind) for name, kind in KINDS.items())
        paths.update((os.path.join(self.figures_dir, name), FIGURE) for name in FIGURES)
        return {path: kind for path, kind in paths.items() if kind in kinds}

    def _try(self, path: str, write: Callable[[], None]) -> None:
        """Write a file; keep the reason if this fails."""
        try:
            write()
        except OSError as error:
            self._failures[path] = Failure(error.strerror or str(error), error.filename2 or error.filename or path)
        except Exception as error:  # a bug, or too little memory: the other files may succeed
            logger.exception("%s is not written", path)
            self._failures[path] = Failure("%s: %s" % (type(error).__name__, error), path)
        else:
            self._failures.pop(path, None)
            return
        self._reminder.say(_sentence(path, self._failures[path]))


def _new_folder(parent: str, name: str) -> str:
    """Make and return a new folder, with a number appended to its name."""
    make_folder(parent)  # outside of the loop: if a file is in its place, this raises FileExistsError, too
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
    """Return inode and modification time of a file, which distinguish it from its replacement; None if missing."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def content_type_of(name: str) -> str:
    """Return the content type of a result file: that of a picture, or bytes."""
    return PICTURES.get(os.path.splitext(name)[1], BINARY)


def config_text(settings: Json) -> str:
    """Return the settings as the text of a configuration file."""
    return json.dumps(settings, indent=2, allow_nan=False) + "\n"


def write_npz(stream: BinaryIO, model: Vector, layout: Layout) -> None:
    """Write the model's tensors by name, as a file for ``numpy.load``."""
    np.savez(stream, **{tensor.name: array for tensor, array in zip(layout.tensors, unflatten(model, layout))})  # type: ignore[arg-type]


def save_npz(path: str, model: Vector, layout: Layout) -> None:
    """Write the model's tensors to a file, atomically."""
    write_whole(path, lambda stream: write_npz(stream, model, layout))
